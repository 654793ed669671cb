"""What must not be trained on: rules over counts, each with the counts in its message."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from mtl.config.data import SourceConfig
from mtl.config.feedback import is_feedback
from mtl.data.job import Tally
from mtl.data.manifest import DatasetManifest, SplitCounts, summary
from mtl.data.quarantine import Refused
from mtl.errors import DataError

Tallies = Mapping[str, Tally]
_REMEDIES = {
    "no level": "a question needs its level, middle, high or college: in a column `level`, in an example_id like "
    "RACE's, or for a whole source by `add: {level: high}` beside its uri",
    "unknown level": "levels are middle, high and college, or Easy, Medium and Hard",
    "not UTF-8": "a text file is then mostly in cp1252 (Windows) or latin-1: say `encoding: cp1252` beside its uri",
    "answer outside A-D": "answers that are small letters, numbers or the options' own texts are read where the source "
    "says `columns: {answer: answer}`",
    "unknown form of answers": "add: {answers_are: …} says A-D, 0-3, 1-4 or text",
    "more fields than columns": "a text with the delimiter in it has to stand in quotes; `delimiter` beside the uri "
    "says what divides the columns, if it is no comma",
    **dict.fromkeys(
        ("stray quote", "unclosed quote", "behind a stray quote", "rows within a quoted field"),
        "a field with a quote in it has to stand in quotes, with the quote doubled; write the file anew with a csv "
        "writer, or keep the rows as jsonl",
    ),
    "backslash before a quote": "a quote within a quoted field has to be doubled, not escaped; Spark does so with "
    'option("escape", "\\"")',
    "repeated field": "of a field that comes twice in one object nobody can say which is meant",
    "space before a quote": "a quoted field begins right behind the delimiter",
    "not JSON": "a .jsonl file holds a JSON object a line; a file of another kind needs its own ending (.json, .csv)",
    "options encode to the same tokens": "take a base whose vocabulary has these characters, such as mT5 for other "
    "scripts (model.base, model.tokenizer)",
}
_TOLD = 8
_GENERATED = "demo"
_LEFT_OUT = "look at the rows, or raise data.max_bad_share if they are meant to be left out"


def too_many(bad: int, rows: int, *, allowed: float) -> bool:
    """Whether a source with `bad` of `rows` rows must not be trained on: over the share, or none is good."""
    return bad > 0 and (bad == rows or bad > math.floor(allowed * rows))


def remedy(reasons: Counter[str]) -> str | None:
    """What to do about the most frequent of these reasons, where more is to be said than the reason says."""
    return _REMEDIES.get(_by_number(reasons)[0][0])


def refuse_bad(
    sources: Sequence[SourceConfig],
    tallies: Tallies,
    *,
    max_bad_share: float,
    first: Callable[[int], Sequence[Refused]],
) -> None:
    """DataError for a source with more bad rows than the share, or with no good one.

    Rows of people are not counted, nor those that make way for them: anybody could stop the retrain with them.
    first: number of a source -> its first bad row for each reason.
    """
    for number, source in enumerate(sources):
        reasons, rows = tallies[source.task].bad(number), tallies[source.task].total(number)
        bad = reasons.total() - tallies[source.task].displaced[number]
        if is_feedback(source.uri) or not too_many(bad, rows, allowed=max_bad_share):
            continue
        share = "all" if bad == rows else f"{bad / rows:.1%}"
        raise DataError(
            f"source {source.uri} of {source.task}: {bad} of {rows} rows are bad "
            f"({share}, allowed {max_bad_share:.1%}): {told(reasons, first(number))}",
            field="data.max_bad_share",
            hint=remedy(reasons) or ("look at the rows" if bad == rows else _LEFT_OUT),
        )


def told(reasons: Counter[str], first: Iterable[Refused]) -> str:
    """The commonest reasons with their numbers, and a line each for the first row of that reason."""
    rows = {row.reason: row for row in first}
    common = _by_number(reasons)[:_TOLD]
    counts = ", ".join(f"{reason} {number}" for reason, number in common)
    return "\n".join([counts, *(f"  {rows[reason]}" for reason, _ in common if reason in rows)])


def _by_number(reasons: Counter[str]) -> list[tuple[str, int]]:
    return sorted(reasons.items(), key=lambda item: (-item[1], item[0]))


@dataclass(frozen=True, slots=True)
class Rows:
    """How many rows came from each source, named (task, uri, how many of the same came before), and from all files of
    each task."""

    sources: Mapping[tuple[str, str, int], int]
    tasks: Mapping[str, int]


def rows_read(sources: Sequence[SourceConfig], tallies: Tallies) -> Rows:
    """Rows of a preparation that is under way."""
    names = _named((source.task, source.uri) for source in sources)
    found = {name: tallies[name[0]].total(number) for number, name in enumerate(names)}
    return Rows(found, _given(found, {task: tally.rows.total() for task, tally in tallies.items()}))


def rows_of(manifest: DatasetManifest) -> Rows:
    """Rows of a finished data set."""
    names = _named((str(source["task"]), str(source["uri"])) for source in manifest.sources)
    pairs = zip(names, manifest.sources, strict=True)
    found = {name: sum(source["rows"].values()) for name, source in pairs if source.get("rows")}
    total = {task: sum(its.rows for its in splits.values()) for task, splits in manifest.counts.items()}
    return Rows(found, _given(found, total))


def _given(sources: Mapping[tuple[str, str, int], int], total: Mapping[str, int]) -> dict[str, int]:
    """Rows of each task without generated ones and those of people, which are no measure of anybody's own."""
    made: Counter[str] = Counter()
    for (task, uri, _), rows in sources.items():
        made[task] += rows if uri == _GENERATED or is_feedback(uri) else 0
    return {task: rows - made[task] for task, rows in total.items()}


def _named(sources: Iterable[tuple[str, str]]) -> list[tuple[str, str, int]]:
    seen: Counter[tuple[str, str]] = Counter()
    names = []
    for source in sources:
        names.append((*source, seen[source]))
        seen[source] += 1
    return names


def refuse_shrunk(now: Rows, reference: DatasetManifest | None, *, max_shrink: float) -> None:
    """DataError for a source, or a task, with far fewer rows than in `reference`, the configuration's last data set."""
    if reference is None:
        return
    before = rows_of(reference)
    pairs = [(f"source {uri} of {task}", (task, uri, nth)) for task, uri, nth in before.sources if not is_feedback(uri)]
    counts = [(name, now.sources.get(key), before.sources[key]) for name, key in pairs]
    counts += [(f"task {task}", now.tasks.get(task), rows) for task, rows in before.tasks.items()]
    for name, rows, rows_before in counts:
        if rows is not None and rows < (1 - max_shrink) * rows_before:
            raise DataError(
                f"{name} shrank: {rows} rows, the last data of this configuration had {rows_before} "
                f"({1 - rows / rows_before:.1%} fewer, allowed {max_shrink:.1%}; "
                f"data set {reference.fingerprint[:12]})",
                field="data.max_shrink",
                hint="is the source whole? If it is meant to be smaller, raise data.max_shrink for this run; if these "
                "are other data, give the configuration another name, and a register.model of its own",
            )


def refuse_empty(
    counts: Mapping[str, Mapping[str, SplitCounts]], tallies: Tallies, *, first: Callable[[str], Sequence[Refused]]
) -> None:
    """DataError for a task without a training example. first: name of a task -> its first bad row for each reason."""
    for task, splits in counts.items():
        train = splits.get("train")
        if train is None or not train.examples:
            rows = {split: its.rows for split, its in splits.items()}
            found = summary({task: splits}, tallies[task].by_reason())
            bad = "".join(f"\n  {row}" for row in first(task)[:_TOLD])
            raise DataError(
                f"task {task} has no training example: {found}; rows by split: {rows}{bad}",
                field="data.sources",
                hint="is the source empty, or has it no train split?",
            )
