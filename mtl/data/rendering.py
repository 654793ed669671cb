"""Second round: from buckets to encoded examples. A passage's records are joined, rendered and counted."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from mtl.data.buckets import Piece, passages, read_bucket, texts
from mtl.data.job import MARK, Job, Tally
from mtl.data.quarantine import Quarantine
from mtl.data.selection import PASSAGE
from mtl.data.shards import Lengths, Limits, write_examples
from mtl.data.splits import held_out, keeper
from mtl.example import Example
from mtl.task import BadRow, RenderOptions, Task
from mtl.tasks.table import get_task


@dataclass(frozen=True, slots=True)
class Work:
    """Buckets of one task to render; holdout: shares of its train passages that go to other splits."""

    task: str
    buckets: tuple[int, ...]
    holdout: Mapping[str, float]


@dataclass(slots=True)
class Outcome:
    """What came of some buckets; examples: how many of a (split, bucket) were written."""

    task: str
    tally: Tally = field(default_factory=Tally)
    lengths: Lengths = field(default_factory=Lengths)
    examples: dict[tuple[str, int], int] = field(default_factory=dict)


def render_buckets(job: Job, work: Work) -> Outcome:
    """Renders and encodes the passages of some buckets into files of the job."""
    outcome = Outcome(work.task)
    renderer = _Renderer(job, get_task(work.task), work.holdout, outcome.tally)
    limits = Limits(job.recipe.settings["max_input_tokens"], job.recipe.settings["max_target_tokens"])
    done = 0
    for bucket in work.buckets:
        examples: dict[str, list[Example]] = defaultdict(list)
        lines = read_bucket(job.buckets(work.task), bucket)
        job.encoder.learn(texts(lines))
        for key, pieces in passages(lines, renderer.task):
            renderer.passage(key, pieces, examples)
            done += 1
            if done % MARK == 0:
                job.mark("render", f"{work.task}-{bucket}")
        for split, its in examples.items():
            if not its:  # all that would have been in it was refused
                continue
            path = job.examples(work.task, split, bucket)
            write_examples(its, path, encoder=job.encoder, limits=limits, lengths=outcome.lengths)
            outcome.examples[split, bucket] = len(its)
    renderer.quarantine.write(job.refused(f"render-{work.task}-{work.buckets[0]:04}"))
    return outcome


class _Renderer:
    """The rules that a passage goes through; every row of it is counted once."""

    def __init__(self, job: Job, task: Task, holdout: Mapping[str, float], tally: Tally) -> None:
        self.task, self._tally, self._holdout, self._recipe = task, tally, holdout, job.recipe
        self.quarantine = Quarantine(task.name, tally)
        self._near: dict[str, str] = json.loads(job.near(task.name).read_text(encoding="utf-8"))
        encoder = job.encoder
        splits = ("train", "validation", "test")
        self._options: dict[str, RenderOptions] = {
            split: job.recipe.render_options(split, encoder.count, encoder.tokens) for split in splits
        }

    def passage(self, key: str, pieces: Sequence[Piece], examples: dict[str, list[Example]]) -> None:
        """`split` is where the rows came from, `goal` where they go."""
        split = keeper({piece.split for piece in pieces})
        goal = held_out(key, self._holdout) if split == "train" else split
        own = []
        for piece in pieces:
            if piece.split == split:
                own.append(piece)
                self._tally.rows[split] -= 1
                self._tally.rows[goal] += 1
            else:
                self._refuse(piece, f"passage in {split}", piece.split)
        if key in self._near:
            for piece in own:
                self._refuse(piece, f"near-duplicate in {self._near[key]}", goal)
        else:
            examples[goal].extend(self._render(own, goal, key))

    def _refuse(self, piece: Piece, reason: str, split: str) -> None:
        bad = BadRow(reason, self.task.columns[0])
        self.quarantine.add(bad, split=split, place=piece.place, origin=piece.origin)

    def _render(self, own: Sequence[Piece], goal: str, key: str) -> list[Example]:
        joined, dropped = self.task.join([piece.record for piece in own])
        examples: list[Example] = []
        labels: Mapping[int, str] = {}
        if joined is not None:
            rendered = self.task.render(joined, replace(self._options[goal], key=key))
            examples, labels = [_with_passage(example, key) for example in rendered.examples], rendered.labels
            dropped = dropped + rendered.dropped
        out = dict(dropped)
        for index, bad in out.items():
            self.quarantine.add(bad, split=goal, place=own[index].place, origin=own[index].origin)
        left = len(own) - len(out)
        self._tally.kept[goal] += min(left, 1)
        self._tally.merged[goal] += max(left - 1, 0)
        self._tally.labels.update((goal, label) for index, label in labels.items() if index not in out)
        return examples


def _with_passage(example: Example, key: str) -> Example:
    """The example, naming its passage also where its task does not."""
    return example if PASSAGE in example.meta else replace(example, meta={**example.meta, PASSAGE: key[:16]})
