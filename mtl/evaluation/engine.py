"""Which engine writes the texts of a report: the same for all of its sides, and only if it writes what torch writes.

`auto` takes CTranslate2 on a CPU where it is installed, in float32, once it has answered a probe of each model with
the very texts that transformers writes; else transformers.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

from mtl.errors import InputError
from mtl.evaluation import ctranslate
from mtl.evaluation.predictor import Precision, Predictor, generate_texts
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


def choose_mode(engine: str, precision: str, *, d_model: int) -> Mode:
    """The mode for `engine` (auto, torch, ctranslate2) and `precision` (auto, fp32, bf16, int8) on this machine.

    Errors: InputError for what this machine has not, or cannot do.
    """
    installed, device = ctranslate.available(), device_kind()
    if engine == "ctranslate2" or precision == "int8":
        if engine == "torch":
            raise InputError("int8 needs the engine ctranslate2", field="evaluate.precision")
        if not installed:
            raise InputError(
                "CTranslate2 is not installed", field="evaluate.engine", hint="pip install 'mtl-retrain[fast]'"
            )
        if precision == "bf16":
            raise InputError("CTranslate2 has no bf16 on a CPU", field="evaluate.precision", hint="fp32 or int8")
        return Mode("ctranslate2", "int8" if precision == "int8" else "fp32")
    if engine == "auto" and installed and device == "cpu" and precision in ("auto", "fp32"):
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
) -> Predictor:
    """The predictor of a merged model. probe: (inputs, limit) that both engines must answer alike.

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
    if mode.precision == "fp32":
        for limit in dict.fromkeys(limit for _, limit in probe):
            inputs = [text for text, own in probe if own == limit]
            if fast(inputs, max_new_tokens=limit) != torch_one(inputs, max_new_tokens=limit):
                raise EnginesDisagree
    return fast
