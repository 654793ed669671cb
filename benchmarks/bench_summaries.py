"""Do `supported` and `consistent` fall when a summary is wrong? Clean summaries against corrupted ones.

    python benchmarks/bench_summaries.py [--quick] [--model REF] [--documents N] [--news FILE]

In each corrupted summary one name, number or sentence is swapped for one from another article. A name or number is
swapped only if the article has it, too: what the article does not have is no clean summary's. On the demo's corpus the
summaries are the references of documents that no training ever saw; --news measures `supported` on rows of
CNN/DailyMail (JSONL, may be gzipped) as well: on references whose names and numbers are all in their article (by plain
string search, not by the metric), and on all of them. Prints one JSON object as its last line: the areas under the ROC
curve, one value a summary, and `passed`, which says for each bar whether it was reached.
"""

from __future__ import annotations

import argparse
import gzip
import json
import random
import re
import sys
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from bench_demo import MODEL, Writer

from mtl.errors import NotFoundError
from mtl.evaluation.consistency import plan_checks, with_consistency
from mtl.evaluation.reader import BASE, load_reader
from mtl.example import Example
from mtl.metrics.supported import supported
from mtl.model.load import load_for_generation, load_spec
from mtl.release.refs import resolve_ref
from mtl.settings import load_settings
from mtl.sources.demo.corpus import articles
from mtl.store.open import open_store
from mtl.tasks.table import TASKS

SEED = 990_021  # training seeds are hashes of (seed, split) far above this
NAME = re.compile(r"(?<=[a-z,] )[A-Z][a-z]+(?: [A-Z][a-z]+)*\b")
NUMBER = re.compile(r"(?<![\w.,/-])\d+(?:[.,]\d+)*(?![\w/-])")
BAR = 0.9

Pair = tuple[str, str]
"""An article and its summary."""
Corrupt = Callable[[random.Random, Pair, Pair], str | None]
"""(rng, pair, another pair) -> the summary with one thing from the other article, or None where there is nothing."""


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer documents")
    parser.add_argument(
        "--model", default="champion", help="champion, candidate, vN or a folder; none skips consistent"
    )
    parser.add_argument("--documents", type=int, help="documents (default 400, quick 100)")
    parser.add_argument("--news", type=Path, help="rows of CNN/DailyMail, for example train.jsonl.gz")
    arguments = parser.parse_args()
    count = arguments.documents or (100 if arguments.quick else 400)
    demo = [_pair(row) for row in articles(SEED, count)]
    found: dict[str, dict[str, Any]] = {"demo supported": _areas(demo, _supported)}
    if arguments.news:
        news = [_pair(row) for row in _rows(arguments.news)]
        found["news supported"] = _areas([pair for pair in news if _faithful(pair)], _supported)
        found["news supported, all references"] = _areas(news, _supported)
    if arguments.model != "none":
        found["demo consistent"] = _areas(demo, Consistency(_folder(arguments.model)))
    print(json.dumps({**found, "documents": count, "seed": SEED, "model": arguments.model, "passed": _passed(found)}))


def _pair(row: dict[str, Any]) -> Pair:
    record = TASKS["summarize"].read(row)
    return record.article, record.highlights


def _rows(path: Path) -> Iterable[dict[str, Any]]:
    with gzip.open(path, "rt") if path.suffix == ".gz" else path.open() as lines:
        yield from map(json.loads, lines)


def _faithful(pair: Pair) -> bool:
    """Whether the article has all names and numbers of the summary, word by word."""
    article, summary = pair
    found = [word for pattern in (NAME, NUMBER) for text in pattern.findall(summary) for word in text.split()]
    return all(_has(article, word) for word in found)


def _has(text: str, part: str) -> bool:
    return re.search(rf"(?<!\w){re.escape(part)}(?!\w)", text) is not None


def _other(pattern: re.Pattern[str]) -> Corrupt:
    def corrupt(rng: random.Random, pair: Pair, other: Pair) -> str | None:
        article, summary = pair
        here = [found for found in pattern.finditer(summary) if _has(article, found[0])]
        if not here:
            return None
        found = rng.choice(here)
        there = [text for text in pattern.findall(other[0]) if text != found[0]]
        return summary[: found.start()] + rng.choice(there) + summary[found.end() :] if there else None

    return corrupt


def _sentence(rng: random.Random, pair: Pair, other: Pair) -> str | None:
    ours, theirs = (re.split(r"(?<=[.!?]) ", summary) for _, summary in (pair, other))
    ours[rng.randrange(len(ours))] = rng.choice(theirs)
    return " ".join(ours)


CORRUPTIONS: dict[str, Corrupt] = {"name": _other(NAME), "number": _other(NUMBER), "sentence": _sentence}
Score = Callable[[Sequence[Pair]], list[float | None]]


def _areas(pairs: Sequence[Pair], score: Score) -> dict[str, Any]:
    """Corruption -> the area under the curve, and of how many summaries of each kind."""
    found: dict[str, Any] = {}
    for kind, corrupt in CORRUPTIONS.items():
        swapped = [
            (pair, (pair[0], text))
            for at, pair in enumerate(pairs)
            if (text := _swapped(corrupt, pairs, at, kind)) is not None and text != pair[1]
        ]
        clean, wrong = (
            [value for value in score([it[side] for it in swapped]) if value is not None] for side in (0, 1)
        )
        found[kind] = {"area": _area(clean, wrong), "clean": len(clean), "corrupted": len(wrong), "of": len(swapped)}
    return found


def _swapped(corrupt: Corrupt, pairs: Sequence[Pair], at: int, kind: str) -> str | None:
    rng = random.Random(f"{kind}:{at}")
    others = (pairs[(at + rng.randrange(1, len(pairs))) % len(pairs)] for _ in range(20))
    return next((text for other in others if (text := corrupt(rng, pairs[at], other)) is not None), None)


def _area(clean: Sequence[float], wrong: Sequence[float]) -> float | None:
    """The chance that a clean summary has a higher value than a corrupted one; a tie is half of one."""
    if not clean or not wrong:
        return None
    ordered = sorted(wrong)
    wins = sum(bisect_left(ordered, value) + bisect_right(ordered, value) for value in clean) / 2
    return round(wins / (len(clean) * len(wrong)), 4)


def _supported(pairs: Sequence[Pair]) -> list[float | None]:
    return [supported(summary, article) for article, summary in pairs]


class Consistency:
    """`consistent` as an evaluation measures it: the model asks, its base reads."""

    def __init__(self, folder: Path) -> None:
        spec = load_spec(folder)
        self._write = Writer(*load_for_generation(spec.base, spec.revision, folder), spec)
        self._limit = spec.max_new_tokens["mcq"]
        self._reader = load_reader(
            BASE, None, candidate=folder, max_input_tokens=spec.max_input_tokens, batch_tokens=8192
        )

    def __call__(self, pairs: Sequence[Pair]) -> list[float | None]:
        task = TASKS["summarize"]
        examples = [Example(task.prompt(article, {}), "", task.name, f"{at}") for at, (article, _) in enumerate(pairs)]
        texts = [f"Summary: {summary}" for _, summary in pairs]
        asking = Example(TASKS["mcq"].prompt("...", {"easy": 1}), "", "mcq", "")
        checks = plan_checks(TASKS, [*examples, asking], per_task=len(pairs), seed=SEED)
        assert checks is not None, "there is a task of each kind"
        asked = checks.ask(self._answer, [*texts, ""], max_new_tokens=self._limit)
        scored = with_consistency(TASKS, checks, [asked], self._reader)[task.name]
        return [scored.score(example, text)["consistent"] for example, text in zip(examples, texts, strict=True)]

    def _answer(self, inputs: Sequence[str], *, max_new_tokens: int) -> list[str]:
        return self._write(list(inputs), "mcq")


def _folder(ref: str) -> Path:
    settings = load_settings()
    try:
        return Path(resolve_ref(ref, store=open_store(settings.store), model=MODEL, cache=settings.cache).folder)
    except NotFoundError as error:
        sys.exit(f"{error}: retrain the demo first (mtl retrain -c conf/demo.yaml), or give --model none")


def _passed(found: dict[str, dict[str, Any]]) -> dict[str, bool]:
    judged = [name for name in found if "all references" not in name]
    return {
        f"{name}, swapped {kind} >= {BAR}": (found[name][kind]["area"] or 0) >= BAR
        for name in judged
        for kind in ("name", "number")
    }


if __name__ == "__main__":
    main()
