"""Does drift alarm when it should, and only then?

    python benchmarks/bench_drift.py [--quick]

1. False alarms: random halves of the same texts, of each source and each number of texts. The number of texts matters:
   with few, the area under the curve is far from 0.5 by chance.
2. Other domains: the demo's articles against CNN/DailyMail, and RACE's passages of high schools against those of middle
   schools. Ten samples of each number of texts. The demo's articles against its passages, a third of which are such
   articles, show what is found of a nearer domain; nothing is demanded of them.
3. Diluted: a share of the fresh texts is of the other domain.
4. Repeated passages: halves of examples of which five each are about one passage, as they are compared (each passage
   once) and as they would be if each example counted.

CNN/DailyMail and RACE are read from ../shared/data, if that folder is there. Prints one JSON object as its last line.
Exits with 1 if more than 5 in 100 halves alarm, or if another domain with 100 texts or more is missed once.
"""

from __future__ import annotations

import argparse
import gzip
import json
import random
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from mtl.config.watch import WatchConfig
from mtl.evaluation.drift.compare import drifted
from mtl.evaluation.drift.domain import tell_apart
from mtl.evaluation.drift.records import Bars, Domain
from mtl.sources.demo.corpus import articles, passages

SHARED = Path(__file__).parents[2] / "shared" / "data"
SIZES = (50, 100, 200, 500)
"""Texts of a side."""
WATCH = WatchConfig()
BARS = Bars(WATCH.drift_auc, WATCH.drift_p)
MOST_FALSE, SURE = 0.05, 100
"""At most this share of halves may alarm; from so many texts on, no other domain may be missed."""
_DOCUMENTS = 1200
_NEAR = "demo passages"
_WHOLE = ("demo articles", "demo passages", "RACE", "CNN/DailyMail")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="about 100 halves, and up to 100 texts a side")
    quick = parser.parse_args().quick
    began, spent = time.perf_counter(), time.process_time()
    sources, sizes = read_sources(), SIZES[:2] if quick else SIZES
    halves = [row for name in _WHOLE if name in sources for row in _halves(name, sources[name], sizes, quick=quick)]
    _print("Halves of the same texts", halves)
    others = [row for pair in _pairs(sources) for row in _others(*pair, sizes)]
    _print("Another domain", others)
    diluted = [row for pair in _pairs(sources) for row in _diluted(*pair, sizes[-1], 3 if quick else 5)]
    _print("A share of the fresh texts is of another domain", diluted)
    repeated = _repeated(sources["demo articles"], splits=10 if quick else 40)
    _print("Halves of examples, five about each passage", repeated)
    number, alarms = sum(row["splits"] for row in halves), sum(row["alarms"] for row in halves)
    wanted = [row for row in others if row["texts"] >= SURE and row["fresh"] != _NEAR]
    missed = [f"{row['fresh']} against {row['reference']}" for row in wanted if row["found"] < 1]
    document = {
        "bars": {"auc": BARS.auc, "p": BARS.p},
        "false_alarms": {"splits": number, "alarms": alarms, "share": round(alarms / number, 4)},
        "halves": halves,
        "others": others,
        "diluted": diluted,
        "repeated": repeated,
        "missed": missed,
        "real_data": SHARED.is_dir(),
        "passed": not missed and alarms <= MOST_FALSE * number,
        "seconds": round(time.perf_counter() - began, 1),
        "cpu_seconds": round(time.process_time() - spent, 1),
    }
    print(f"{alarms} of {number} halves alarmed")
    print(json.dumps(document))
    sys.exit(not document["passed"])


def read_sources() -> dict[str, list[str]]:
    """Texts by source, each text once."""
    found = {
        "demo articles": [row["article"] for row in articles(1, _DOCUMENTS)],
        "demo passages": [str(row["article"]) for row in passages(1, _DOCUMENTS)],
    }
    if SHARED.is_dir():
        race = [*_rows("race/train"), *_rows("race/validation")]
        found["RACE"] = [row["article"] for row in race]
        found["RACE middle"] = [row["article"] for row in race if row["level"] == "middle"]
        found["RACE high"] = [row["article"] for row in race if row["level"] == "high"]
        found["CNN/DailyMail"] = [
            row["article"] for name in ("train", "validation") for row in _rows(f"cnn_dailymail/{name}")
        ]
    return {name: list(dict.fromkeys(texts)) for name, texts in found.items()}


def _rows(name: str) -> list[dict[str, Any]]:
    with gzip.open(SHARED / f"{name}.jsonl.gz", "rt", encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def _pairs(sources: dict[str, list[str]]) -> Iterator[tuple[str, list[str], str, list[str]]]:
    """(name of the fresh texts, these, name of the reference texts, these)"""
    wanted = [(_NEAR, "demo articles"), ("CNN/DailyMail", "demo articles"), ("RACE middle", "RACE high")]
    for fresh, reference in wanted:
        if fresh in sources:
            yield fresh, sources[fresh], reference, sources[reference]


def _halves(name: str, texts: Sequence[str], sizes: Sequence[int], *, quick: bool) -> Iterator[dict[str, Any]]:
    for size in sizes:
        if 2 * size > len(texts):
            continue
        splits, found = 12 if quick or size > 200 else 40, []
        for seed in range(splits):
            drawn = random.Random(f"{name} {size} {seed}").sample(list(texts), 2 * size)
            found.append(tell_apart(drawn[:size], drawn[size:], seed=seed))
        areas = sorted(its.auc for its in found)
        yield {
            "source": name,
            "texts": size,
            "splits": splits,
            "alarms": sum(drifted(its, BARS) for its in found),
            "area (median)": round(areas[len(areas) // 2], 3),
            "area (highest)": round(areas[-1], 3),
            "p <= 0.05": round(sum(its.p <= 0.05 for its in found) / splits, 3),
        }


def _others(
    fresh: str, new: Sequence[str], reference: str, old: Sequence[str], sizes: Sequence[int]
) -> Iterator[dict[str, Any]]:
    for size in sizes:
        found = [_drawn(old, new, size, share=1.0, seed=seed) for seed in range(10)]
        yield {"fresh": fresh, "reference": reference, "texts": size, **_summary(found)}


def _diluted(
    fresh: str, new: Sequence[str], reference: str, old: Sequence[str], size: int, samples: int
) -> Iterator[dict[str, Any]]:
    for share in (0.1, 0.2, 0.3, 0.5):
        found = [_drawn(old, new, size, share=share, seed=seed) for seed in range(samples)]
        yield {"fresh": fresh, "reference": reference, "texts": size, "share": share, **_summary(found)}


def _summary(found: Sequence[Domain]) -> dict[str, Any]:
    return {
        "found": round(sum(drifted(its, BARS) for its in found) / len(found), 3),
        "area (lowest)": round(min(its.auc for its in found), 3),
        "area (highest)": round(max(its.auc for its in found), 3),
        "p (highest)": max(its.p for its in found),
    }


def _drawn(old: Sequence[str], new: Sequence[str], size: int, *, share: float, seed: int) -> Domain:
    rng = random.Random(seed)
    others = min(round(size * share), len(new))
    same = size - others if share < 1 else 0
    reference = rng.sample(list(old), min(size, len(old) - same) + same)
    return tell_apart(reference[same:], [*reference[:same], *rng.sample(list(new), others)], seed=seed)


def _repeated(texts: Sequence[str], *, splits: int) -> list[dict[str, Any]]:
    """The examples of a passage have the same text, and are on the same side of a split."""
    passages_of_a_side, each = 60, 5
    counted: dict[str, list[Domain]] = {"each passage once": [], "each example": []}
    for seed in range(splits):
        drawn = random.Random(seed).sample(list(texts), 2 * passages_of_a_side)
        sides = drawn[:passages_of_a_side], drawn[passages_of_a_side:]
        examples = [[text for text in side for _ in range(each)] for side in sides]
        counted["each passage once"].append(tell_apart(*sides, seed=seed))
        counted["each example"].append(tell_apart(*examples, seed=seed))
    return [
        {
            "counted": name,
            "splits": splits,
            "alarms": sum(drifted(its, BARS) for its in found),
            "p <= 0.05": round(sum(its.p <= 0.05 for its in found) / splits, 3),
        }
        for name, found in counted.items()
    ]


def _print(title: str, rows: Sequence[dict[str, Any]]) -> None:
    names = list(rows[0])
    cells = [names, *([str(row[name]) for name in names] for row in rows)]
    widths = [max(len(line[place]) for line in cells) for place in range(len(names))]
    print(f"\n{title}")
    for line in cells:
        print("  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip(), flush=True)


if __name__ == "__main__":
    main()
