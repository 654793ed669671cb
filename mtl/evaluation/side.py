"""One side of a report: a model that writes the answers which are not kept, and is loaded when there are any."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from mtl.decoding import GREEDY, Decoding
from mtl.evaluation.engine import EnginesDisagree, Mode, choose_mode, load_chooser, make_predictor
from mtl.evaluation.groups import groups_of, most_of
from mtl.evaluation.identity import machine_identity, model_identity
from mtl.evaluation.kept import KeptAnswers
from mtl.evaluation.predictor import Predictor
from mtl.evaluation.report import BASE, Origin
from mtl.model.load import base_of, load_for_generation, load_spec, load_untrained
from mtl.model.precision import device_kind
from mtl.store.base import ObjectStore
from mtl.task import Task

Progress = Callable[[int, int], None]
"""(inputs done, inputs in all), called after each group."""
_WIDTH = 512
"""d_model of a T5 whose configuration does not say it."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What is the same for all sides."""

    max_input_tokens: int
    batch_tokens: int
    decoding: Decoding = GREEDY

    @property
    def most(self) -> int:
        """Most inputs of one call."""
        return most_of(batch_tokens=self.batch_tokens, max_input_tokens=self.max_input_tokens)


class Side:
    """The model in `folder`, or its base if `name` says so. store: where answers are kept; None for nowhere.

    probe: (inputs, limit) that CTranslate2 must answer as transformers does. composing: whether answers of a task are
    composed of candidates. Errors: InputError for a mode that this machine has not; those of finding the base.
    """

    def __init__(
        self,
        name: str,
        folder: Path,
        limits: Limits,
        *,
        engine: str,
        precision: str,
        composing: bool,
        probe: Sequence[tuple[str, int]],
        store: ObjectStore | None,
    ) -> None:
        self.name, self._folder, self._limits, self._probe = name, folder, limits, list(probe)
        width = int(base_of(folder).config.get("d_model", _WIDTH))
        candidates = limits.decoding.candidates if composing else 1
        self.mode: Mode = choose_mode(engine, precision, d_model=width, candidates=candidates)
        self._plain = GREEDY if limits.decoding.candidates > 1 else limits.decoding
        self._agreed = False
        subject = model_identity(folder, trained=name != BASE) | machine_identity(**asdict(self.mode))
        self._kept = KeptAnswers(store, subject)
        self._answered = self._taken = 0

    @property
    def origin(self) -> Origin:
        """How many answers there were, and how many of them were kept."""
        return Origin(self._answered, self._taken)

    @property
    def loaded(self) -> bool:
        """Whether the model had to be loaded."""
        return not {"_predict", "_chooser"}.isdisjoint(self.__dict__)

    def check_engine(self) -> None:
        """Errors: EnginesDisagree where CTranslate2 writes something else than transformers."""
        if self.mode != Mode("ctranslate2", "fp32"):
            return
        asked = self._asked("probe", decoding=asdict(self._plain))
        (agreed,), _ = self._kept.answers(asked, [self._probe], self._try_engine, kind=list[bool])
        if not agreed:
            raise EnginesDisagree
        self._agreed = True

    def writer(self, task: Task, *, composed: bool = False, progress: Progress | None = None) -> Predictor:
        """What answers inputs of a task. composed: the answers are composed of candidates."""
        decoding = self._limits.decoding if composed else self._plain

        def write(inputs: Sequence[str], *, max_new_tokens: int) -> list[str]:
            made = self._composer(task) if composed else self._write
            asked = self._asked(
                "write",
                task=[task.name, task.version],
                decoding=asdict(decoding),
                max_new_tokens=max_new_tokens,
            )
            return self._answers(asked, inputs, lambda texts: made(texts, max_new_tokens=max_new_tokens), progress)

        return write

    def _answers(
        self,
        asked: Mapping[str, Any],
        inputs: Sequence[str],
        write: Callable[[list[str]], list[str]],
        progress: Progress | None,
    ) -> list[str]:
        """One text for each input, each group by itself; equal inputs are answered once."""
        distinct = list(dict.fromkeys(inputs))
        found: dict[str, str] = {}
        for group in groups_of(distinct, most=self._limits.most):
            texts = [distinct[index] for index in group]
            answers, kept = self._kept.answers(asked, texts, lambda texts=texts: write(texts), kind=list[str])  # type: ignore[misc]
            found |= zip(texts, answers, strict=True)
            self._answered += len(texts)
            self._taken += len(texts) if kept else 0
            if progress is not None:
                progress(sum(text in found for text in inputs), len(inputs))
        return [found[text] for text in inputs]

    def _asked(self, kind: str, **more: Any) -> dict[str, Any]:
        limits = {name: getattr(self._limits, name) for name in ("max_input_tokens", "batch_tokens")}
        return {"kind": kind, **limits, **more}

    def _write(self, inputs: Sequence[str], *, max_new_tokens: int) -> list[str]:
        return self._predict(inputs, max_new_tokens=max_new_tokens)

    def _composer(self, task: Task) -> Predictor:
        """The texts of the answers that are composed of a task's candidates."""

        def predict(inputs: Sequence[str], *, max_new_tokens: int) -> list[str]:
            number = self._limits.decoding.candidates
            chosen = self._chooser(task, inputs, candidates=number, max_new_tokens=max_new_tokens)
            return [answer.text for answer in chosen]

        return predict

    def _try_engine(self) -> list[bool]:
        try:
            self._predict  # noqa: B018  (made once, with the probe)
        except EnginesDisagree:
            return [False]
        return [True]

    @cached_property
    def _predict(self) -> Predictor:
        spec = load_spec(self._folder)
        load = load_untrained if self.name == BASE else load_for_generation
        model, tokenizer = load(spec.base, spec.revision, self._folder)
        return make_predictor(
            self.mode,
            model.to(device_kind()) if self.mode.engine == "torch" else model,
            tokenizer,
            max_input_tokens=self._limits.max_input_tokens,
            batch_tokens=self._limits.batch_tokens,
            probe=() if self._agreed else self._probe,
            decoding=self._plain,
        )

    @cached_property
    def _chooser(self) -> Any:
        spec = load_spec(self._folder)
        return load_chooser(
            self.mode,
            spec.base,
            spec.revision,
            self._folder,
            max_input_tokens=self._limits.max_input_tokens,
            batch_tokens=self._limits.batch_tokens,
            trained=self.name != BASE,
        )
