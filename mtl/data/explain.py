"""What a data set is, for a person: counts, reasons, lengths, and real examples of each task and group."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

from mtl.data.dataset import Dataset
from mtl.data.manifest import DatasetManifest, SplitCounts
from mtl.example import Example
from mtl.task import Task
from mtl.tasks.table import get_task

_STATISTICS = ("mean", "median", "p90", "p99", "max")
_LOOK = 2000
"""Examples of a split among which one of each group is looked for."""
_SHOWN = 400
"""Characters of an example's inputs."""


def explain(data: Dataset) -> str:
    """Several lines of text. Errors: those of reading the data set."""
    manifest = data.manifest
    lines = [f"data set {manifest.fingerprint}", *_sources(manifest), "", *_settings(manifest)]
    for task, splits in manifest.counts.items():
        lines += ["", f"{task} (version {manifest.tasks.get(task, '?')})"]
        lines += [line for split, counts in splits.items() for line in _split(get_task(task), split, counts)]
        lines += _lengths(manifest, task)
    if manifest.quarantine:
        first = {row.reason: row for row in data.refused()}
        found = sorted(manifest.quarantine.items(), key=lambda item: (-item[1], item[0]))
        lines += ["", "quarantined (each row is a line of quarantine.jsonl):"]
        lines += [f"  {number:>7}  {first.get(reason, reason)}" for reason, number in found]
    return "\n".join([*lines, *_examples(data)])


def _sources(manifest: DatasetManifest) -> Iterator[str]:
    for source in manifest.sources:
        rows = source.get("rows") or {}
        counts = ", ".join(f"{split} {number}" for split, number in rows.items())
        revision = f" at {source['revision']}" if source["revision"] else ""
        yield f"  {source['task']:<10} from {source['uri']}{revision} ({counts} rows; sha256 {source['sha256'][:12]})"


def _settings(manifest: DatasetManifest) -> Iterator[str]:
    settings = manifest.settings
    kinds = [kind for task in manifest.counts if (kind := get_task(task).groups.kind) != "group"]
    scheme = f"{kinds[0]} by scheme {manifest.scheme}, " if kinds and manifest.scheme else ""
    yield f"{scheme}tokenizer {manifest.tokenizer['name']}, seed {settings.get('seed')}"
    yield (
        f"inputs of at most {settings.get('max_input_tokens')} tokens ({settings.get('long_inputs')}), targets of "
        f"{settings.get('max_target_tokens')}; {settings.get('instruction_dropout', 0.0):.0%} without the instruction"
    )


def _split(task: Task, split: str, counts: SplitCounts) -> Iterator[str]:
    yield (
        f"  {split:<11}{counts.rows:>8} rows = {counts.kept} kept + {counts.merged} merged + "
        f"{counts.quarantined} quarantined -> {counts.examples} examples"
    )
    if counts.feedback:
        yield f"  {'':<11}{counts.feedback} of the kept and merged rows are from people's feedback"
    total = sum(counts.by_difficulty.values())
    if total:
        numbers = counts.by_difficulty
        shares = (f"{label} {numbers[label]} ({numbers[label] / total:.0%})" for label in task.groups.ordered(numbers))
        yield f"  {'':<11}{', '.join(shares)}"


def _lengths(manifest: DatasetManifest, task: str) -> Iterator[str]:
    for side, its in manifest.lengths.get(task, {}).items():
        yield f"  {side:<11}{', '.join(f'{name} {its[name]:g}' for name in _STATISTICS if name in its)} tokens"
    windows = manifest.windows.get(task, 0)
    more = f"; {windows} examples are a later window of a long input" if windows else ""
    unknown = manifest.unknown.get(task, 0.0)
    cut = manifest.truncated.get(task, 0.0)
    yield f"  {cut:.1%} of the inputs are cut{more}; {unknown:.3%} of the tokens are <unk>"


def _examples(data: Dataset) -> Iterator[str]:
    for task, splits in data.manifest.counts.items():
        if splits.get("train", SplitCounts()).examples:
            for group, example in _one_of_each(data, task).items():
                name = f"{task}, {group}" if group else task
                yield f"\n--- an example of {name} (train, {example.uid})"
                yield f"inputs:  {_short(example.inputs)}"
                yield f"targets: {example.targets}"


def _one_of_each(data: Dataset, task: str) -> dict[str, Example]:
    """For each group of the task an example of it, one asked for nothing else if there is one."""
    found: dict[str, Example] = {}
    alone: set[str] = set()
    its = get_task(task)
    for example in islice(data.examples(task, "train"), _LOOK):
        groups = tuple(its.group(example)) or ("",)
        for group in groups:
            if group not in found or (len(groups) == 1 and group not in alone):
                found[group] = example
                alone |= {group} if len(groups) == 1 else set()
    return {group: found[group] for group in its.groups.ordered(found)}


def _short(text: str) -> str:
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]} … ({len(text)} characters)"
