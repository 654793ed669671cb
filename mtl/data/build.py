"""The work of preparation on a local folder: three rounds of pieces for a runner, and what is decided between them.

What was read or rendered before, under the same rules, takes part in every decision and is not done again.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mtl.config.data import DataConfig
from mtl.data.buckets import buckets_of
from mtl.data.job import MARK, Job, Round, Tally
from mtl.data.manifest import QUARANTINE, DatasetManifest, FileEntry, SplitCounts
from mtl.data.merge import Merge, Merged
from mtl.data.passages import Passages, Read, sort_out
from mtl.data.pieces import Pieces
from mtl.data.plan import write_plan
from mtl.data.quarantine import Refused, collect
from mtl.data.reading import Progress
from mtl.data.refuse import refuse_bad, refuse_empty, refuse_shrunk, rows_read
from mtl.data.rendered import Index, Outcome, rendered_now
from mtl.data.rendering import Work, render_buckets, taken_for_rendering
from mtl.data.runner import Alone, Choose
from mtl.data.shards import Lengths, Shard, content, forget_unpacked, plan, taken_for_writing, write_shard
from mtl.data.splits import ORDER
from mtl.data.units import MOST, Done, read_all, run
from mtl.fingerprint import sha256_file, sha256_json
from mtl.sources.splits import SPLITS
from mtl.store.base import ObjectStore
from mtl.tasks.table import get_task

Counts = dict[str, dict[str, SplitCounts]]
GROUPS = 8
"""Pieces of the second round to one of the first: smaller pieces even out who has more to do."""


@dataclass(frozen=True, slots=True)
class Built:
    """Files in the job's folder, in the order of the manifest, and what was counted on the way.

    remember: called with the data set's fingerprint once it is stored, keeps what the next preparation can use.
    """

    files: list[FileEntry]
    content: str
    counts: Counts
    quarantine: dict[str, int]
    lengths: dict[str, Lengths]
    rows: list[dict[str, int]]
    remember: Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Tools:
    """What a preparation works with. shares: into how many parts its work is cut."""

    pieces: Pieces
    store: ObjectStore
    choose: Choose
    shares: int
    progress: Progress


def build(job: Job, config: DataConfig, its: Tools, *, reference: DatasetManifest | None) -> Built:
    """Shards and quarantine in the job's folder. DataError, with the counts, for data that must not be trained on.

    reference: manifest of the data that the champion was trained on, if there is one.
    """
    done = read_all(job, its.pieces, its.choose, shares=its.shares, tick=_Ticker(job, "read", its.progress))
    its.progress("read", 0)
    its.progress("known", sum(one.known for one in done.values()))
    reads = {task: Read(get_task(task), one.units, job.people) for task, one in done.items()}
    tallies = {task: read.tally for task, read in reads.items()}
    refuse_shrunk(rows_read(job.sources, tallies), reference, max_shrink=config.max_shrink)

    def first(source: int) -> list[Refused]:
        return reads[job.sources[source].task].quarantine.firsts([source])

    refuse_bad(job.sources, tallies, max_bad_share=config.max_bad_share, first=first)
    merged = _render(job, its, done, reads)
    refuse_bad(job.sources, tallies, max_bad_share=config.max_bad_share, first=first)
    counts = {task: _counts(tally, merged[task].outcome) for task, tally in tallies.items()}
    refuse_empty(counts, tallies, first=lambda task: reads[task].quarantine.firsts(range(len(job.sources))))
    return _finish(job, its, reads, merged, counts)


def _holdout(job: Job, tally: Tally) -> dict[str, float]:
    """Shares of train for the splits that a task's sources do not have; what people said gives it none."""
    had = {split for (source, split), rows in tally.read.items() if rows and source not in job.people}
    return {split: share for split, share in job.recipe.holdout.items() if split not in had}


@dataclass(frozen=True, slots=True)
class _Task:
    """One task between the rounds."""

    name: str
    done: Done
    read: Read
    passages: Passages
    merge: Merge

    def todo_rows(self) -> Any:
        """Rows of those passages that have to be rendered."""
        its = self.passages
        todo = np.zeros(len(its.keys), dtype=bool)
        todo[self.merge.todo] = True
        return its.mine[np.repeat(todo, its.stops - its.starts)]

    def buckets(self, count: int) -> list[int]:
        """Those in which such passages are."""
        found: list[int] = np.unique(buckets_of(self.passages.keys[self.merge.todo], count)).tolist()
        return found

    def size(self) -> int:
        """About how many bytes there are to render."""
        whole = sum(unit.chunk.size for unit, _ in self.done.units)
        return whole * len(self.todo_rows()) // max(1, len(self.read.rows))


def _render(job: Job, its: Tools, units: Mapping[str, Done], reads: Mapping[str, Read]) -> dict[str, Merged]:
    """By task, what all of its passages came to."""
    tasks = []
    for name, read in reads.items():
        passages = sort_out(read, _holdout(job, read.tally), job.recipe.settings["near_duplicates"])
        merge = Merge(passages, Index(job, name, its.pieces, its.store).load())
        tasks.append(_Task(name, units[name], read, passages, merge))
        write_plan(job.plan(name), passages.keys[merge.todo], passages.own[merge.todo], passages.goal[merge.todo])
    _read_again(job, its, tasks)
    work = [Work(task.name, group) for task in tasks for group in _groups(task, job.count, its.shares)]
    runner = its.choose(sum(task.size() for task in tasks))
    rendering = Round(job, render_buckets, taken_for_rendering)
    left = runner.map(rendering, work, _Ticker(job, "render", its.progress)) if work else []
    done = [(one.task, bucket) for one, buckets in zip(work, left, strict=True) for bucket in buckets]
    its.progress("render", 0)
    its.progress("taken", sum(task.merge.found for task in tasks))
    return {task.name: _merged(job, task, [bucket for name, bucket in done if name == task.name]) for task in tasks}


def _read_again(job: Job, its: Tools, tasks: Sequence[_Task]) -> None:
    """The records of passages to render, where their rows are known and their text is not at hand."""
    units = []
    for task in tasks:
        needed = np.unique(task.read.rows["unit"][task.todo_rows()]).tolist()
        mine = (task.done.units[number][0] for number in needed)
        units += [(task.name, unit) for unit in mine if unit.number not in task.done.fresh]
    run(job, units, its.choose, shares=its.shares, tick=lambda: None, again=True)


def _groups(task: _Task, count: int, shares: int) -> list[tuple[int, ...]]:
    """The task's buckets in pieces of work. count: of buckets in all."""
    buckets = task.buckets(count)
    size = max(1, min(len(buckets) // (GROUPS * shares), len(buckets) * MOST // max(1, task.size())))
    return [tuple(buckets[start : start + size]) for start in range(0, len(buckets), size)]


def _merged(job: Job, task: _Task, rendered: Sequence[int]) -> Merged:
    goals = task.passages.goal[task.merge.todo]
    merged = task.merge.finish(rendered_now(job, task.name, rendered, goals))
    task.merge.count(task.read, merged.outcome)
    return merged


def _counts(tally: Tally, outcome: Outcome) -> dict[str, SplitCounts]:
    return {
        split: SplitCounts(
            rows=rows,
            kept=tally.kept[split],
            merged=tally.merged[split],
            quarantined=tally.quarantined[split],
            examples=len(outcome.measures[split]),
            feedback=tally.feedback[split],
            by_difficulty={label: n for (its, label), n in sorted(tally.labels.items()) if its == split},
        )
        for split, rows in sorted(tally.rows.items())
        if rows
    }


def _finish(job: Job, its: Tools, reads: Mapping[str, Read], merged: Mapping[str, Merged], counts: Counts) -> Built:
    settings = job.recipe.settings
    shards: dict[tuple[str, str], list[Shard]] = {}
    contents: dict[str, str] = {}
    lengths = {task: Lengths() for task in reads}
    for task, one in merged.items():
        for split, measures in sorted(one.outcome.measures.items()):
            if len(measures):
                name = f"{task}-{split}"
                wanted = one.wanted[split]
                shards[task, split] = plan(job, one.files[split], wanted, name, rows=settings["shard_rows"])
                contents[name] = content(measures)
                lengths[task].add(measures, settings["max_input_tokens"])
    written = iter(_write(job, its, [shard for group in shards.values() for shard in group]))
    files = {name: [next(written) for _ in group] for name, group in shards.items()}
    refused = collect((read.quarantine for read in reads.values()), job.folder / QUARANTINE)
    tallies = {task: read.tally for task, read in reads.items()}
    quarantine = sum((tally.by_reason() for tally in tallies.values()), start=Tally().by_reason())

    def remember(fingerprint: str) -> None:
        for task, one in merged.items():
            entries = {split: files.get((task, split), []) for split in ORDER}
            index = Index(job, task, its.pieces, its.store)
            index.save(fingerprint, one.outcome, entries, settings["shard_rows"])

    return Built(
        files=[*(entry for group in files.values() for entry in group), _entry(job.folder / QUARANTINE)],
        content=sha256_json({"examples": contents, "quarantine": refused}),
        counts=counts,
        quarantine=dict(sorted(quarantine.items())),
        lengths=lengths,
        rows=[_rows(tallies[source.task], number) for number, source in enumerate(job.sources)],
        remember=remember,
    )


def _write(job: Job, its: Tools, shards: Sequence[Shard]) -> list[FileEntry]:
    """By threads where there is no runner of more: what takes time holds no lock."""
    runner, writing = its.choose(0), Round(job, write_shard, taken_for_writing)
    if not isinstance(runner, Alone):
        return runner.map(writing, shards, lambda: None)
    with ThreadPoolExecutor(min(4, len(os.sched_getaffinity(0)))) as threads:
        written = list(threads.map(writing, shards))
    forget_unpacked()
    return written


def _rows(tally: Tally, source: int) -> dict[str, int]:
    return {split: tally.read[source, split] for split in SPLITS if (source, split) in tally.read}


def _entry(path: Path) -> FileEntry:
    return FileEntry(path=path.name, bytes=path.stat().st_size, sha256=sha256_file(path))


class _Ticker:
    """Tells of the marks that workers have left since it was last asked."""

    def __init__(self, job: Job, stage: str, progress: Progress) -> None:
        self._folder, self._stage, self._progress = job.folder / "progress", stage, progress
        self._told = 0

    def __call__(self) -> None:
        marks = sum(path.stat().st_size for path in self._folder.glob(f"{self._stage}-*"))
        if marks > self._told:
            self._progress(self._stage, (marks - self._told) * MARK)
            self._told = marks
