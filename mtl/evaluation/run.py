"""Measure models on the same examples: each is loaded, answers everything, and is let go before the next."""

from __future__ import annotations

import gc
import time
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

from mtl.evaluation.predictor import Precision, generate_texts
from mtl.evaluation.report import BASE, EvalReport
from mtl.evaluation.score import evaluate_models
from mtl.example import Example
from mtl.model.load import load_for_generation, load_spec, load_untrained
from mtl.model.precision import device_kind, use_bf16
from mtl.progress import report as report_progress
from mtl.task import Task


def measure(
    folders: Mapping[str, Path],
    examples: Sequence[Example],
    *,
    tasks: Mapping[str, Task],
    max_new_tokens: Mapping[str, int],
    max_input_tokens: int,
    batch_tokens: int,
    precision: str,
    seed: int,
    confidence: float,
) -> EvalReport:
    """The report of the models in `folders` (candidate and, if there is one, champion) and of the candidate's base.

    max_new_tokens: task -> limit. precision: auto, fp32 or bf16; the same for all models.
    """
    candidate = folders["candidate"]
    total = len(examples) * (len(folders) + 1)
    predictions: dict[str, list[str]] = {}
    seconds: dict[str, float] = {}
    for done, (name, folder) in enumerate({BASE: candidate, **folders}.items()):
        spec = load_spec(folder)
        load = load_untrained if name == BASE else load_for_generation
        model, tokenizer = load(spec.base, spec.revision, folder)
        chosen: Precision = (
            "bf16" if use_bf16(precision, d_model=model.config.d_model, device=device_kind()) else "fp32"
        )
        start = time.monotonic()
        predictions[name] = _answers(
            model,
            tokenizer,
            examples,
            max_new_tokens=max_new_tokens,
            max_input_tokens=max_input_tokens,
            batch_tokens=batch_tokens,
            precision=chosen,
            before=(name, done * len(examples), total),
        )
        seconds[name] = round(time.monotonic() - start, 3)
        del model
        gc.collect()
    return evaluate_models(
        predictions,
        examples,
        tasks=tasks,
        seed=seed,
        confidence=confidence,
        seconds=seconds,
        settings={"decoding": "greedy", "precision": chosen, "max_new_tokens": dict(max_new_tokens)},
    )


def _answers(
    model: object,
    tokenizer: object,
    examples: Sequence[Example],
    *,
    max_new_tokens: Mapping[str, int],
    max_input_tokens: int,
    batch_tokens: int,
    precision: Precision,
    before: tuple[str, int, int],
) -> list[str]:
    """One text an example; task by task, because their limits differ. before: (model, examples done so far, total)."""
    name, first, total = before
    answers = [""] * len(examples)
    done = first
    for task, limit in max_new_tokens.items():
        chosen = [index for index, example in enumerate(examples) if example.task == task]
        texts = generate_texts(
            model,
            tokenizer,
            [examples[index].inputs for index in chosen],
            max_new_tokens=limit,
            max_input_tokens=max_input_tokens,
            batch_tokens=batch_tokens,
            precision=precision,
            progress=partial(_tell, done, total, f"{name} {task}"),
        )
        for index, text in zip(chosen, texts, strict=True):
            answers[index] = text
        done += len(chosen)
    return answers


def _tell(first: int, total: int, note: str, done: int, _inputs: int) -> None:
    report_progress("evaluate", first + done, total, note)
