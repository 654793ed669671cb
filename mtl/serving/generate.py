"""Generator: a trained model that answers requests.

answers = load_generator(folder).generate([text], "mcq", request={"easy": 1, "hard": 1})
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from mtl.decoding import GREEDY, Decoding
from mtl.errors import InputError, MtlError, NotFoundError, did_you_mean
from mtl.task import BadRequest, Task
from mtl.tasks.table import TASKS, get_task

if TYPE_CHECKING:
    from mtl.evaluation.predictor import Predictor
    from mtl.evaluation.reader import Reader
    from mtl.serving.engines import Engines

log = logging.getLogger(__name__)

BATCH_TOKENS = 8192
_PROBE = "The ferry left the harbour at nine in the morning. Anna missed it, because she had to wait for the bus."
_TRIED_TOKENS = 8
MOST_NEW_TOKENS = 4096
_MOST_TEXTS = 10_000
LONGEST_TEXT = 2_000_000
_CHARACTERS_PER_TOKEN = 64  # no piece of the vocabulary stands for more, so a longer text is cut here unread


@dataclass(frozen=True, slots=True)
class Answer:
    """What the model made of one text.

    output: what the task reads in it, such as a summary or a list of questions; None if it is not of the task's form.
    text: as written; of candidates, the chosen questions in the written form of the task.
    missing: what was requested and no candidate had, such as {"hard": 1}; None where no candidates were asked for.
    """

    output: Any
    text: str
    truncated: bool = False
    missing: Mapping[str, int] | None = None

    def to_dict(self) -> dict[str, Any]:
        answer = {"output": self.output, "text": self.text, "truncated": self.truncated}
        return answer if self.missing is None else answer | {"missing": dict(self.missing)}


@dataclass(frozen=True, slots=True)
class Prompt:
    """The inputs for one text, within the model's limit, and whether the text was cut for it."""

    inputs: str
    truncated: bool


class Generator:
    """A model in memory, with its tokenizer and its limits. Make one with `load_generator`.

    predict: inputs -> texts, greedy, whichever engine writes them. engines: those for beams and candidates, if any.
    """

    def __init__(
        self,
        predict: Predictor,
        tokenizer: Any,
        *,
        max_input_tokens: int,
        max_new_tokens: Mapping[str, int],
        engines: Engines | None = None,
    ) -> None:
        self._predict, self._engines = predict, engines
        self._tokenizer = tokenizer
        self.max_input_tokens = max_input_tokens
        self.max_new_tokens = dict(max_new_tokens)

    def generate(
        self,
        texts: Sequence[str],
        task: str = "summarize",
        *,
        request: Mapping[str, Any] | None = None,
        max_new_tokens: int | None = None,
        truncate: bool = False,
        decoding: Decoding = GREEDY,
    ) -> list[Answer]:
        """One answer for each text, the same every time.

        request: values of the task's own parameters; empty: the task's default.
        decoding: with candidates, each question of the output was confirmed by the base: it has `checked`, and the
        base's `probability` of its key.
        truncate: cut over-long texts at their end, and say so in the answer, instead of refusing them.
        Errors: InputError (wrong type, over-long text), BadRequest (the task cannot serve it), NotFoundError (no such
        task, did you mean).
        """
        self.check(task, request=request, max_new_tokens=max_new_tokens, decoding=decoding)
        _check_texts(texts)
        prompts = [
            self.prompt(text, task, request=request, truncate=truncate, name=f"text {n}")
            for n, text in enumerate(texts, start=1)
        ]
        return self.answer(prompts, task, max_new_tokens=max_new_tokens, decoding=decoding)

    def check(
        self,
        task: str,
        *,
        request: Mapping[str, Any] | None = None,
        max_new_tokens: int | None = None,
        decoding: Decoding = GREEDY,
    ) -> None:
        """Errors: those of `generate` that are the same for every text."""
        chosen = self._task(task)
        self._new_tokens(task, max_new_tokens)
        _check_candidates(chosen, decoding)
        chosen.prompt("a text", chosen.complete(request or {}))

    def prompt(
        self,
        text: str,
        task: str,
        *,
        request: Mapping[str, Any] | None = None,
        truncate: bool = False,
        name: str = "the text",
    ) -> Prompt:
        """What the model is given for one text, for `answer`. name: what an error calls the text. Errors: as of
        `generate`."""
        chosen = self._task(task)
        _check_text(text, name)
        return Prompt(*self._prompt(chosen, text, chosen.complete(request or {}), name, truncate))

    def answer(
        self,
        prompts: Sequence[Prompt],
        task: str,
        *,
        max_new_tokens: int | None = None,
        decoding: Decoding = GREEDY,
    ) -> list[Answer]:
        """One answer for each prompt of the task, also where they are of different requests."""
        chosen, limit = self._task(task), self._new_tokens(task, max_new_tokens)
        inputs = [prompt.inputs for prompt in prompts]
        if decoding.candidates > 1:
            answers = self._choose(chosen, inputs, decoding, limit)
        else:
            predict = self._predict if decoding == GREEDY else self._needed().predictor(decoding)
            answers = [Answer(chosen.parse(text), text) for text in predict(inputs, max_new_tokens=limit)]
        pairs = zip(answers, prompts, strict=True)
        return [replace(answer, truncated=prompt.truncated) for answer, prompt in pairs]

    def try_out(self) -> None:
        """Write the beginning of an answer of each task: what cannot answer is found before a caller finds it."""
        for name in self.max_new_tokens:
            if name in TASKS:
                self.generate([_PROBE], name, max_new_tokens=_TRIED_TOKENS, truncate=True)

    def mode(self, decoding: Decoding = GREEDY) -> str:
        """What answers with this decoding on this machine, as `Engines.mode`."""
        return self._needed().mode(decoding)

    @property
    def reader(self) -> Reader:
        """The base, as reader of questions. It is loaded when it is first asked for."""
        return self._needed().chooser.reader

    def _needed(self) -> Engines:
        assert self._engines is not None, "a Generator for beams and candidates is made by load_generator"
        return self._engines

    def _choose(self, task: Task, inputs: Sequence[str], decoding: Decoding, limit: int) -> list[Answer]:
        """Answers that are composed of candidates."""
        found = self._needed().chooser(task, inputs, candidates=decoding.candidates, max_new_tokens=limit)
        return [Answer(answer.output(task), answer.text, missing=answer.missing) for answer in found]

    def refusal(
        self, text: Any, task: str, *, request: Mapping[str, Any] | None = None, truncate: bool = False
    ) -> MtlError | None:
        """Why `generate` would refuse this text; None if it would not. Errors: those of task and request."""
        self.check(task, request=request)
        try:
            self.prompt(text, task, request=request, truncate=truncate)
        except MtlError as error:
            return error
        return None

    def _task(self, name: str) -> Task:
        if not isinstance(name, str):
            raise InputError(f"task must be a name, got {name!r}", field="task")
        if name in TASKS and name not in self.max_new_tokens:
            hint = did_you_mean(name, self.max_new_tokens)
            raise NotFoundError(f"this model was not trained on {name}", field="task", hint=hint)
        return get_task(name)

    def _new_tokens(self, task: str, asked: int | None) -> int:
        if asked is None:
            return self.max_new_tokens[task]
        if isinstance(asked, bool) or not isinstance(asked, int) or not 1 <= asked <= MOST_NEW_TOKENS:
            raise InputError(f"max_new_tokens must be 1 to {MOST_NEW_TOKENS}, got {asked!r}", field="max_new_tokens")
        return asked

    def _prompt(self, task: Task, text: str, request: Mapping[str, Any], name: str, truncate: bool) -> tuple[str, bool]:
        """(inputs within the limit, whether the text was cut)."""
        short = _cut(text, self.max_input_tokens * _CHARACTERS_PER_TOKEN) if truncate else text
        try:
            inputs = task.prompt(short, request)
        except BadRequest as error:
            raise BadRequest(f"{name}: {error.message}", field=error.field, hint=error.hint) from None
        tokens = self._count(inputs)
        if tokens <= self.max_input_tokens:
            return inputs, short != text
        if not truncate:
            raise InputError(
                f"{name} is {tokens} tokens long with its instruction, the limit is {self.max_input_tokens}",
                field="text",
                hint='shorten it, or ask for it to be cut at its end (--truncate; "truncate": true over HTTP)',
            )
        return self._longest_prompt(task, short, request), True

    def _longest_prompt(self, task: Task, text: str, request: Mapping[str, Any]) -> str:
        """The inputs of as many characters of `text` as the limit holds, by bisection."""
        line = " ".join(text.split())
        low, high = 1, len(line)
        while low < high:
            middle = (low + high + 1) // 2
            fits = self._count(task.prompt(line[:middle], request)) <= self.max_input_tokens
            low, high = (middle, high) if fits else (low, middle - 1)
        return task.prompt(_cut(line, low), request)

    def _count(self, inputs: str) -> int:
        return len(self._tokenizer(inputs)["input_ids"])


def load_generator(
    folder: Path,
    *,
    base: str | None = None,
    precision: Literal["auto", "fp32", "bf16"] = "auto",
    engine: Literal["auto", "torch"] = "torch",
) -> Generator:
    """The Generator of a model folder (a release, a registered model, an export of training).

    base: where to take the base from instead of where the folder says (a folder, on a machine without network); its
    bytes must be those the adapter was trained on. engine: `auto` takes CTranslate2 as evaluation does; converting the
    model takes seconds, which pays for who answers many texts. Errors: NotFoundError, ModelError, DamageError.
    """
    from mtl.model.load import load_spec
    from mtl.serving.engines import Engines

    spec = load_spec(folder)
    _warn_of_other_tasks(spec.task_versions)
    place, revision = (base, None) if base else (spec.base, spec.revision)
    engines = Engines(
        place,
        revision,
        folder,
        engine=engine,
        precision=precision,
        max_input_tokens=spec.max_input_tokens,
        batch_tokens=BATCH_TOKENS,
        probe=_probe(spec.max_new_tokens),
    )
    return Generator(
        engines.predictor(GREEDY),
        engines.tokenizer,
        max_input_tokens=spec.max_input_tokens,
        max_new_tokens=spec.max_new_tokens,
        engines=engines,
    )


def _probe(limits: Mapping[str, int]) -> list[tuple[str, int]]:
    """An input of each task that another engine must answer as transformers does."""
    tasks = [(TASKS[name], limit) for name, limit in limits.items() if name in TASKS]
    return [(task.prompt(_PROBE, task.complete({})), limit) for task, limit in tasks]


def _warn_of_other_tasks(versions: Mapping[str, int]) -> None:
    for name, version in versions.items():
        if name in TASKS and TASKS[name].version != version:
            log.warning(
                "the model learned version %s of task %s, this program writes prompts of version %s",
                version,
                name,
                TASKS[name].version,
            )


def _check_candidates(task: Task, decoding: Decoding) -> None:
    if decoding.candidates > 1 and (task.questions is None or task.compose is None):
        raise BadRequest(
            f"{task.name} asks no questions that could be checked, so candidates must be 1, got {decoding.candidates}",
            field="candidates",
            hint="leave candidates out, or set num_beams to use beam search",
        )


def _check_texts(texts: Sequence[str]) -> None:
    if isinstance(texts, str) or not all(isinstance(text, str) for text in texts):
        raise InputError("texts must be a list of strings", field="text")
    if len(texts) > _MOST_TEXTS:
        raise InputError(f"at most {_MOST_TEXTS} texts in one request, got {len(texts)}", field="text")


def _check_text(text: str, name: str) -> None:
    _check_texts([text])
    if len(text) > LONGEST_TEXT:
        raise InputError(f"{name} has {len(text)} characters, the limit is {LONGEST_TEXT}", field="text")
    if not _is_unicode(text):
        raise InputError(f"{name} is no valid Unicode: it holds half of a surrogate pair", field="text")


def _is_unicode(text: str) -> bool:
    """False for what JSON can smuggle in but no tokenizer can read."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _cut(text: str, characters: int) -> str:
    """At most so many characters, ending with a whole word unless that would lose much."""
    line = " ".join(text.split())
    if len(line) <= characters:
        return text
    head, _, _ = line[: characters + 1].rpartition(" ")
    return head if len(head) > 0.8 * characters else line[:characters]
