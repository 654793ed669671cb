"""Which engine writes the texts of a report: the same for all of its sides, and only if it writes what torch writes.

`auto` takes CTranslate2 on a CPU where it is installed, in float32, once it has answered a probe of each model with
the very texts that transformers writes; else transformers.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

from mtl.decoding import GREEDY, Decoding
from mtl.errors import InputError
from mtl.evaluation import ctranslate
from mtl.evaluation.candidates import Chooser
from mtl.evaluation.drawing import draw_texts
from mtl.evaluation.predictor import Precision, Predictor, generate_texts
from mtl.evaluation.reader import BASE, AdapterOffReader, T5Reader
from mtl.model.load import load_for_generation, load_untrained
from mtl.model.precision import device_kind, use_bf16

log = logging.getLogger(__name__)

Engine = Literal["torch", "ctranslate2"]
PROBES = 8
"""Inputs of each task that both engines answer before `auto` believes CTranslate2."""


@dataclass(frozen=True, slots=True)
class Mode:
    """How texts are generated: recorded in the report. precision: fp32, bf16 (torch), int8 (CTranslate2)."""

    engine: Engine
    precision: str


class EnginesDisagree(Exception):
    """CTranslate2 wrote another text than transformers: that engine is not for this report."""


def choose_mode(engine: str, precision: str, *, d_model: int, candidates: int = 1) -> Mode:
    """The mode for `engine` (auto, torch, ctranslate2) and `precision` (auto, fp32, bf16, int8) on this machine.

    candidates: more than one are drawn by transformers under `auto`: each engine samples in its own way, and
    CTranslate2, which must start anew for each text to repeat itself, has no advantage left.
    Errors: InputError for what this machine has not, or cannot do.
    """
    installed, device = ctranslate.available(), device_kind()
    if engine == "ctranslate2" or precision == "int8":
        if engine == "torch":
            raise InputError("int8 needs the engine ctranslate2", field="evaluate.precision")
        if not installed:
            raise InputError(
                "CTranslate2 is not installed",
                field="evaluate.engine",
                hint="run make install, or set evaluate.engine: torch, as on processors without a wheel of CTranslate2",
            )
        if precision == "bf16":
            raise InputError("CTranslate2 has no bf16 on a CPU", field="evaluate.precision", hint="fp32 or int8")
        return Mode("ctranslate2", "int8" if precision == "int8" else "fp32")
    if engine == "auto" and candidates == 1 and installed and device == "cpu" and precision in ("auto", "fp32"):
        return Mode("ctranslate2", "fp32")
    return Mode("torch", "bf16" if use_bf16(precision, d_model=d_model, device=device) else "fp32")


def make_predictor(
    mode: Mode,
    model: Any,
    tokenizer: Any,
    *,
    max_input_tokens: int,
    batch_tokens: int,
    probe: Sequence[tuple[str, int]] = (),
    decoding: Decoding = GREEDY,
) -> Predictor:
    """The predictor of a merged model. probe: (inputs, limit) that both engines must answer alike, with this decoding.

    Errors: EnginesDisagree.
    """
    chosen: Precision = "bf16" if mode.precision == "bf16" else "fp32"
    torch_one = partial(
        generate_texts,
        model,
        tokenizer,
        max_input_tokens=max_input_tokens,
        batch_tokens=batch_tokens,
        precision=chosen,
        decoding=decoding,
    )
    if mode.engine == "torch":
        return torch_one
    fast = ctranslate.CTranslatePredictor(
        model,
        tokenizer,
        max_input_tokens=max_input_tokens,
        batch_tokens=batch_tokens,
        compute="int8" if mode.precision == "int8" else "float32",
    )
    decoded = fast if decoding == GREEDY else partial(fast, decoding=decoding)
    if mode.precision == "fp32" and not agree(decoded, torch_one, probe):
        raise EnginesDisagree
    return decoded


def agree(first: Predictor, second: Predictor, probe: Sequence[tuple[str, int]]) -> bool:
    """Whether both write the same texts for the probe's (inputs, limit)."""
    for limit in dict.fromkeys(limit for _, limit in probe):
        inputs = [text for text, own in probe if own == limit]
        if first(inputs, max_new_tokens=limit) != second(inputs, max_new_tokens=limit):
            return False
    return True


def load_chooser(
    mode: Mode,
    base: str,
    revision: str | None,
    folder: Path,
    *,
    max_input_tokens: int,
    batch_tokens: int,
    trained: bool = True,
) -> Chooser:
    """What draws candidates from the model in `folder`, and keeps the questions that its base confirms.

    trained: False for the base without the adapter. Under transformers one copy of the weights does both: it writes
    with the adapter on and reads with it off. Errors: those of loading.
    """
    limits: Any = {"max_input_tokens": max_input_tokens, "batch_tokens": batch_tokens}
    place = (base, revision, folder)
    if mode.engine == "ctranslate2":
        compute: ctranslate.Compute = "int8" if mode.precision == "int8" else "float32"
        merged = load_for_generation(*place) if trained else load_untrained(*place)
        writer = ctranslate.CTranslatePredictor(*merged, compute=compute, draws=True, **limits)
        return Chooser(writer.draw, T5Reader(BASE, *load_untrained(*place), **limits))
    model, tokenizer = load_for_generation(*place, merged=False) if trained else load_untrained(*place)
    model.to(device_kind())
    precision: Precision = "bf16" if mode.precision == "bf16" else "fp32"
    draw = partial(draw_texts, model, tokenizer, precision=precision, **limits)
    reader = AdapterOffReader(model, tokenizer, **limits) if trained else T5Reader(BASE, model, tokenizer, **limits)
    return Chooser(draw, reader)
