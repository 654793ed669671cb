"""The work of preparation on a local folder: rows to records, records to passages, passages to shards, all counted."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from mtl.data.buckets import Buckets, Piece
from mtl.data.manifest import QUARANTINE, SplitCounts, summary
from mtl.data.reading import Progress, Quarantine, read_source
from mtl.data.recipe import Recipe
from mtl.data.shards import Lengths, ShardWriter
from mtl.data.splits import held_out, keeper
from mtl.errors import DataError
from mtl.fingerprint import sha256_json
from mtl.sources.base import Source
from mtl.task import BadRow, Task
from mtl.tasks.table import get_task

Sources = Sequence[tuple[str, str, Source]]
"""(task, uri, source) of each configured source."""
Counts = dict[str, dict[str, SplitCounts]]


@dataclass(frozen=True, slots=True)
class Built:
    """Files in a folder, in the order of the manifest, and what was counted on the way."""

    paths: list[Path]
    content: str
    counts: Counts
    quarantine: dict[str, int]
    lengths: dict[str, Lengths]


@dataclass(slots=True)
class _Tally:
    """Rows of one task by split, as they end."""

    rows: Counter[str] = field(default_factory=Counter)
    kept: Counter[str] = field(default_factory=Counter)
    merged: Counter[str] = field(default_factory=Counter)
    labels: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))


def build(sources: Sources, recipe: Recipe, folder: Path, *, max_bad_share: float, progress: Progress) -> Built:
    """Shards and quarantine in `folder`. DataError, with the counts, for data that must not be trained on."""
    paths: list[Path] = []
    contents: dict[str, str] = {}
    counts: Counts = {}
    lengths: dict[str, Lengths] = {}
    with (folder / QUARANTINE).open("w", encoding="utf-8") as file:
        quarantine = Quarantine(file)
        for name in recipe.tasks:
            tally, writers, lengths[name] = _build_task(
                name,
                sources,
                recipe,
                folder=folder,
                quarantine=quarantine,
                max_bad_share=max_bad_share,
                progress=progress,
            )
            counts[name] = _counts(name, tally, quarantine, writers)
            contents |= {f"{name}-{split}": writer.content for split, writer in writers.items()}
            paths += [path for _, writer in sorted(writers.items()) for path in writer.paths]
            _refuse_empty(name, counts, quarantine)
    content = sha256_json({"examples": contents, "quarantine": sorted(quarantine.hashes)})
    return Built([*paths, folder / QUARANTINE], content, counts, dict(sorted(quarantine.reasons.items())), lengths)


def _build_task(
    name: str,
    sources: Sources,
    recipe: Recipe,
    *,
    folder: Path,
    quarantine: Quarantine,
    max_bad_share: float,
    progress: Progress,
) -> tuple[_Tally, dict[str, ShardWriter], Lengths]:
    task, tally, lengths = get_task(name), _Tally(), Lengths()
    writers: dict[str, ShardWriter] = {}
    totals: dict[int, int] = {}
    with Buckets(folder / f"buckets-{name}") as buckets, ExitStack() as stack:
        for number, (its, uri, source) in enumerate(sources):
            if its == name:
                rows = read_source(
                    task, source, number=number, uri=uri, buckets=buckets, quarantine=quarantine, progress=progress
                )
                tally.rows += rows
                totals[number] = rows.total()
                _refuse_bad(number, sources, totals, quarantine, max_bad_share=max_bad_share)
        holdout = {split: share for split, share in recipe.holdout.items() if not tally.rows[split]}
        for key, pieces in buckets.passages(task):
            split = keeper({piece.split for piece in pieces})
            goal = held_out(key, holdout, seed=recipe.seed) if split == "train" else split
            writer = writers.get(goal)
            if writer is None:
                writer = writers[goal] = _writer(folder, f"{name}-{goal}", recipe, lengths)
                stack.callback(writer.close)
            _passage(task, pieces, recipe, split=split, goal=goal, tally=tally, writer=writer, quarantine=quarantine)
            progress("render", len(pieces))
    for number in totals:
        _refuse_bad(number, sources, totals, quarantine, max_bad_share=max_bad_share)
    return tally, writers, lengths


def _writer(folder: Path, name: str, recipe: Recipe, lengths: Lengths) -> ShardWriter:
    settings = recipe.settings
    return ShardWriter(
        folder,
        name,
        encoder=recipe.encoder,
        shard_rows=settings["shard_rows"],
        max_input_tokens=settings["max_input_tokens"],
        max_target_tokens=settings["max_target_tokens"],
        lengths=lengths,
    )


def _passage(
    task: Task,
    pieces: list[Piece],
    recipe: Recipe,
    *,
    split: str,
    goal: str,
    tally: _Tally,
    writer: ShardWriter,
    quarantine: Quarantine,
) -> None:
    """One passage: `split` is where its rows came from, `goal` where they go; every row is counted once."""
    own = []
    for piece in pieces:
        if piece.split == split:
            own.append(piece)
            tally.rows[split] -= 1
            tally.rows[goal] += 1
        else:
            bad = BadRow(f"passage in {split}", task.columns[0])
            quarantine.add(bad, task=task.name, split=piece.split, origin=piece.origin, source=piece.source)
    joined, dropped = task.join([piece.record for piece in own])
    labels: Mapping[int, str] = {}
    if joined is not None:
        rendered = task.render(joined, recipe.options(goal))
        dropped, labels = dropped + rendered.dropped, rendered.labels
        for example in rendered.examples:
            writer.add(example)
    out = dict(dropped)
    for index, bad in out.items():
        quarantine.add(bad, task=task.name, split=goal, origin=own[index].origin, source=own[index].source)
    left = len(own) - len(out)
    tally.kept[goal] += min(left, 1)
    tally.merged[goal] += max(left - 1, 0)
    tally.labels[goal].update(label for index, label in labels.items() if index not in out)


def _counts(
    name: str, tally: _Tally, quarantine: Quarantine, writers: Mapping[str, ShardWriter]
) -> dict[str, SplitCounts]:
    return {
        split: SplitCounts(
            rows=rows,
            kept=tally.kept[split],
            merged=tally.merged[split],
            quarantined=quarantine.splits[name, split],
            examples=writers[split].examples if split in writers else 0,
            by_difficulty=dict(sorted(tally.labels[split].items())),
        )
        for split, rows in sorted(tally.rows.items())
        if rows
    }


def _refuse_bad(
    number: int, sources: Sources, totals: Mapping[int, int], quarantine: Quarantine, *, max_bad_share: float
) -> None:
    bad, rows = quarantine.sources[number], totals[number]
    if not rows or bad == 0 or (bad < rows and bad <= math.floor(max_bad_share * rows)):
        return
    task, uri, _ = sources[number]
    reasons = ", ".join(f"{reason} {n}" for reason, n in quarantine.reasons.most_common(8))
    what = "all" if bad == rows else f"{bad / rows:.1%}"
    raise DataError(
        f"source {uri} of {task}: {bad} of {rows} rows are bad ({what}, allowed {max_bad_share:.1%}): {reasons}",
        field="data.max_bad_share",
        hint="look at the rows, or raise data.max_bad_share if they are meant to be left out",
    )


def _refuse_empty(name: str, counts: Counts, quarantine: Quarantine) -> None:
    train = counts[name].get("train")
    if train is None or not train.examples:
        rows = {split: its.rows for split, its in counts[name].items()}
        found = summary({name: counts[name]}, quarantine.reasons)
        raise DataError(
            f"task {name} has no training example: {found}; rows by split: {rows}",
            field="data.sources",
            hint="is the source empty, or has it no train split?",
        )
