"""What does the reader add to an evaluation? `measure` with and without it, on fresh documents of the demo.

    python benchmarks/bench_reader.py [--quick] [--model REF] [--champion REF] [--engine ENGINE]

As many examples as the demo's own evaluation has, of which the reader reads all, with the demo's limits. Both sides
take turns. Prints one JSON object as its last line: `added` is the share of the evaluation's wall time that the reader
adds, `added_cpu` the same of CPU seconds, which a busy machine disturbs less; `passed` holds the wall time against a
quarter. With --champion, questions of two trained models are read; equal ones are read once.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
import warnings
from functools import partial
from pathlib import Path
from typing import Any

from mtl.config.retrain import load_config
from mtl.evaluation.reader import load_reader
from mtl.evaluation.run import Reading, measure
from mtl.example import Example
from mtl.model.load import load_spec
from mtl.model.tokenizer import load_tokenizer
from mtl.release.refs import resolve_ref
from mtl.settings import load_settings
from mtl.sources.demo.corpus import articles, passages
from mtl.store.open import open_store
from mtl.task import RenderOptions
from mtl.tasks.table import TASKS, get_task

SEED = 990_019  # training seeds are hashes of (seed, split) far above this
MOST = 0.25
CONFIG = load_config(Path("demo"))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a quarter of the documents, one round")
    parser.add_argument("--model", default="champion", help="champion, candidate, vN or a folder")
    parser.add_argument("--champion", help="another trained model, which the first one is compared with")
    parser.add_argument("--engine", default="auto", help="auto, torch or ctranslate2")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    folders = {"candidate": _folder(arguments.model)}
    if arguments.champion:
        folders["champion"] = _folder(arguments.champion)
    examples = _examples(20 if arguments.quick else 80, folders["candidate"])
    rounds = [_round(folders, examples, arguments.engine) for _ in range(1 if arguments.quick else 3)]
    sides = {
        side: {kind: [its[side][kind] for its in rounds] for kind in ("wall", "cpu")} for side in ("without", "with")
    }
    added, added_cpu = (
        statistics.median(a / b - 1 for a, b in zip(sides["with"][kind], sides["without"][kind], strict=True))
        for kind in ("wall", "cpu")
    )
    result = {"added": added, "added_cpu": added_cpu, "passed": added <= MOST, "examples": len(examples), **sides}
    print(json.dumps(result | {"reader": rounds[-1]["reader"]}))


def _folder(ref: str) -> Path:
    settings = load_settings()
    model = CONFIG.register_.model
    return Path(resolve_ref(ref, store=open_store(settings.store), model=model, cache=settings.cache).folder)


def _examples(documents: int, model: Path) -> list[Example]:
    """Fresh examples of both tasks as the demo's validation split has them."""
    spec, data = load_spec(model), CONFIG.data
    count = load_tokenizer(model, list(spec.tokens.values()))
    options = RenderOptions(
        seed=SEED,
        training=False,
        instruction_dropout=0.0,
        max_target_tokens=data.max_target_tokens,
        count=lambda text: len(count(text)["input_ids"]),
        options={
            "scheme": "overlap-1",
            "evaluation_requests": "mixed",
            "requests": {"all": 0.05, "one": 0.1, "level": 0.15, "subset": 0.7},
            "requests_per_passage": 4,
        },
    )
    found: list[Example] = []
    for name, rows in (("summarize", articles(SEED, documents)), ("mcq", passages(SEED, documents))):
        task = get_task(name)
        joined: dict[str, list[Any]] = {}
        for row in rows:
            record = task.read(row)
            joined.setdefault(task.passage(record), []).append(record)
        for records in joined.values():
            record, _ = task.join(records)
            found += task.render(record, options).examples if record is not None else []
    return found


def _round(folders: dict[str, Path], examples: list[Example], engine: str) -> dict[str, Any]:
    load = partial(
        load_reader,
        CONFIG.evaluate.reader,
        None,
        candidate=folders["candidate"],
        max_input_tokens=CONFIG.data.max_input_tokens,
        batch_tokens=CONFIG.evaluate.batch_tokens,
    )
    found: dict[str, Any] = {}
    for side, reading in (("without", None), ("with", Reading(load))):
        wall, cpu = time.perf_counter(), time.process_time()
        report = measure(
            folders,
            examples,
            tasks=TASKS,
            max_new_tokens=dict.fromkeys(TASKS, CONFIG.data.max_target_tokens),
            max_input_tokens=CONFIG.data.max_input_tokens,
            batch_tokens=CONFIG.evaluate.batch_tokens,
            precision=CONFIG.evaluate.precision,
            engine=engine,
            seed=SEED,
            confidence=0.95,
            reading=reading,
        )
        found[side] = {"wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu}
        found["reader"] = report.settings.get("reader")
    return found


if __name__ == "__main__":
    main()
