"""Second round: from buckets to encoded examples. A passage's records are joined, rendered and counted."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from mtl.data.arrays import write_arrays
from mtl.data.buckets import Member, bucket_files, bucket_size, passages, read_bucket, texts
from mtl.data.job import MARK, Job, Need
from mtl.data.plan import load_plan
from mtl.data.selection import FEEDBACK, PASSAGE
from mtl.data.shards import Limits, write_examples
from mtl.data.splits import ORDER
from mtl.example import Example
from mtl.task import RenderOptions, Task
from mtl.tasks.table import get_task

RENDERED = np.dtype([("key", "u1", 32), ("left", "<u4"), ("examples", "<u4")])
"""A passage that was rendered: its records that were not dropped, and how many examples they gave."""

_TOGETHER = 2**21
"""Bytes of buckets that are worked on as one, about."""

Dropped = list[tuple[int, int, str, str, str]]
"""(number of the passage, of its record, reason, field, detail)"""


@dataclass(frozen=True, slots=True)
class Work:
    """Buckets of one task to render."""

    task: str
    buckets: tuple[int, ...]


def taken_for_rendering(job: Job, work: Work) -> Iterator[Need]:
    """The tokenizer, the plan, and what was read into the buckets."""
    yield job.need(job.tokenizer, shared=True)
    yield job.need(job.plan(work.task), shared=True)
    for bucket in work.buckets:
        yield from map(job.need, bucket_files(job.buckets(work.task), bucket))


def render_buckets(job: Job, work: Work) -> list[int]:
    """Renders and encodes those passages of some buckets that are planned, into files of the job, each of which is
    called by the first of the buckets that it is made of; returns these."""
    renderer = _Renderer(job, get_task(work.task))
    plan = load_plan(job.plan(work.task), work.buckets, job.count)
    limits = Limits(job.recipe.settings["max_input_tokens"], job.recipe.settings["max_target_tokens"])
    done = 0
    groups = list(_together(job.buckets(work.task), work.buckets))
    for group in groups:
        bucket = group[0]
        renderer.begin()
        examples: dict[str, list[Example]] = defaultdict(list)
        read = (line for its in group for line in read_bucket(job.buckets(work.task), its))
        lines = [line for line in read if line[0] in plan]
        job.encoder.learn(texts(lines))
        for key, members in passages(lines, renderer.task):
            own, goal = plan[key]
            mine = [its for its in members if its.split == own and (own == goal or its.source not in job.people)]
            examples[goal] += renderer.passage(key, mine, goal)
            done += 1
            if done % MARK == 0:
                job.mark("render", f"{work.task}-{bucket}")
        found = {
            split: write_examples(its, job.examples(work.task, split, bucket), encoder=job.encoder, limits=limits)
            for split, its in examples.items()
            if its  # all that would have been in it was refused
        }
        write_arrays(job.rendered(work.task, bucket), renderer.document(), {**renderer.arrays(), **found})
    return [group[0] for group in groups]


def _together(folder: Path, buckets: Sequence[int]) -> Iterator[list[int]]:
    """Buckets that are small enough to be worked on as one: after a few new rows, most hold next to nothing."""
    group: list[int] = []
    size = 0
    for bucket in buckets:
        size += bucket_size(folder, bucket)
        group.append(bucket)
        if size >= _TOGETHER:
            yield group
            group, size = [], 0
    if group:
        yield group


class _Renderer:
    """Renders passages, and keeps count of what becomes of their records."""

    def __init__(self, job: Job, task: Task) -> None:
        self.task = task
        self._people = job.people
        encoder = job.encoder
        self._options: dict[str, RenderOptions] = {
            split: job.recipe.render_options(split, encoder.count, encoder.tokens) for split in ORDER
        }
        self.begin()

    def begin(self) -> None:
        """A new bucket."""
        self._passages: list[tuple[bytes, int, int]] = []
        self._labels: list[Counter[str]] = []
        self._dropped: Dropped = []

    def passage(self, key: str, own: Sequence[Member], goal: str) -> list[Example]:
        joined, dropped = self.task.join([member.record for member in own])
        examples: list[Example] = []
        labels: Mapping[int, str] = {}
        if joined is not None:
            rendered = self.task.render(joined, replace(self._options[goal], key=key))
            examples, labels = rendered.examples, rendered.labels
            dropped = dropped + rendered.dropped
        out = dict(dropped)
        taught = any(its.source in self._people for index, its in enumerate(own) if index not in out)
        examples = [_with_meta(its, key, {FEEDBACK: True} if taught else {}) for its in examples]
        number = len(self._passages)
        self._dropped += [(number, index, bad.reason, bad.field, bad.detail) for index, bad in out.items()]
        self._passages.append((bytes.fromhex(key), len(own) - len(out), len(examples)))
        self._labels.append(Counter(label for index, label in labels.items() if index not in out))
        return examples

    def document(self) -> dict[str, Any]:
        return {"labels": self._names(), "dropped": self._dropped}

    def arrays(self) -> dict[str, Any]:
        """passages, and how many of their records have each label."""
        rows = np.zeros(len(self._passages), RENDERED)
        if self._passages:
            keys, left, examples = zip(*self._passages, strict=True)
            rows["key"] = np.frombuffer(b"".join(keys), np.uint8).reshape(-1, 32)
            rows["left"], rows["examples"] = left, examples
        names = self._names()
        labels = [[counts[name] for name in names] for counts in self._labels]
        return {"passages": rows, "labels": np.array(labels, "<u4").reshape(len(rows), len(names))}

    def _names(self) -> list[str]:
        return sorted({label for counts in self._labels for label in counts})


def _with_meta(example: Example, key: str, more: Mapping[str, Any]) -> Example:
    """The example with `more`, naming its passage also where its task does not."""
    if PASSAGE in example.meta and not more:
        return example
    return replace(example, meta={PASSAGE: key[:16], **example.meta, **more})
