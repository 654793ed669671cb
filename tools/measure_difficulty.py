"""How well the difficulty labels separate RACE's levels, on any source of mcq rows.

    python tools/measure_difficulty.py ../shared/data/race
    python tools/measure_difficulty.py hub:ehovy/race --name all --revision COMMIT

For each split, as one JSON document: questions of each level, the labels that scheme `overlap` gives to those of high,
which share of each level is at least as easy as the mark that makes a question Medium (the rule itself looks at it for
high alone), and how often, of a question of each of two levels drawn at random, the one of the lower level is easier
(0.5 is chance).
"""

from __future__ import annotations

import argparse
import json
import tempfile
from bisect import bisect_left, bisect_right
from collections import defaultdict
from itertools import combinations
from pathlib import Path
from typing import Any

from mtl.config.data import SourceConfig
from mtl.sources.base import Source
from mtl.sources.open import open_source
from mtl.task import BadRow
from mtl.tasks import mcq_rows
from mtl.tasks.difficulty import LEVELS, MEDIUM_FROM, ease, reading


def main() -> None:
    """Reads the source of the command line; prints the figures of each of its splits."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("uri", help="as in a configuration: a file, a folder, an archive, hub:OWNER/NAME, s3://…")
    parser.add_argument("--name", help="Hub configuration")
    parser.add_argument("--revision", help="Hub commit")
    options = parser.parse_args()
    config = SourceConfig(task="mcq", uri=options.uri, name=options.name, revision=options.revision)
    with tempfile.TemporaryDirectory() as cache:
        source = open_source(config, 0, cache=Path(cache))
        print(json.dumps({split: figures(eases(source, split)) for split in source.splits()}, indent=2))


def eases(source: Source, split: str) -> dict[str, list[float]]:
    """{level: the ease of each of its questions, rising}; bad rows are left out."""
    found: dict[str, list[float]] = defaultdict(list)
    text, read = "", reading("")
    for row in source.rows(split):
        if isinstance(row.value, BadRow):
            continue
        try:
            record = mcq_rows.read(row.value)
        except BadRow:
            continue
        if record.passage != text:  # questions of one passage come one after the other
            text, read = record.passage, reading(record.passage)
        found[record.level].append(ease(read, record.question, record.right))
    return {level: sorted(found[level]) for level in LEVELS if level in found}


def figures(levels: dict[str, list[float]]) -> dict[str, Any]:
    """What the module's docstring says, of one split."""
    reach = {level: (len(its) - bisect_left(its, MEDIUM_FROM)) / len(its) for level, its in levels.items()}
    labels = {"Medium": reach["high"], "Hard": 1 - reach["high"]} if "high" in reach else {}
    return {
        "questions": {level: len(its) for level, its in levels.items()},
        "labels_of_high": {label: round(share, 3) for label, share in labels.items()},
        "as_easy_as_medium": {level: round(share, 3) for level, share in reach.items()},
        "lower_is_easier": {
            f"{low} than {high}": round(easier(levels[low], levels[high]), 3) for low, high in combinations(levels, 2)
        },
    }


def easier(low: list[float], high: list[float]) -> float:
    """Probability that a question of `low` is easier than one of `high`, ties counted half."""
    wins = sum(bisect_left(high, value) + bisect_right(high, value) for value in low)
    return wins / (2 * len(low) * len(high))


if __name__ == "__main__":
    main()
