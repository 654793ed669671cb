"""Rows: real ones where ../shared/data lies beside the repository (else the demo corpus), multiplied."""

from __future__ import annotations

import gzip
import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mtl.config.data import DataConfig, SourceConfig
from mtl.sources.demo.corpus import articles as demo_articles
from mtl.sources.demo.corpus import passages as demo_passages

SHARED = Path(__file__).parents[1] / ".." / "shared" / "data"
NEW_WORDS = 0.02
"""Share of words that a copy has for itself: about what each further article adds to a corpus of this size."""
SPOILT = 500
"""One row in so many is broken, in one of several ways."""
HELD = 50
"""One row in so many goes to validation."""

Row = dict[str, Any]


def write_rows(folder: Path, *, articles: int, passages: int, processes: int | None) -> tuple[DataConfig, int]:
    """Rows as files: the configuration that reads them, and how many there are."""
    news, race, written = folder / "news", folder / "race", 0
    for path, rows, number in ((news, _articles(), articles), (race, _passages(), passages)):
        path.mkdir(parents=True)
        written += _write_split(path / "train.jsonl", rows["train"], number - number // HELD)
        written += _write_split(path / "validation.jsonl", rows["validation"], number // HELD)
    sources = [SourceConfig(task="summarize", uri=str(news)), SourceConfig(task="mcq", uri=str(race))]
    return DataConfig(sources=sources, processes=processes), written


def add_rows(folder: Path, *, share: float, turn: int) -> int:
    """Appends so many rows, new ones in each turn, to the files of train; how many they are."""
    added = 0
    for name, rows in (("news", _articles()), ("race", _passages())):
        path, groups = folder / name / "train.jsonl", rows["train"]
        with path.open(encoding="utf-8") as file:
            wanted = round(share * sum(1 for _ in file))
        with path.open("a", encoding="utf-8") as file:
            for copy in range(wanted):
                for row in _varied(groups[copy % len(groups)], 1_000_000 * (turn + 1) + copy):
                    file.write(json.dumps(row) + "\n")
                    added, wanted = added + 1, wanted - 1
                if wanted <= 0:
                    break
    return added


def _write_split(path: Path, groups: list[list[Row]], number: int) -> int:
    written = 0
    with path.open("w", encoding="utf-8") as file:
        for copy in range(number):
            for row in _varied(groups[copy % len(groups)], copy // len(groups)):
                written += 1
                file.write((json.dumps(row) if written % SPOILT else _spoilt(row, written // SPOILT)) + "\n")
    return written


def _spoilt(row: Row, number: int) -> str:
    broken = ({**row, "article": ""}, {**row, "article": 7}, {**row, "article": "a\0b"}, {"article": row["article"]})
    return [json.dumps(row)[:-9], *map(json.dumps, broken)][number % 5]


def _varied(rows: list[Row], copy: int) -> list[Row]:
    """The rows of one text with some words exchanged, the same way in each row."""
    if not copy:
        return rows
    rng = random.Random(f"{copy}:{rows[0]['article'][:200]}")
    words = rows[0]["article"].split(" ")
    for _ in range(max(4, round(NEW_WORDS * len(words)))):
        words[rng.randrange(len(words))] = _new_word(rng)
    return [{**row, "article": " ".join(words)} for row in rows]


def _new_word(rng: random.Random) -> str:
    return "".join(rng.choice("bcdfglmnprstv") + rng.choice("aeiou") for _ in range(rng.randint(2, 4))).capitalize()


def _articles() -> dict[str, list[list[Row]]]:
    if SHARED.is_dir():
        return {split: [[row] for row in _shared("cnn_dailymail", split)] for split in ("train", "validation")}
    return {split: [[row] for row in demo_articles(seed, 400)] for seed, split in enumerate(("train", "validation"))}


def _passages() -> dict[str, list[list[Row]]]:
    found: dict[str, list[list[Row]]] = {}
    for seed, split in enumerate(("train", "validation")):
        rows = _shared("race", split) if SHARED.is_dir() else iter(demo_passages(seed, 400))
        grouped: dict[str, list[Row]] = {}
        for row in rows:
            grouped.setdefault(str(row["article"]), []).append(row)
        found[split] = list(grouped.values())
    return found


def _shared(name: str, split: str) -> Iterator[Row]:
    with gzip.open(SHARED / name / f"{split}.jsonl.gz") as file:
        yield from map(json.loads, file)
