"""The configuration's data, as far as files on this machine tell: are they there, can they be read, is there something
to judge by?"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterator
from itertools import islice

from mtl.config.data import SourceConfig
from mtl.config.feedback import is_feedback
from mtl.config.retrain import RetrainConfig
from mtl.data.manifest import SplitCounts
from mtl.data.quarantine import Refused, firsts
from mtl.data.reading import check_columns, open_for, read_row, settled
from mtl.data.refuse import remedy, told, too_many
from mtl.doctor.result import CheckResult, fault, ok, warning
from mtl.metrics.reading import needs_reader
from mtl.pipeline.judging import Counts, judging_counts, set_aside
from mtl.pipeline.prepare import find_prepared
from mtl.pipeline.promotable import expected_power, unpromotable
from mtl.pipeline.rotation import ROTATION_NEEDS, never_rotated
from mtl.settings import Settings
from mtl.sources.base import Note, Source
from mtl.sources.listing import sentences
from mtl.sources.open import is_remote
from mtl.task import BadRow, Task
from mtl.tasks.table import get_task
from mtl.workspace import open_workspace

_MANY = 10**9
"""Rows of a source that nobody counted."""
_REFUSED = "With so few for this margin, a version that is as good as the champion on this task is often refused."
_LOOK = 200
"""Rows of each split that are tried; `mtl prepare` reads them all."""


def data(settings: Settings, config: RetrainConfig | None) -> Iterator[CheckResult]:
    """Every source on disk can be opened, its first rows are rows of its task, and each task has examples of the split
    that versions are judged on.

    What is far away (hub:, s3://) is not fetched, so a task that has such a source is taken to have the split.
    """
    if config is None:
        return
    wanted, have = config.evaluate.split, defaultdict[str, set[str]](set)
    faults: list[CheckResult] = []
    for source in config.data.sources:
        if is_feedback(source.uri):  # in the object store, which is another check's
            have[source.task].update(map(str, source.files))
            continue
        if is_remote(source.uri):
            have[source.task].add(wanted)
            continue
        task, source = get_task(source.task), settled(source, config.seed, cache=settings.cache)
        opened = open_for(task, source, config.seed, cache=settings.cache)
        have[source.task].update(opened.splits())
        yield from _notes(opened.notes() or [], source.uri)
        if source.uri != "demo":
            faults += _rows(opened, task, source, allowed=config.data.max_bad_share)
    lacking = [task for task, splits in have.items() if wanted not in splits]
    if lacking and wanted not in config.data.holdout:
        what = f"{config.name}: no {wanted} examples of {' and '.join(lacking)}, which a retrain evaluates on"
        faults.append(fault("data", what, f"set data: {{holdout: {{{wanted}: 0.1}}}} to use a tenth of train for them"))
    if not faults:
        yield from _promotable(settings, config)
    yield from faults
    if not faults:
        yield ok("data", f"{config.name}: {len(config.data.sources)} sources, tasks {', '.join(have)}")


def _promotable(settings: Settings, config: RetrainConfig) -> Iterator[CheckResult]:
    """Whether enough examples are evaluated for a promotion: counted if the data set is prepared, else at most."""
    workspace = open_workspace(settings)
    found = find_prepared(workspace, config)
    counts = judging_counts(workspace, config, found) if found else _at_most(config)
    say = fault if config.gate.too_few_examples == "refuse" else warning
    for item in unpromotable(config, counts):
        yield say("data", f"{config.name}: {item.text}", item.do)
    yield from _power(config, counts)
    for text in never_rotated(config, counts):
        yield warning("data", f"{config.name}: {text}", ROTATION_NEEDS)


def _power(config: RetrainConfig, counts: dict[str, dict[str, SplitCounts]]) -> Iterator[CheckResult]:
    """What differences the examples can show, where their number is known, and whether the margins are wide enough."""
    for its in expected_power(config, counts):
        if its.n >= _MANY:
            continue
        text = f"{config.name}: {its.sentence(estimated=True)}"
        if its.too_few:
            read = config.evaluate.reader_examples
            bound = (
                "evaluate.reader_examples" if needs_reader(its.metric) and its.n == read else "evaluate.max_examples"
            )
            more = f"evaluate {its.enough:,} examples (more rows, {bound}), or " if its.enough else ""
            name = f"gate: {{margins: {{{its.task}: {{{its.metric}: {its.wide_enough:g}}}}}}}"
            yield warning("gate", f"{text} {_REFUSED}", f"{more}set {name}")
        else:
            yield ok("gate", text)


def _at_most(config: RetrainConfig) -> Counts:
    """Examples of each task that the configuration allows to judge, as far as it limits the rows of its sources."""
    split = config.evaluate.split
    share = config.data.holdout.get(split, 1.0)
    rows: Counter[str] = Counter()
    for source in config.data.sources:
        if is_feedback(source.uri) and split not in source.files:
            continue
        held_out = math.ceil(share * source.rows["train"]) if "train" in source.rows else _MANY
        rows[source.task] += source.rows.get(split, held_out if split in config.data.holdout else _MANY)
    kept = 1 - set_aside(config)
    return {task: {split: SplitCounts(examples=math.ceil(kept * number))} for task, number in rows.items()}


def _notes(notes: list[Note], uri: str) -> Iterator[CheckResult]:
    """What is left out of a source, and how its splits were told apart."""
    for line in sentences(note for note in notes if not note.usual):
        left_out = line.startswith("left out")
        do = "if it is data, unpack or convert it, or name it as a source" if left_out else "name them under `files`"
        yield warning("data", f"{uri}: {line}", do)
    for line in sentences(note for note in notes if note.usual):
        yield ok("data", f"{uri}: {line}")


def _rows(source: Source, task: Task, config: SourceConfig, *, allowed: float) -> Iterator[CheckResult]:
    """Whether the first rows of each split can be read as the task's."""
    reasons: Counter[str] = Counter()
    rows, bad_rows = 0, list[Refused]()
    for split in source.splits():
        for raw in check_columns(islice(source.rows(split), _LOOK), task.columns, config):
            rows += 1
            try:
                read_row(task, raw)
            except BadRow as refused:
                reasons[refused.reason] += 1
                bad_rows.append(Refused(refused.reason, refused.field, raw.origin, refused.detail))
    bad = reasons.total()
    if too_many(bad, rows, allowed=allowed):
        what = f"{config.uri}: {bad} of the first {rows} rows are bad: {told(reasons, firsts(bad_rows))}"
        yield fault("data", what, remedy(reasons) or "check the rows; mtl prepare -c CONF reports all bad ones")


def training(config: RetrainConfig | None) -> Iterator[CheckResult]:
    """Settings that are right one by one and do nothing together."""
    if config is None:
        return
    train = config.train
    if train.eval_steps is not None and train.eval_steps > train.max_steps:
        what = f"eval_steps {train.eval_steps} is over max_steps {train.max_steps}: nothing is validated while training"
        yield warning("train", what, "lower train.eval_steps, or remove it")
