"""Fresh texts against reference texts: the domain classifier, and simple tests of length, unknown tokens and mix."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from mtl.evaluation.drift.domain import PERMUTATIONS, tell_apart
from mtl.evaluation.drift.records import Bars, Comparison, Difference, Domain, TaskDrift, Text
from mtl.fingerprint import sha256_bytes

FEWEST_TEXTS = 50
"""Of each side. With fewer, the area of alike texts often differs from 0.5 by more than 0.1."""
_BINS = 24


def apart(reference: Sequence[Text], fresh: Sequence[Text], most: int) -> tuple[list[Text], list[Text]]:
    """At most `most` texts of each side, none on both: a passage that both have is left to one of them by its hash."""
    both = {text.key for text in reference} & {text.key for text in fresh}

    def own(texts: Iterable[Text], side: int) -> list[Text]:
        return [text for text in texts if text.key not in both or _side(text.key) == side][:most]

    return own(reference, 0), own(fresh, 1)


def _side(key: str) -> int:
    return int(sha256_bytes(f"drift:{key}".encode())[0], 16) % 2


def compare_task(
    task: str,
    reference: Sequence[Text],
    fresh: Sequence[Text],
    *,
    most: int,
    seed: int,
    kind: str = "group",
    permutations: int = PERMUTATIONS,
) -> TaskDrift:
    """The texts of one task. most: texts of each side that are looked at. kind: what one of their labels is called."""
    reference, fresh = apart(reference, fresh, most)
    if min(len(reference), len(fresh)) < FEWEST_TEXTS:
        return TaskDrift(task, len(reference), len(fresh))
    old, new = ([text.text for text in side] for side in (reference, fresh))
    domain = tell_apart(old, new, seed=seed, permutations=permutations)
    tokens = [[float(text.tokens) for text in side] for side in (reference, fresh)]
    unknown = [[text.unknown for text in side] for side in (reference, fresh)]
    mix = _labels(f"{kind} mix", reference, fresh, seed=seed, permutations=permutations)
    differences = (
        _numbers("tokens (median)", *tokens, shown=np.median),
        _numbers("unknown tokens (mean share)", *unknown, shown=np.mean),
        *([mix] if mix else []),
    )
    return TaskDrift(task, len(reference), len(fresh), domain, differences, _histogram(*tokens))


def _numbers(
    name: str, reference: Sequence[float], fresh: Sequence[float], *, shown: Callable[[Sequence[float]], Any]
) -> Difference:
    from scipy.stats import ks_2samp

    found = ks_2samp(reference, fresh)
    old, new = (round(float(shown(side)), 5) for side in (reference, fresh))
    return Difference(name, old, new, round(float(found.statistic), 4), float(found.pvalue))


def _labels(
    name: str, reference: Sequence[Text], fresh: Sequence[Text], *, seed: int, permutations: int
) -> Difference | None:
    """A permutation test of the chi-squared statistic. Each text counts once, whatever number of questions it has, as
    those of one text depend on each other. None for texts without labels."""
    texts = (*reference, *fresh)
    names = list(dict.fromkeys(name for text in texts for name in text.labels))
    if not names:
        return None
    shares = np.array([[text.labels.get(label, 0.0) for label in names] for text in texts])
    side = np.repeat([0.0, 1.0], [len(reference), len(fresh)])
    rng = np.random.default_rng(seed)
    sides = np.vstack([side, rng.permuted(np.tile(side, (permutations, 1)), axis=1)])
    new, old = sides @ shares / len(fresh), (1 - sides) @ shares / len(reference)
    statistic = ((new - old) ** 2 / np.maximum(shares.mean(0), 1e-12)).sum(1)
    p = (1 + int((statistic[1:] >= statistic[0] - 1e-12).sum())) / (permutations + 1)
    return _mix(name, names, old[0], new[0], p)


def task_mix(reference: Mapping[str, int], fresh: Mapping[str, int]) -> Difference | None:
    """Numbers of texts by task (chi-squared); None if there is one task, or none on a side."""
    from scipy.stats import chi2_contingency

    names = [name for name in dict.fromkeys((*reference, *fresh)) if reference.get(name, 0) + fresh.get(name, 0)]
    counts = np.array([[side.get(name, 0) for name in names] for side in (reference, fresh)], dtype=float)
    if len(names) < 2 or not counts.sum(1).all():
        return None
    old, new = counts / counts.sum(1, keepdims=True)
    return _mix("task mix", names, old, new, float(chi2_contingency(counts).pvalue))


def _mix(name: str, names: Sequence[str], old: Any, new: Any, p: float) -> Difference:
    before, now = ({label: round(float(its), 4) for label, its in zip(names, side, strict=True)} for side in (old, new))
    return Difference(name, before, now, round(float(abs(old - new).sum()) / 2, 4), p)


def _histogram(reference: Sequence[float], fresh: Sequence[float]) -> dict[str, tuple[float, ...]]:
    """Shares of the texts by length; lengths above the 99th percentile are in the last bin."""
    top = max(float(np.percentile([*reference, *fresh], 99)), 1.0)
    edges = np.linspace(0, top, _BINS + 1)

    def shares(side: Sequence[float]) -> tuple[float, ...]:
        counts, _ = np.histogram(np.minimum(side, top), edges)
        return tuple(round(float(count) / len(side), 4) for count in counts)

    return {"edges": tuple(map(float, edges.round(1))), "reference": shares(reference), "fresh": shares(fresh)}


def corrected(comparisons: Sequence[Comparison]) -> tuple[Comparison, ...]:
    """With the p-values of all differences corrected for their number (Holm 1979)."""
    found = [difference.p for its in comparisons for difference in _differences(its)]
    values = iter(holm(found))

    def again(difference: Difference) -> Difference:
        return replace(difference, p=round(next(values), 5))

    return tuple(
        replace(
            its,
            tasks=tuple(replace(task, differences=tuple(map(again, task.differences))) for task in its.tasks),
            mix=again(its.mix) if its.mix else None,
        )
        for its in comparisons
    )


def _differences(comparison: Comparison) -> list[Difference]:
    """In the order of `corrected`."""
    own = [difference for task in comparison.tasks for difference in task.differences]
    return [*own, *([comparison.mix] if comparison.mix else [])]


def holm(values: Sequence[float]) -> list[float]:
    """p-values corrected by Holm's method, in the same order."""
    found, highest = [0.0] * len(values), 0.0
    for rank, place in enumerate(sorted(range(len(values)), key=values.__getitem__)):
        highest = max(highest, min(1.0, (len(values) - rank) * values[place]))
        found[place] = highest
    return found


def drifted(domain: Domain | None, bars: Bars) -> bool:
    """Whether this is an alarm: texts are told apart so well, and not by chance.

    The area alone would be an alarm for few texts by chance, and the p-value alone for many texts by nothing that
    matters.
    """
    return domain is not None and domain.auc > bars.auc and domain.p < bars.p
