"""Buckets: records spread over files by the hash of their passage, so that those of one passage meet again.

Memory holds one bucket at a time, and the order that comes out (by hash, then by place) owes nothing to the order that
went in, nor to the number of processes that put records in.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any, TextIO

from mtl.data.job import Place
from mtl.task import Task

COUNT = 256
"""A million articles are then about 20 MB a bucket. The order of examples does not depend on it."""


@dataclass(frozen=True, slots=True)
class Piece:
    """One record of a passage and where it came from."""

    record: Any
    split: str
    origin: str
    place: Place


class BucketWriter:
    """Files `folder/BUCKET-WORKER.jsonl`, each opened when its first record comes."""

    def __init__(self, folder: Path, worker: int) -> None:
        self._folder, self._worker = folder, worker
        self._files: dict[int, TextIO] = {}

    def add(self, task: Task, record: Any, *, key: str, split: str, origin: str, place: Place) -> None:
        bucket = int(key[:4], 16) * COUNT >> 16
        file = self._files.get(bucket)
        if file is None:
            path = self._folder / f"{bucket:04}-{self._worker:04}.jsonl"
            file = self._files[bucket] = path.open("w", encoding="utf-8")
        file.write(json.dumps([key, place, split, origin, task.dump(record)], ensure_ascii=False) + "\n")

    def close(self) -> None:
        for file in self._files.values():
            file.close()


def passages(folder: Path, bucket: int, task: Task) -> Iterator[tuple[str, list[Piece]]]:
    """(hash of a passage, its records in the order of the source) of one bucket, by rising hash."""
    lines = []
    for path in sorted(folder.glob(f"{bucket:04}-*.jsonl")):
        with path.open(encoding="utf-8") as file:
            lines += [json.loads(line) for line in file]
    lines.sort(key=lambda line: (line[0], line[1]))
    for key, group in groupby(lines, key=lambda line: str(line[0])):
        yield key, [Piece(task.load(record), split, origin, tuple(place)) for _, place, split, origin, record in group]
