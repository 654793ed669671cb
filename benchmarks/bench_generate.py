"""How fast is evaluation's generation, and does a faster mode write the same? Against Seq2SeqTrainer.evaluate.

    python benchmarks/bench_generate.py [--quick] [--model REF]

The other side is `Seq2SeqTrainer.evaluate(predict_with_generate=True)` with its default batches, on the same model
and examples in the same run; all sides take turns. Two cases: `small`, FLAN-T5-small's shape with random weights, its
inputs as long as real ones; and `trained`, the champion of MTL_HOME (or --model) on fresh demo documents, where the
metrics of a mode are held against those of fp32 with paired bootstrap intervals. Ratios are medians over three
rounds, of the trainer's seconds by the mode's in the same round; `cpu_ratio` beside them is of CPU seconds, which a
busy machine disturbs less. Prints one JSON object as its last line: `ratio` is that of the mode that `auto` takes
here in case `small`, `passed` whether it is at least 5 and all texts are equal, `ratio_fastest` the ratio of the
fastest mode whose metrics stay inside the interval, `candidates` what `--candidates 4` costs the trained model in
greedy answers.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from transformers import (
    DataCollatorForSeq2Seq,
    Seq2SeqTrainer,
    Seq2SeqTrainingArguments,
    T5Config,
    T5ForConditionalGeneration,
)
from transformers.utils import logging as transformers_logging

from mtl.decoding import GREEDY, Decoding
from mtl.errors import NotFoundError
from mtl.evaluation import ctranslate
from mtl.evaluation.engine import Mode, choose_mode, make_predictor
from mtl.evaluation.predictor import generation_config
from mtl.evaluation.score import evaluate_models
from mtl.example import Example
from mtl.model.base import DEMO, resolve_base
from mtl.model.load import load_for_generation, load_spec
from mtl.model.tokenizer import load_tokenizer
from mtl.release.refs import resolve_ref
from mtl.serving.generate import load_generator
from mtl.settings import load_settings
from mtl.sources.demo.corpus import articles, passages
from mtl.store.open import open_store
from mtl.tasks.table import get_task

SEED = 771_203
BAR = 5  # times as fast as predict_with_generate
TRAINER = "trainer"
PLAIN = "torch-fp32"
Side = Callable[[], list[str]]


@dataclass(frozen=True)
class Case:
    """A model, its tokenizer, and what it answers."""

    model: Any
    tokenizer: Any
    examples: list[Example]
    max_input_tokens: int
    max_new_tokens: int


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer examples")
    parser.add_argument("--examples", type=int, help="of case small (default 64, quick 24)")
    parser.add_argument("--model", default="champion", help="trained model: champion, vN or a folder")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    transformers_logging.set_verbosity_error()
    rounds = 3
    small = measure(small_case(arguments.examples or (16 if arguments.quick else 64)), rounds)
    default = mode_by_default()
    trained = trained_case(arguments.model, 32 if arguments.quick else 200)
    result: dict[str, Any] = {
        "threads": torch.get_num_threads(),
        "small": small,
        "trained": None if trained is None else measure(trained, rounds) | {"quality": quality(trained)},
        "mode": default,
        "ratio": small["ratio"][default],
        "passed": {f"ratio >= {BAR}, token-equal": small["ratio"][default] >= BAR and small["equal"][default] == 1},
    }
    result["candidates"] = candidates_cost(arguments.model, 8 if arguments.quick else 24, rounds)
    result["ratio_fastest"] = max((small["ratio"][mode] for mode in _inside(result["trained"])), default=None)
    print(json.dumps(result))


def mode_by_default() -> str:
    """What `evaluate.engine: auto` takes on this machine in fp32."""
    mode = choose_mode("auto", "fp32", d_model=512)
    return f"{mode.engine}-{mode.precision}"


def _inside(trained: dict[str, Any] | None) -> list[str]:
    return [] if trained is None else [mode for mode, found in trained["quality"].items() if found["inside"]]


def small_case(count: int) -> Case:
    """FLAN-T5-small's shape. `</s>` is made likely enough that answers end at different lengths, as real ones do."""
    torch.manual_seed(SEED)
    tokenizer = load_tokenizer(resolve_base(DEMO).location, [])
    shape = {"d_model": 512, "d_kv": 64, "d_ff": 1024, "num_layers": 8, "num_decoder_layers": 8, "num_heads": 6}
    config = T5Config(vocab_size=32128, feed_forward_proj="gated-gelu", decoder_start_token_id=0, **shape)
    model = T5ForConditionalGeneration(config).eval()
    head = torch.randn(32128, 512)
    head[len(tokenizer) :] = 0  # rows of the padding are never written
    head[tokenizer.eos_token_id] *= 1.7
    model.lm_head.weight = torch.nn.Parameter(head)
    rng = random.Random(SEED)
    words = [text for row in articles(SEED, 200) for text in row["article"].split()]
    lengths = [512 if n % 2 else rng.randint(200, 512) for n in range(count)]
    inputs = [_of_length(tokenizer, words, length, rng) for length in lengths]
    examples = [Example(text, "Summary: none.", "summarize", str(n)) for n, text in enumerate(inputs)]
    return Case(model, tokenizer, examples, max_input_tokens=512, max_new_tokens=48)


def _of_length(tokenizer: Any, words: Sequence[str], length: int, rng: random.Random) -> str:
    start = rng.randrange(len(words) - 600)
    ids = tokenizer(" ".join(words[start : start + 600]), truncation=True, max_length=length - 1)["input_ids"][:-1]
    return "<summarize> " + str(tokenizer.decode(ids))


def trained_case(ref: str, count: int) -> Case | None:
    """The trained model on articles that no training drew; None where there is no such model."""
    folder = _folder(ref)
    if folder is None:
        return None
    spec = load_spec(folder)
    model, tokenizer = load_for_generation(spec.base, spec.revision, folder)
    task = get_task("summarize")
    examples = [
        Example(task.prompt(row["article"], {}), f"Summary: {' '.join(row['highlights'].split())}", "summarize", str(n))
        for n, row in enumerate(articles(SEED, count))
    ]
    return Case(model, tokenizer, examples, spec.max_input_tokens, spec.max_new_tokens["summarize"])


def _folder(ref: str) -> Path | None:
    """The folder of the trained model; None where there is none."""
    settings = load_settings()
    try:
        return resolve_ref(ref, store=open_store(settings.store), model="mtl-flan-t5", cache=settings.cache).folder
    except NotFoundError as error:
        print(f"no trained model: {error.message}")
        return None


def measure(case: Case, rounds: int) -> dict[str, Any]:
    """Seconds of each side in each round (they take turns), ratios to the trainer, and how many texts are equal."""
    made = sides(case)
    seconds: dict[str, list[float]] = {name: [] for name in made}
    cpu: dict[str, list[float]] = {name: [] for name in made}
    texts: dict[str, list[str]] = {}
    for _ in range(rounds):
        for name, side in made.items():
            begun, used = time.perf_counter(), time.process_time()
            texts[name] = side()
            seconds[name].append(round(time.perf_counter() - begun, 3))
            cpu[name].append(round(time.process_time() - used, 3))
    equal = {
        name: statistics.fmean(a == b for a, b in zip(found, texts[TRAINER], strict=True))
        for name, found in texts.items()
        if name != TRAINER
    }
    return {
        "examples": len(case.examples),
        "seconds": seconds,
        "cpu_seconds": cpu,
        "ratio": {name: _ratio(seconds, name) for name in equal},
        "cpu_ratio": {name: _ratio(cpu, name) for name in equal},
        "equal": {name: round(share, 4) for name, share in equal.items()},
        "new_tokens_mean": statistics.fmean(len(case.tokenizer(text)["input_ids"]) for text in texts[PLAIN]),
    }


def _ratio(seconds: dict[str, list[float]], name: str) -> float:
    """How many times as fast as the trainer in the same round, the median."""
    pairs = zip(seconds[TRAINER], seconds[name], strict=True)
    return round(statistics.median(trainer / own for trainer, own in pairs), 2)


def sides(case: Case) -> dict[str, Side]:
    """The trainer, and every mode that this machine has."""
    modes = {PLAIN: Mode("torch", "fp32"), "torch-bf16": Mode("torch", "bf16")}
    if ctranslate.available():
        modes |= {"ctranslate2-fp32": Mode("ctranslate2", "fp32"), "ctranslate2-int8": Mode("ctranslate2", "int8")}
    inputs = [example.inputs for example in case.examples]
    return {TRAINER: trainer_side(case)} | {
        name: partial(_predictor(case, mode), inputs, max_new_tokens=case.max_new_tokens)
        for name, mode in modes.items()
    }


def _predictor(case: Case, mode: Mode) -> Any:
    return make_predictor(mode, case.model, case.tokenizer, max_input_tokens=case.max_input_tokens, batch_tokens=8192)


def trainer_side(case: Case) -> Side:
    """Seq2SeqTrainer.evaluate with predict_with_generate and its default batches of 8, in the order of the examples."""
    tokenizer = case.tokenizer
    written: list[str] = []
    rows = [
        {
            "input_ids": tokenizer(example.inputs, truncation=True, max_length=case.max_input_tokens)["input_ids"],
            "labels": tokenizer(example.targets)["input_ids"],
        }
        for example in case.examples
    ]

    def keep(prediction: Any) -> dict[str, float]:
        ids = [[token for token in row if token >= 0] for row in prediction.predictions.tolist()]
        written[:] = tokenizer.batch_decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False)
        return {}

    arguments = Seq2SeqTrainingArguments(
        output_dir=tempfile.mkdtemp(prefix="mtl-bench-"),
        predict_with_generate=True,
        generation_config=generation_config(case.model, tokenizer, max_new_tokens=case.max_new_tokens),
        report_to=[],
        disable_tqdm=True,
        use_cpu=True,
        dataloader_pin_memory=False,
    )
    collator = DataCollatorForSeq2Seq(tokenizer, model=case.model)
    trainer = Seq2SeqTrainer(
        model=case.model, args=arguments, data_collator=collator, processing_class=tokenizer, compute_metrics=keep
    )

    def run() -> list[str]:
        trainer.evaluate(rows)
        return list(written)

    return run


def candidates_cost(ref: str, count: int, rounds: int) -> dict[str, Any] | None:
    """What `--candidates 4` costs in greedy answers: whole answers about demo passages, one at a time and all at once.

    Both sides are transformers' and take turns; an answer is drawn, read and chosen.
    """
    folder = _folder(ref)
    if folder is None:
        return None
    generator = load_generator(folder, engine="torch")
    texts = list(dict.fromkeys(str(row["article"]) for row in passages(SEED, count)))[:count]
    request = {"easy": 1, "medium": 1, "hard": 1}
    found: dict[str, Any] = {}
    for name, groups in (("single", [[text] for text in texts]), ("batch", [texts])):
        wall: dict[Decoding, list[float]] = {GREEDY: [], Decoding(candidates=4): []}
        cpu: dict[Decoding, list[float]] = {GREEDY: [], Decoding(candidates=4): []}
        for turn in range(rounds + 1):  # the first loads what is needed
            for decoding in wall:
                begun, used = time.perf_counter(), time.process_time()
                for group in groups:
                    generator.generate(group, "mcq", request=request, decoding=decoding)
                if turn:
                    wall[decoding].append(time.perf_counter() - begun)
                    cpu[decoding].append(time.process_time() - used)
        for kind, seconds in (("wall", wall), ("cpu", cpu)):
            greedy, chosen = map(statistics.median, seconds.values())
            found[f"{name}_{kind}"] = round(chosen / greedy, 2)
    return found | {"passed": {"candidates_4 <= 3.5 greedy answers": found["single_wall"] <= 3.5}}


def quality(case: Case) -> dict[str, Any]:
    """For each mode: its metrics minus fp32's, and whether each interval holds 0."""
    found = {name: side() for name, side in sides(case).items() if name != TRAINER}
    task = get_task("summarize")
    result = {}
    for name in found:
        report = evaluate_models(
            {"base": found[PLAIN], "candidate": found[name]}, case.examples, tasks={"summarize": task}, seed=SEED
        )
        compared = {c.metric: c for c in report.comparisons if c.group is None and c.metric.startswith("rouge")}
        result[name] = {
            "rougeLsum": report.mean("candidate", "summarize", "rougeLsum"),
            "difference": {m: [round(v, 4) for v in (c.difference, c.low, c.high)] for m, c in compared.items()},
            "inside": all(c.low <= 0 <= c.high for c in compared.values()),
        }
    return result


if __name__ == "__main__":
    main()
