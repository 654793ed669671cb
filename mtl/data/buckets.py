"""Buckets: records spread over files by the hash of their passage, so that those of one passage meet again.

Memory holds one bucket at a time, and the order that comes out (by hash, then by place) owes nothing to the order that
went in, nor to the number of processes that put records in.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import orjson

from mtl.data.job import Place
from mtl.task import Task

BYTES = 8 * 2**20
"""Of a bucket, about, at most: what a worker holds at once is a few times as much."""
SMALLER, SOME = 2**20, 64
"""Buckets are smaller than BYTES as long as there are no more than SOME: small ones even out who has more to do."""
MOST = 1024


def bucket_count(size: int) -> int:
    """How many buckets for sources of `size` bytes. The order of examples does not depend on it."""
    return max(1, min(SOME, -(-size // SMALLER)), min(MOST, -(-size // BYTES)))


def buckets_of(keys: Any, count: int) -> Any:
    """Of each passage, by the bytes of its hash: rows of 32."""
    heads = np.ascontiguousarray(keys[:, :4]).view(">u4").reshape(-1).astype(np.uint64)
    return heads * np.uint64(count) >> np.uint64(32)


@dataclass(frozen=True, slots=True)
class Member:
    """One record of a passage, and the split and the source (its number) that it came from."""

    record: Any
    split: str
    source: int


Line = list[Any]
"""[hash of the passage, place, split, the record as JSON]"""


class BucketWriter:
    """Files `folder/BUCKET-WORKER.jsonl`, each opened when its first record comes."""

    def __init__(self, folder: Path, worker: str, count: int) -> None:
        self._folder, self._worker, self._count = folder, worker, count
        self._files: dict[int, BinaryIO] = {}

    def add(self, record: bytes, *, key: str, split: str, place: Place) -> None:
        """`record` as JSON."""
        bucket = int(key[:8], 16) * self._count >> 32
        file = self._files.get(bucket)
        if file is None:
            path = self._folder / f"{bucket:04}-{self._worker}.jsonl"
            file = self._files[bucket] = path.open("wb")
        file.write(orjson.dumps([key, place, split, orjson.Fragment(record)]) + b"\n")

    def close(self) -> None:
        for file in self._files.values():
            file.close()


def bucket_files(folder: Path, bucket: int) -> list[Path]:
    """One of each worker that had records for it."""
    return sorted(folder.glob(f"{bucket:04}-*.jsonl"))


def bucket_size(folder: Path, bucket: int) -> int:
    """Bytes of it."""
    return sum(path.stat().st_size for path in bucket_files(folder, bucket))


def read_bucket(folder: Path, bucket: int) -> list[Line]:
    """All lines of a bucket, by rising hash and then in the order of the source."""
    lines: list[Line] = []
    for path in bucket_files(folder, bucket):
        with path.open("rb") as file:
            lines += map(orjson.loads, file)
    return sorted(lines, key=itemgetter(0, 1))


def passages(lines: Iterable[Line], task: Task) -> Iterator[tuple[str, list[Member]]]:
    """(hash of a passage, its records) of a bucket's lines."""
    for key, group in groupby(lines, key=lambda line: str(line[0])):
        yield key, [Member(task.load(record), split, place[0]) for _, place, split, record in group]


def texts(lines: Iterable[Line]) -> Iterator[str]:
    """The texts in a bucket's records, once where rows in a row share one."""
    last: dict[str, Any] = {}
    for *_, record in lines:
        for name, value in record.items() if isinstance(record, dict) else ():
            if last.get(name) != value:
                last[name] = value
                yield from (text for text in (value if isinstance(value, list) else [value]) if isinstance(text, str))
