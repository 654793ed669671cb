"""Job: a preparation as its workers see it. Their functions take it and what to do, and leave files in its folder.

Work goes in three rounds, each a list of pieces that know nothing of one another: read the rows into buckets, render
the passages of each bucket, write the shards. So the same bytes come out of one process, of many, and of a cluster
whose machines share nothing: a piece says which files of the folder it takes, and leaves others there.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np

from mtl.config.data import SourceConfig
from mtl.config.feedback import is_feedback
from mtl.data.recipe import Recipe
from mtl.data.tokens import Encoder, load_encoder
from mtl.sources.splits import SPLITS

T = TypeVar("T")
R = TypeVar("R")

MARK = 1000
"""Rows or passages to one mark of progress."""

Place = tuple[int, int, int, int]
"""(source, split, file, line): where a row stands among all of them, however they are read."""


@dataclass(frozen=True, slots=True)
class Job:
    """folder: where the work is kept. cache: for sources that are far away. count: of buckets.

    away: the folder is another machine's, which has only what a piece needs: files of its sources lie there too.
    """

    folder: Path
    cache: Path
    sources: tuple[SourceConfig, ...]
    recipe: Recipe
    count: int
    away: bool = False

    @property
    def encoder(self) -> Encoder:
        """One a process, so that the words it learns serve all the work that comes to it."""
        return load_encoder(self.tokenizer)

    @property
    def people(self) -> frozenset[int]:
        """Numbers of the sources whose rows come from people."""
        return frozenset(number for number, source in enumerate(self.sources) if is_feedback(source.uri))

    @property
    def tokenizer(self) -> Path:
        return self.folder / "tokenizer.json"

    def buckets(self, task: str) -> Path:
        return self.folder / f"buckets-{task}"

    def piece(self, number: int) -> Path:
        """What came of reading unit `number`."""
        return self.folder / "pieces" / f"{number:06}.piece"

    def plan(self, task: str) -> Path:
        """Which passages are to be rendered."""
        return self.folder / f"plan-{task}.arrays"

    def rendered(self, task: str, bucket: int) -> Path:
        """What came of a bucket's passages, besides the examples."""
        return self.folder / "rendered" / f"{task}-{bucket:04}.arrays"

    def source(self, number: int) -> Path:
        """Where files of a source lie for a piece that is worked on elsewhere."""
        return self.folder / "sources" / str(number)

    def need(self, path: Path, *, shared: bool = False) -> Need:
        """A file of the folder that a piece of work takes."""
        return Need(path, path.relative_to(self.folder), shared=shared)

    def examples(self, task: str, split: str, bucket: int) -> Path:
        return self.folder / "examples" / f"{task}-{split}-{bucket:04}.arrow"

    def mark(self, stage: str, worker: str) -> None:
        """One more mark of progress, as a byte of a file: anyone who shares the folder can see it."""
        with (self.folder / "progress" / f"{stage}-{worker}").open("ab") as file:
            file.write(b".")

    def make_folders(self) -> None:
        for name in ("examples", "pieces", "progress", "rendered"):
            (self.folder / name).mkdir(parents=True)
        for task in self.recipe.tasks:
            self.buckets(task).mkdir()


@dataclass(frozen=True, slots=True)
class Need:
    """A file that a piece of work takes. place: where, below the job's folder. start, stop: the bytes that are looked
    at, None for up to the end. shared: other pieces take the same."""

    path: Path
    place: Path
    start: int = 0
    stop: int | None = None
    shared: bool = False

    def read(self) -> Any:
        """The bytes, as an array: Ray hands those on without a copy."""
        return np.fromfile(self.path, np.uint8, -1 if self.stop is None else self.stop - self.start, offset=self.start)


@dataclass(frozen=True, slots=True)
class Round(Generic[T, R]):
    """What is done with each piece of work, and what it takes. All else that it finds in its folder it has made."""

    job: Job
    do: Callable[[Job, T], R]
    needs: Callable[[Job, T], Iterable[Need]]

    def __call__(self, item: T) -> R:
        return self.do(self.job, item)


def split_number(split: str) -> int:
    return SPLITS.index(split)


@dataclass(slots=True)
class Tally:
    """Rows of one task, as they end. read: (source, split); refused: source; reasons: (source, reason);
    rows, kept, merged, quarantined: split; labels: (split, label); feedback: split, kept and merged rows of people;
    displaced: source, rows of others that made way for rows of people."""

    read: Counter[tuple[int, str]] = field(default_factory=Counter)
    rows: Counter[str] = field(default_factory=Counter)
    kept: Counter[str] = field(default_factory=Counter)
    merged: Counter[str] = field(default_factory=Counter)
    quarantined: Counter[str] = field(default_factory=Counter)
    labels: Counter[tuple[str, str]] = field(default_factory=Counter)
    reasons: Counter[tuple[int, str]] = field(default_factory=Counter)
    feedback: Counter[str] = field(default_factory=Counter)
    displaced: Counter[int] = field(default_factory=Counter)

    def add(self, other: Tally) -> None:
        for name in self.__slots__:
            getattr(self, name).update(getattr(other, name))

    def by_reason(self) -> Counter[str]:
        found: Counter[str] = Counter()
        for (_, reason), number in self.reasons.items():
            found[reason] += number
        return found

    def bad(self, source: int) -> Counter[str]:
        """Rows of one source by the reason for which they were refused."""
        return Counter({reason: number for (its, reason), number in self.reasons.items() if its == source})

    def total(self, source: int) -> int:
        return sum(number for (its, _), number in self.read.items() if its == source)
