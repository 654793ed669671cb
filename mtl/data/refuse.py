"""What must not be trained on: rules over counts, each with the counts in its message."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence

from mtl.config.data import SourceConfig
from mtl.data.job import Tally
from mtl.data.manifest import DatasetManifest, SplitCounts, summary
from mtl.errors import DataError

Tallies = Mapping[str, Tally]


def refuse_bad(sources: Sequence[SourceConfig], tallies: Tallies, *, max_bad_share: float) -> None:
    """DataError for a source with more bad rows than the share, or with no good one."""
    for number, source in enumerate(sources):
        reasons, rows = tallies[source.task].bad(number), tallies[source.task].total(number)
        bad = reasons.total()
        if not bad or (bad < rows and bad <= math.floor(max_bad_share * rows)):
            continue
        found = ", ".join(f"{reason} {n}" for reason, n in _by_number(reasons)[:8])
        share = "all" if bad == rows else f"{bad / rows:.1%}"
        raise DataError(
            f"source {source.uri} of {source.task}: {bad} of {rows} rows are bad "
            f"({share}, allowed {max_bad_share:.1%}): {found}",
            field="data.max_bad_share",
            hint="look at the rows, or raise data.max_bad_share if they are meant to be left out",
        )


def _by_number(reasons: Counter[str]) -> list[tuple[str, int]]:
    return sorted(reasons.items(), key=lambda item: (-item[1], item[0]))


def refuse_shrunk(
    sources: Sequence[SourceConfig], tallies: Tallies, reference: DatasetManifest | None, *, max_shrink: float
) -> None:
    """DataError for a source, or a task, with far fewer rows than in `reference`, the champion's data set."""
    if reference is None:
        return
    now = source_rows(sources, tallies)
    for (task, uri, nth), before in _named(reference.sources).items():
        if (task, uri, nth) in now:
            _refuse_fewer(f"source {uri} of {task}", now[task, uri, nth], before, max_shrink, reference)
    for task, splits in reference.counts.items():
        if task in tallies:
            before = sum(counts.rows for counts in splits.values())
            _refuse_fewer(f"task {task}", tallies[task].rows.total(), before, max_shrink, reference)


def _refuse_fewer(name: str, rows: int, before: int, max_shrink: float, reference: DatasetManifest) -> None:
    if rows < (1 - max_shrink) * before:
        raise DataError(
            f"{name} shrank: {rows} rows, the champion's data had {before} "
            f"({1 - rows / before:.1%} fewer, allowed {max_shrink:.1%}; data set {reference.fingerprint[:12]})",
            field="data.max_shrink",
            hint="is the source whole? If it is meant to be smaller, raise data.max_shrink for this run",
        )


def source_rows(sources: Sequence[SourceConfig], tallies: Tallies) -> dict[tuple[str, str, int], int]:
    """Rows read from each source, named as in `_named`."""
    found: dict[tuple[str, str, int], int] = {}
    seen: Counter[tuple[str, str]] = Counter()
    for number, source in enumerate(sources):
        found[source.task, source.uri, seen[source.task, source.uri]] = tallies[source.task].total(number)
        seen[source.task, source.uri] += 1
    return found


def _named(sources: Sequence[Mapping[str, object]]) -> dict[tuple[str, str, int], int]:
    """(task, uri, how many of the same came before) -> rows, where a manifest knows them."""
    found: dict[tuple[str, str, int], int] = {}
    seen: Counter[tuple[str, str]] = Counter()
    for source in sources:
        task, uri, rows = str(source["task"]), str(source["uri"]), source.get("rows")
        if isinstance(rows, Mapping):
            found[task, uri, seen[task, uri]] = sum(int(n) for n in rows.values())
        seen[task, uri] += 1
    return found


def refuse_empty(counts: Mapping[str, Mapping[str, SplitCounts]], tallies: Tallies) -> None:
    """DataError for a task without a training example."""
    for task, splits in counts.items():
        train = splits.get("train")
        if train is None or not train.examples:
            rows = {split: its.rows for split, its in splits.items()}
            found = summary({task: splits}, tallies[task].by_reason())
            raise DataError(
                f"task {task} has no training example: {found}; rows by split: {rows}",
                field="data.sources",
                hint="is the source empty, or has it no train split?",
            )
