"""What came of rendering: of the passages rendered now, and of those that the data set before this one has already.

Of a data set an index is kept: for each of its passages the hash of what it was made of, and how many examples it has.
A passage that is made of the same again is taken from that data set's files, which are checked by their hashes. An
index that is damaged or of other rules, and files that are gone, are as none.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mtl import layout
from mtl.data.arrays import read_arrays, write_arrays
from mtl.data.job import Job
from mtl.data.manifest import FileEntry
from mtl.data.passages import Ints
from mtl.data.pieces import Pieces, code
from mtl.data.rendering import RENDERED, Dropped
from mtl.data.shards import MEASURE, Examples
from mtl.data.splits import ORDER
from mtl.errors import DamageError, MtlError
from mtl.fingerprint import sha256_file, sha256_json
from mtl.sources.feedback import address
from mtl.store.base import ObjectStore
from mtl.tasks.table import get_task

KNOWN = np.dtype([*RENDERED.descr, ("digest", "u1", 16), ("goal", "u1")])


@dataclass(frozen=True, slots=True)
class Outcome:
    """Passages by rising key (of KNOWN); labels: names, and how many records of each passage have each of them;
    measures and files of the examples by split, in the order of the passages."""

    passages: Any
    names: tuple[str, ...]
    labels: Any
    dropped: Dropped
    measures: Mapping[str, Any]
    files: Mapping[str, Sequence[Examples]]

    def starts(self) -> Ints:
        """Where the examples of each passage begin among those of its split."""
        found = np.zeros(len(self.passages), dtype=np.int64)
        for goal in range(len(ORDER)):
            mine = self.passages["goal"] == goal
            numbers = self.passages["examples"][mine].astype(np.int64)
            found[mine] = np.cumsum(numbers) - numbers
        return found

    def labelled(self, names: Sequence[str]) -> Any:
        """The labels as columns of these names."""
        found = np.zeros((len(self.passages), len(names)), dtype=np.int64)
        for column, name in enumerate(self.names):
            found[:, names.index(name)] = self.labels[:, column]
        return found


NOTHING = Outcome(
    np.zeros(0, KNOWN),
    (),
    np.zeros((0, 0), "<u4"),
    [],
    {split: np.zeros(0, MEASURE) for split in ORDER},
    dict.fromkeys(ORDER, ()),
)


def rendered_now(job: Job, task: str, buckets: Sequence[int], goals: npt.NDArray[np.uint8]) -> Outcome:
    """What the workers left under these buckets. goals: of all their passages, by rising key."""
    names: list[str] = []
    parts, labels, dropped = [np.zeros(0, RENDERED)], [], Dropped()
    measures: dict[str, list[Any]] = {split: [np.zeros(0, MEASURE)] for split in ORDER}
    files: dict[str, list[Examples]] = {split: [] for split in ORDER}
    for bucket in buckets:
        document, arrays = read_arrays(job.rendered(task, bucket))
        before = sum(map(len, parts))
        dropped += [(before + passage, *rest) for passage, *rest in document["dropped"]]
        names += [name for name in document["labels"] if name not in names]
        labels.append((document["labels"], arrays["labels"]))
        parts.append(arrays["passages"])
        for split in ORDER:
            if split in arrays:
                measures[split].append(arrays[split])
                files[split].append(Examples(job.examples(task, split, bucket), len(arrays[split])))
    passages = np.zeros(sum(map(len, parts)), KNOWN)
    for name in RENDERED.names or ():
        passages[name] = np.concatenate(parts)[name]
    passages["goal"] = goals
    return Outcome(
        passages,
        tuple(names),
        np.concatenate([np.zeros((0, len(names))), *(_columns(its, table, names) for its, table in labels)]),
        dropped,
        {split: np.concatenate(its) for split, its in measures.items()},
        files,
    )


def _columns(own: Sequence[str], table: Any, names: Sequence[str]) -> Any:
    found = np.zeros((len(table), len(names)))
    for column, name in enumerate(own):
        found[:, names.index(name)] = table[:, column]
    return found


class Index:
    """The index of the data set that was last made of a task's sources by the same rules."""

    def __init__(self, job: Job, task: str, pieces: Pieces, store: ObjectStore) -> None:
        its = get_task(task)
        self._job, self._task, self._pieces, self._store = job, task, pieces, store
        self._rules = sha256_json(["render", code(), task, its.version, job.recipe.document(), job.encoder.sha256])
        uris = [address(source.uri) for source in job.sources if source.task == task]
        self._paths = [pieces.path(sha256_json([self._rules, *its])) for its in ([uris], [])]

    def load(self) -> Outcome:
        """What is known of passages: of the same sources, else of any; nothing where that cannot be used whole."""
        found = self._load(self._paths[0])
        return found if len(found.passages) else self._load(self._paths[1])

    def _load(self, path: Path) -> Outcome:
        try:
            document, arrays = read_arrays(path)
            if document["rules"] != self._rules:
                return NOTHING
            files = {
                split: [self._file(document["fingerprint"], *file) for file in document["files"][split]]
                for split in ORDER
            }
            os.utime(path)
        except (OSError, MtlError, KeyError, TypeError, ValueError):
            return NOTHING
        dropped = [tuple(row) for row in document["dropped"]]
        measures = {split: arrays[split] for split in ORDER}
        return Outcome(arrays["passages"], tuple(document["labels"]), arrays["labels"], dropped, measures, files)

    def _file(self, fingerprint: str, name: str, sha256: str, rows: int) -> Examples:
        """One of that data set, linked so that it stays there while it is used."""
        mine = self._job.folder / "before" / f"{self._task}-{name}"
        mine.parent.mkdir(exist_ok=True)
        mine.unlink(missing_ok=True)
        kept = self._job.cache / layout.dataset_prefix(fingerprint) / name
        if kept.is_file():
            os.link(kept, mine)
        else:
            self._store.get_file(f"{layout.dataset_prefix(fingerprint)}/{name}", mine)
        if sha256_file(mine) != sha256:
            raise DamageError(f"{kept} is damaged", hint="its passages are rendered again")
        return Examples(mine, rows)

    def save(self, fingerprint: str, found: Outcome, entries: Mapping[str, Sequence[FileEntry]], rows: int) -> None:
        """Keeps what was found for the next time. rows: examples in each file but the last of a split."""
        files = {
            split: [
                [entry.path, entry.sha256, min(rows, len(found.measures[split]) - number * rows)]
                for number, entry in enumerate(entries[split])
            ]
            for split in ORDER
        }
        document = {
            "rules": self._rules,
            "fingerprint": fingerprint,
            "files": files,
            "labels": found.names,
            "dropped": found.dropped,
        }
        arrays = {"passages": found.passages, "labels": found.labels.astype("<u4"), **found.measures}
        for path in self._paths:
            write_arrays(path, document, arrays)
