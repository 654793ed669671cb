"""The engines behind one served model, each loaded when a request first needs it.

Greedy requests are most requests, and their engine is loaded at once. Beams are searched by CTranslate2 where it writes
what transformers writes with these very beams, else by transformers. Candidates need the model with its adapter apart.
"""

from __future__ import annotations

from functools import cached_property, partial
from pathlib import Path
from typing import Any, Literal

from mtl.decoding import GREEDY, Decoding
from mtl.evaluation.candidates import Chooser
from mtl.evaluation.engine import EnginesDisagree, Mode, agree, choose_mode, load_chooser, make_predictor
from mtl.evaluation.predictor import Predictor
from mtl.model.load import load_for_generation
from mtl.model.precision import device_kind

Probe = list[tuple[str, int]]
_KEPT = 64
"""Decodings of which it is remembered which engine takes them."""


class Engines:
    """A model folder's engines. Errors of making one: NotFoundError, ModelError, DamageError.

    probe: (inputs, limit) that CTranslate2 must answer as transformers does.
    """

    def __init__(
        self,
        base: str,
        revision: str | None,
        folder: Path,
        *,
        engine: Literal["auto", "torch"],
        precision: Literal["auto", "fp32", "bf16"],
        max_input_tokens: int,
        batch_tokens: int,
        probe: Probe,
    ) -> None:
        self._place = (base, revision, folder)
        self._limits: Any = {"max_input_tokens": max_input_tokens, "batch_tokens": batch_tokens}
        self._engine, self._precision, self._probe = engine, precision, probe
        self._fast: Any = None
        self._by_transformers: dict[Decoding, bool] = {}
        model, self.tokenizer = load_for_generation(*self._place)
        self._d_model = model.config.d_model
        self._mode = choose_mode(engine, precision, d_model=self._d_model)
        model = model.to(device_kind())
        try:
            self._greedy = make_predictor(self._mode, model, self.tokenizer, probe=probe, **self._limits)
        except EnginesDisagree:
            self._mode = Mode("torch", "fp32")
            self._greedy = make_predictor(self._mode, model, self.tokenizer, **self._limits)
        if self._mode.engine == "torch":
            self.__dict__["_merged"] = model  # in memory already
        else:
            self._fast = self._greedy  # a CTranslatePredictor, which takes any decoding

    @cached_property
    def _merged(self) -> Any:
        """The model for transformers; CTranslate2 has one of its own."""
        return load_for_generation(*self._place)[0].to(device_kind())

    @cached_property
    def chooser(self) -> Chooser:
        """What answers with the best of several candidates."""
        return load_chooser(self._mode_of_chooser(), *self._place, **self._limits)

    def _mode_of_chooser(self) -> Mode:
        return choose_mode(self._engine, self._precision, d_model=self._d_model, candidates=2)

    def predictor(self, decoding: Decoding) -> Predictor:
        """What answers with this decoding, which has no candidates."""
        if decoding == GREEDY:
            return self._greedy
        mode = Mode("torch", "fp32") if self._mode.engine == "ctranslate2" else self._mode
        plain = make_predictor(mode, self._merged, self.tokenizer, decoding=decoding, **self._limits)
        if self._mode.engine == "torch":
            return plain
        fast: Predictor = partial(self._fast, decoding=decoding)
        if decoding not in self._by_transformers:
            if len(self._by_transformers) >= _KEPT:
                self._by_transformers.clear()
            self._by_transformers[decoding] = not agree(fast, plain, self._probe)
        return plain if self._by_transformers[decoding] else fast

    def mode(self, decoding: Decoding) -> str:
        """What answers with this decoding, e.g. `torch in bf16 on cuda`: another mode may write other texts."""
        if decoding.candidates > 1:
            mode = self._mode_of_chooser()
        else:
            self.predictor(decoding)  # which finds out whether transformers is to take it
            mode = Mode("torch", "fp32") if self._by_transformers.get(decoding) else self._mode
        device = "cpu" if mode.engine == "ctranslate2" else device_kind()
        return f"{mode.engine} in {mode.precision} on {device}"
