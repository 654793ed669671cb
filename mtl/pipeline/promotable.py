"""What is known before the training: whether a version of this configuration and data could be promoted at all, and
what differences the gate will be able to see."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from mtl.config.gate import judging_metrics
from mtl.config.retrain import RetrainConfig
from mtl.data.manifest import SplitCounts
from mtl.errors import InputError
from mtl.evaluation.power import Power
from mtl.metrics.reading import needs_reader
from mtl.pipeline.judging import set_aside
from mtl.pipeline.records import Unpromotable
from mtl.promotion import Shortage, policy_from, shortages, will_be_evaluated
from mtl.tasks.table import TASKS

_SPARE = 1.1
"""Splits are drawn by passage, so that a share gives more or fewer examples than it says."""
_MOST_HELD_OUT = 0.5
_LEAST_SHARE = 0.05
"""Of the passages, for choosing a checkpoint."""


def unpromotable(config: RetrainConfig, counts: Mapping[str, Mapping[str, SplitCounts]]) -> list[Unpromotable]:
    """One for each task that keeps every version from being promoted.

    counts: of the examples that may judge (`mtl.pipeline.judging`). The gate counts by the same function.
    """
    split = config.evaluate.split
    evaluated = will_be_evaluated(counts, split=split, max_examples=config.evaluate.max_examples)
    whole = will_be_evaluated(counts, split=split, max_examples=None)
    return [*_unread(config, evaluated), *_too_few(config, evaluated, whole)]


def _too_few(config: RetrainConfig, evaluated: Mapping[str, int], whole: Mapping[str, int]) -> list[Unpromotable]:
    split, share = config.evaluate.split, set_aside(config)
    aside = f", beside the {share:.0%} of the passages that choose the checkpoint (train.eval_share)," if share else ""
    return [
        Unpromotable(
            short.task,
            short.found,
            short.needed,
            text=f"{short.task}: no version can be promoted, because {short.found} {split} examples are evaluated"
            f"{aside} and the gate needs {short.needed}",
            do=_remedy(config, short, have=whole.get(short.task, 0)),
        )
        for short in shortages(evaluated, policy_from(config.gate))
    ]


def _unread(config: RetrainConfig, evaluated: Mapping[str, int]) -> list[Unpromotable]:
    """Tasks that a metric of the reader decides, and of which the reader reads fewer examples than the gate needs."""
    bound, needed = config.evaluate.reader_examples, config.gate.min_examples
    if config.evaluate.reader == "none" or bound is None or bound >= needed:
        return []
    return [
        Unpromotable(
            task,
            bound,
            needed,
            text=f"{task}: no version can be promoted, because the questions of {bound} examples are read and the gate "
            f"needs {needed} with a value of {metric}",
            do=f"evaluate: {{reader_examples: {needed}}} or more, or leave reader_examples out",
        )
        for task, metric in config.gate.metrics.items()
        if needs_reader(metric) and evaluated.get(task, 0) >= needed
    ]


def refuse_unpromotable(config: RetrainConfig, found: Sequence[Unpromotable]) -> None:
    """Errors: InputError for a retrain whose version could not be promoted, unless the configuration wants it so."""
    if found and config.gate.too_few_examples == "refuse":
        raise InputError(
            "; ".join(item.text for item in found),
            field="gate.min_examples",
            hint="; ".join(f"{item.task}: {item.do}" for item in found)
            + "; to train and register a version that is not promoted, set gate: {too_few_examples: register}",
        )


def expected_power(config: RetrainConfig, counts: Mapping[str, Mapping[str, SplitCounts]]) -> list[Power]:
    """What the examples will show of the metric that decides each task, and of the one that does if the reader is not
    good enough, by their usual deviations; none where nobody knows those."""
    evaluate, gate = config.evaluate, config.gate
    evaluated = will_be_evaluated(counts, split=evaluate.split, max_examples=evaluate.max_examples)
    found = []
    for task, n in evaluated.items():
        metrics = judging_metrics(TASKS[task])
        name = gate.metrics.get(task) or TASKS[task].metrics[0].name
        wanted = {name: n}
        if needs_reader(name):
            wanted = {} if evaluate.reader == "none" else {name: min(n, evaluate.reader_examples or n)}
            wanted |= {gate.without_reader[task]: n} if task in gate.without_reader else {}
        for metric, pairs in wanted.items():
            deviation = metrics[metric].deviation if metric in metrics else None
            if pairs and deviation:
                margin = gate.margins.get(task, {}).get(metric, metrics[metric].margin)
                found.append(Power(task, metric, pairs, deviation, margin, len(evaluated), gate.confidence))
    return found


def _remedy(config: RetrainConfig, short: Shortage, *, have: int) -> str:
    """What to change in the configuration."""
    names = {source.task for source in config.data.sources}
    if short.task not in names:
        kept = {task: metric for task, metric in config.gate.metrics.items() if task in names}
        shown = ", ".join(f"{task}: {metric}" for task, metric in kept.items())
        return f"it has no source and the gate names it: gate: {{metrics: {{{shown}}}}}"
    if have >= short.needed:
        return f"evaluate: {{max_examples: {short.needed}}} or more, or leave max_examples out"
    split = config.evaluate.split
    lower = f"gate: {{min_examples: {max(2, short.found)}}} decides on fewer examples, and misses smaller differences"
    aside = set_aside(config)
    smaller = math.floor(100 * (1 - (1 - aside) * short.needed * _SPARE / short.found)) / 100 if short.found else 0.0
    if aside and smaller >= _LEAST_SHARE:
        return f"train: {{eval_share: {smaller:g}}} leaves more examples to the gate, and so do more rows; {lower}"
    share = config.data.holdout.get(split)
    if share is None:
        return f"more rows for {split}, or data: {{holdout: {{{split}: 0.2}}}} if the source has no {split}; {lower}"
    wanted = math.ceil(100 * share * short.needed * _SPARE / short.found) / 100 if short.found else 1.0
    if wanted > _MOST_HELD_OUT:
        return f"more rows; {lower}"
    return f"data: {{holdout: {{{split}: {wanted:g}}}}} or more rows; {lower}"
