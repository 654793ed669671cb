"""Rows that the package makes itself: the demo corpus, in the Hub's field names, with disjoint seeds for the splits."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from mtl.errors import NotFoundError, did_you_mean
from mtl.fingerprint import sha256_bytes, sha256_json, sha256_sources
from mtl.sources.base import WHOLE, Chunk, Description, Known, Note, Part, RawRow, in_parts
from mtl.sources.demo.corpus import articles, passages
from mtl.sources.splits import SPLITS

DOCUMENTS: Mapping[str, int] = {"train": 2000, "validation": 200, "test": 200}
"""Documents of each split where the configuration names none."""

_BYTES = 1000
"""About what a document and its rows take."""

_GENERATORS: Mapping[str, Callable[[int, int], Iterator[dict[str, Any]]]] = {
    "summarize": lambda seed, count: iter(articles(seed, count)),
    "mcq": lambda seed, count: iter(passages(seed, count)),
}


class DemoSource:
    """`counts` documents (not rows: a passage has several questions) of each split, a function of `seed`."""

    def __init__(self, task: str, *, seed: int, counts: Mapping[str, int]) -> None:
        if task not in _GENERATORS:
            raise NotFoundError(
                f"the demo corpus has no rows for task {task!r}",
                field="sources.task",
                hint=did_you_mean(task, _GENERATORS),
            )
        self._task, self._seed, self._counts = task, seed, dict(counts or DOCUMENTS)

    def splits(self) -> tuple[str, ...]:
        return tuple(split for split in SPLITS if self._counts.get(split))

    def rows(self, split: str, part: Part = WHOLE) -> Iterator[RawRow]:
        rows = _GENERATORS[self._task](split_seed(self._seed, split), self._counts[split])
        place = f"demo/{self._task}/{split}"
        return (RawRow(row, place, n + 1) for n, row in enumerate(rows) if part.has(0, n))

    def chunks(self, split: str, of: int, known: Known) -> list[Chunk]:
        return in_parts(split, of, self.size() // len(self.splits()))

    def read(self, chunk: Chunk) -> Iterator[RawRow]:
        return self.rows(chunk.split, chunk.part)

    def local(self, chunk: Chunk) -> None:
        return None

    def size(self) -> int:
        return sum(self._counts.values()) * _BYTES

    def notes(self) -> list[Note]:
        return []

    def describe(self) -> Description:
        return Description(self._task, "demo", f"seed {self._seed}", self.stamp())

    def stamp(self) -> str:
        code = sha256_sources(["mtl.sources.demo"])
        return sha256_json([self._task, self._seed, self._counts, code])


def split_seed(seed: int, split: str) -> int:
    """The generator's seed for a split: no two splits of any two seeds share one, short of a 48-bit collision."""
    return int(sha256_bytes(f"demo:{seed}:{split}".encode())[:12], 16)
