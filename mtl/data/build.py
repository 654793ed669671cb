"""The work of preparation on a local folder: three rounds of pieces for a runner, and what is decided between them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from mtl.config.data import DataConfig
from mtl.data.job import MARK, Job, Tally
from mtl.data.manifest import QUARANTINE, DatasetManifest, FileEntry, SplitCounts
from mtl.data.near import Finder
from mtl.data.quarantine import Refused, collect, first_refused, firsts
from mtl.data.reading import Progress, read_part
from mtl.data.refuse import refuse_bad, refuse_empty, refuse_shrunk, rows_read
from mtl.data.rendering import Outcome, Work, render_buckets
from mtl.data.runner import Runner
from mtl.data.shards import Lengths, Shard, content, plan, write_shard
from mtl.fingerprint import sha256_file, sha256_json
from mtl.sources.base import Part
from mtl.sources.splits import SPLITS

Counts = dict[str, dict[str, SplitCounts]]
GROUPS = 8
"""Pieces of the second round to one of the first: smaller pieces even out who has more to do."""


@dataclass(frozen=True, slots=True)
class Built:
    """Files in the job's folder, in the order of the manifest, and what was counted on the way."""

    files: list[FileEntry]
    content: str
    counts: Counts
    quarantine: dict[str, int]
    lengths: dict[str, Lengths]
    rows: list[dict[str, int]]


def build(
    job: Job, config: DataConfig, runner: Runner, *, reference: DatasetManifest | None, progress: Progress
) -> Built:
    """Shards and quarantine in the job's folder. DataError, with the counts, for data that must not be trained on.

    reference: manifest of the data that the champion was trained on, if there is one.
    """
    tallies = _read(job, runner, progress)
    refuse_shrunk(rows_read(job.sources, tallies), reference, max_shrink=config.max_shrink)

    def first(source: int) -> list[Refused]:
        return first_refused(job.all_refused(), source)

    refuse_bad(job.sources, tallies, max_bad_share=config.max_bad_share, first=first)
    holdouts = {task: _holdout(job, tally) for task, tally in tallies.items()}
    _find_near(job, holdouts)
    outcomes = _render(job, runner, holdouts, progress)
    for outcome in outcomes:
        tallies[outcome.task].add(outcome.tally)
    refuse_bad(job.sources, tallies, max_bad_share=config.max_bad_share, first=first)
    sizes = _sizes(outcomes)
    counts = {task: _counts(tally, sizes[task]) for task, tally in tallies.items()}
    refuse_empty(counts, tallies, first=lambda task: _first_of(job, task))
    return _finish(job, runner, tallies, outcomes, counts, sizes, progress)


def _first_of(job: Job, task: str) -> list[Refused]:
    """The first bad row of a task for each reason."""
    numbers = [number for number, source in enumerate(job.sources) if source.task == task]
    return firsts(row for number in numbers for row in first_refused(job.all_refused(), number))


def _read(job: Job, runner: Runner, progress: Progress) -> dict[str, Tally]:
    tallies = {task: Tally() for task in job.recipe.tasks}
    work = [(task, Part(index, runner.shards)) for task in job.recipe.tasks for index in range(runner.shards)]
    for task, tally in runner.map(partial(read_part, job), work, _Ticker(job, "read", progress)):
        tallies[task].add(tally)
    progress("read", 0)
    return tallies


def _holdout(job: Job, tally: Tally) -> dict[str, float]:
    """Shares of train for the splits that a task's sources do not have."""
    return {split: share for split, share in job.recipe.holdout.items() if not tally.rows[split]}


def _find_near(job: Job, holdouts: Mapping[str, Mapping[str, float]]) -> None:
    threshold = job.recipe.settings["near_duplicates"] or 0.0
    for task, holdout in holdouts.items():
        Finder(threshold, holdout).write(job.signatures(task), job.near(task))


def _render(job: Job, runner: Runner, holdouts: Mapping[str, Mapping[str, float]], progress: Progress) -> list[Outcome]:
    size = max(1, job.count // (GROUPS * runner.shards))
    groups = [tuple(range(start, min(start + size, job.count))) for start in range(0, job.count, size)]
    work = [Work(task, group, holdouts[task]) for task in job.recipe.tasks for group in groups]
    outcomes = runner.map(partial(render_buckets, job), work, _Ticker(job, "render", progress))
    progress("render", 0)
    return outcomes


Sizes = dict[str, dict[str, dict[int, int]]]
"""{task: {split: {bucket: examples}}}"""


def _sizes(outcomes: Sequence[Outcome]) -> Sizes:
    sizes: Sizes = {}
    for outcome in outcomes:
        task = sizes.setdefault(outcome.task, {})
        for (split, bucket), number in outcome.examples.items():
            task.setdefault(split, {})[bucket] = number
    return sizes


def _counts(tally: Tally, sizes: Mapping[str, Mapping[int, int]]) -> dict[str, SplitCounts]:
    return {
        split: SplitCounts(
            rows=rows,
            kept=tally.kept[split],
            merged=tally.merged[split],
            quarantined=tally.quarantined[split],
            examples=sum(sizes.get(split, {}).values()),
            by_difficulty={label: n for (its, label), n in sorted(tally.labels.items()) if its == split},
        )
        for split, rows in sorted(tally.rows.items())
        if rows
    }


def _finish(
    job: Job,
    runner: Runner,
    tallies: Mapping[str, Tally],
    outcomes: Sequence[Outcome],
    counts: Counts,
    sizes: Sizes,
    progress: Progress,
) -> Built:
    shards: list[Shard] = []
    contents: dict[str, str] = {}
    lengths = {task: Lengths() for task in tallies}
    for outcome in outcomes:
        lengths[outcome.task].add(outcome.lengths)
    for task in tallies:
        for split, its in sorted(sizes[task].items()):
            parts = [(job.examples(task, split, bucket), number) for bucket, number in sorted(its.items())]
            shards += plan(parts, f"{task}-{split}", job.folder, rows=job.recipe.settings["shard_rows"])
            contents[f"{task}-{split}"] = content(path for path, _ in parts)
    files = runner.map(write_shard, shards, lambda: None)
    refused = collect(job.all_refused(), job.folder / QUARANTINE)
    quarantine = sum((tally.by_reason() for tally in tallies.values()), start=Tally().by_reason())
    return Built(
        files=[*files, _entry(job.folder / QUARANTINE)],
        content=sha256_json({"examples": contents, "quarantine": refused}),
        counts=counts,
        quarantine=dict(sorted(quarantine.items())),
        lengths=lengths,
        rows=[_rows(tallies[source.task], number) for number, source in enumerate(job.sources)],
    )


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
