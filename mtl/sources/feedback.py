"""Rows of people: what they corrected of answers, or marked as good, as the object store has it.

Feedback comes in all the time, and a preparation reads its sources several times, in several processes. So what is
there when it begins is taken once (`taken`), as a jsonl file of rows in the task's own columns, named by their hash.
From then on it is a source of files like any other, which also travels to other machines like one.

Corrections and answers that are merely good are files of their own, so that a preparation can read the first before
all other sources and the second behind them (`corrected_first`).
"""

from __future__ import annotations

import json
import math
import re
import shutil
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from mtl.config.data import SourceConfig
from mtl.config.feedback import FEEDBACK, is_feedback, model_of, shares_of
from mtl.errors import NotFoundError
from mtl.fingerprint import canonical_json, sha256_bytes, sha256_file, sha256_json
from mtl.layout import check_model_name
from mtl.sources.base import WHOLE, Chunk, Description, Known, Local, Note, Part, RawRow
from mtl.sources.files import FileSource
from mtl.sources.splits import SPLITS
from mtl.store.base import ObjectStore
from mtl.store.files import written_aside
from mtl.task import Row, Task
from mtl.tasks.table import get_task
from mtl.traffic.records import Feedback
from mtl.traffic.store import read_feedback

_NOTES = "notes.json"
_KEPT_SECONDS = 24 * 3600
"""For how long a snapshot stays after another was taken: a preparation may still read it."""
_TAKEN = re.compile(r"(?P<address>[^@]+)@(?P<name>[0-9a-f]{32})(?:\.(?P<part>corrected|good))?")
_PARTS = ("corrected", "good")
"""The verdicts that teach, the stronger one first."""


def taken(config: SourceConfig, store: ObjectStore, cache: Path, *, among: Sequence[SourceConfig] = ()) -> SourceConfig:
    """The source, naming the snapshot of what people have said so far; any other source as it is.

    among: all sources; what people said of a task that none of them reads is told, since it would be missed by nobody.
    Errors: NotFoundError for a task that does not learn from feedback, and without the name of a model.
    """
    if not is_feedback(config.uri) or _TAKEN.fullmatch(config.uri):
        return config
    task, model = get_task(config.task), model_of(config.uri)
    if not model:
        raise NotFoundError("feedback of which model?", field="sources.uri", hint="feedback:MODEL, a registered model")
    damaged: list[str] = []
    every = list(read_feedback(store, check_model_name(model), on_damage=damaged.append))
    rows, notes = rows_of(task, every)
    read = {its.task for its in among if address(its.uri) == config.uri}
    if unread := Counter(its.task for its in every if read and its.task not in read):
        tasks = ", ".join(f"{name} {number}" for name, number in sorted(unread.items()))
        notes.append(Note("", f"opinions of tasks that no source of this uri reads: {tasks}", usual=True))
    if damaged:
        notes.append(Note("", f"opinions that are damaged and left out: {len(damaged)}; the log names their objects"))
    shares = shares_of({str(split): value for split, value in config.files.items()})
    room: dict[str, float] = dict.fromkeys(SPLITS, math.inf) | {str(split): its for split, its in config.rows.items()}
    lines: dict[str, list[str]] = {_file(split, part): [] for part in _PARTS for split in SPLITS}
    for part in _PARTS:
        for row in rows[part]:
            split = _split_of(str(row.get(task.columns[0])), shares)
            if room[split]:
                room[split] -= 1
                lines[_file(split, part)].append(f"{json.dumps(row, sort_keys=True)}\n")
    files = {name: "".join(its).encode() for name, its in lines.items() if its}
    files[_NOTES] = canonical_json([asdict(note) for note in notes])
    name = sha256_json([task.name, {name: sha256_bytes(data) for name, data in files.items()}])[:32]
    _keep(_folder(cache, model, name), files)
    return config.model_copy(update={"uri": f"{FEEDBACK}:{model}@{name}"})


def corrected_first(sources: Iterable[SourceConfig]) -> list[SourceConfig]:
    """The sources in an order where, of rows of which only one can be kept, the first is the one to keep.

    A correction counts for more than a row of another source, which counts for more than an answer that somebody
    merely found good: that is the model's own, and takes one click. sources: as `taken` gives them.
    """
    every = list(sources)
    corrected, good = (
        [its.model_copy(update={"uri": f"{its.uri}.{part}"}) for its in every if is_feedback(its.uri)]
        for part in _PARTS
    )
    return [*corrected, *(its for its in every if not is_feedback(its.uri)), *good]


def _file(split: str, part: str) -> str:
    """Its name stands in messages about a row, so it says where the row is from."""
    return f"{FEEDBACK}-{split}-{part}.jsonl"


def _split_of(text: str, shares: Mapping[str, float]) -> str:
    """Where what people said of a text goes; a function of the text alone, so that it stays there."""
    point, edge = int(sha256_bytes(f"feedback:{text}".encode(errors="replace"))[:13], 16) / 16**13, 0.0
    for split in sorted(shares):
        edge += shares[split]
        if point < edge:
            return split
    return "train"


def address(uri: str) -> str:
    """The uri without the snapshot that `taken` put into it."""
    found = _TAKEN.fullmatch(uri) if is_feedback(uri) else None
    return found["address"] if found else uri


def rows_of(task: Task, feedback: Iterable[Feedback]) -> tuple[dict[str, list[Row]], list[Note]]:
    """verdict -> the rows that feedback on answers of a task gives, the newest first, and what gave none.

    A question that somebody said something of is not also taken from an answer that is good as a whole.
    """
    if task.rows is None:
        raise NotFoundError(f"task {task.name!r} does not learn from feedback", field="sources.task")
    rows: dict[str, list[Row]] = {part: [] for part in _PARTS}
    without: Counter[str] = Counter()
    by_name = sorted((its for its in feedback if its.task == task.name), key=lambda its: (its.id, its.question or 0))
    apart = {(its.id, its.question) for its in by_name if its.question is not None}
    for its in sorted(by_name, key=lambda its: its.at, reverse=True):
        found = list(_rows(task, its))
        whole = its.verdict == "good" and its.question is None
        left = [row for number, row in found if not (whole and (its.id, number) in apart)]
        if left:
            rows[its.verdict] += left
        else:
            without[_why_none(its, found)] += 1
    return rows, [_note(len(by_name), sum(map(len, rows.values())), without)]


def _why_none(its: Feedback, found: Sequence[tuple[int, Row]]) -> str:
    if its.verdict not in _PARTS:
        return its.verdict
    return "judged question by question" if found else "not of the task's form"


def _rows(task: Task, its: Feedback) -> Iterator[tuple[int, Row]]:
    """(number of the question, row)"""
    assert task.rows is not None
    if its.verdict == "corrected":
        correction = its.correction
        yield from enumerate(task.rows(its.text, correction if isinstance(correction, str) else [correction]), start=1)
    elif its.verdict == "good":
        for number, row in enumerate(task.rows(its.text, task.parse(its.answer)), start=1):
            if its.question in (None, number):
                yield number, row


def _note(said: int, rows: int, without: Mapping[str, int]) -> Note:
    if not said:
        return Note("", "nobody has said anything of an answer of this task yet", usual=True)
    reasons = ", ".join(f"{reason} {number}" for reason, number in sorted(without.items()))
    none = f"; these gave none: {reasons}" if reasons else ""
    opinions, found = f"opinion{'s' * (said != 1)}", f"row{'s' * (rows != 1)}"
    return Note("", f"{said} {opinions} of people gave {rows} {found}{none}", usual=True)


class FeedbackSource:
    """A snapshot of feedback, or one of its parts: train, but for what `files` holds out."""

    def __init__(self, config: SourceConfig, *, cache: Path) -> None:
        """config: as `taken` or `corrected_first` gives it. Errors: NotFoundError if the snapshot is gone."""
        found = _TAKEN.fullmatch(config.uri)
        assert found is not None, config.uri
        self._address, self._name, self._part = found["address"], found["name"], found["part"]
        self._folder = _folder(cache, model_of(self._address), self._name)
        if not (self._folder / _NOTES).is_file():
            raise NotFoundError(f"the snapshot of {self._address} is gone from the cache", hint="prepare again")
        found_in = {split: _file(split, self._part or "*") for split in SPLITS}
        files = {split: pattern for split, pattern in found_in.items() if any(self._folder.glob(pattern))}
        self._splits, self._task = tuple(files), config.task
        files = files or {"train": _NOTES}  # of no split, so that nobody reads it
        self._source = FileSource(config.task, str(self._folder), files=files, limits={})

    def splits(self) -> tuple[str, ...]:
        return self._splits

    def rows(self, split: str, part: Part = WHOLE) -> Iterator[RawRow]:
        return self._source.rows(split, part)

    def chunks(self, split: str, of: int, known: Known) -> list[Chunk]:
        return self._source.chunks(split, of, known)

    def read(self, chunk: Chunk) -> Iterator[RawRow]:
        return self._source.read(chunk)

    def local(self, chunk: Chunk) -> Local | None:
        return self._source.local(chunk)

    def describe(self) -> Description:
        """Of all of the snapshot, whichever part of it this is."""
        files = {path.name: sha256_file(path) for path in sorted(self._folder.glob(_file("*", "*")))}
        return Description(self._task, self._address, None, sha256_json(files))

    def stamp(self) -> str:
        """Of what was said; the files' times do not matter."""
        return sha256_json([self._address, self._name, self._part])

    def size(self) -> int:
        return self._source.size()

    def notes(self) -> list[Note]:
        """Of all of the snapshot; its second part has none, so that nothing is told twice."""
        if self._part == _PARTS[1]:
            return []
        said: list[dict[str, Any]] = json.loads((self._folder / _NOTES).read_bytes())
        return [Note(**note) for note in said]


def _folder(cache: Path, model: str, name: str) -> Path:
    return cache / FEEDBACK / model / name


def _keep(folder: Path, files: Mapping[str, bytes]) -> None:
    """Writes a snapshot, and removes those that nobody reads any more."""
    for name, data in files.items():
        with written_aside(folder / name) as file:
            file.write(data)
    for other in folder.parent.iterdir():
        with suppress(OSError):
            if other != folder and time.time() - other.stat().st_mtime > _KEPT_SECONDS:
                shutil.rmtree(other, ignore_errors=True)
