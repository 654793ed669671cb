"""Paired bootstrap intervals of mean differences (Koehn 2004; percentile method of Efron and Tibshirani 1993, ch. 13).

Both models answered the same examples, so examples are drawn with replacement and each draw keeps its pair: what the
examples have in common cancels out, and small differences show.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_CELLS = 1 << 22  # examples x resamples held in memory at once (32 MB)


@dataclass(frozen=True, slots=True)
class Interval:
    """Mean difference of `n` pairs and the interval that holds it; NaN where fewer than two pairs say anything."""

    difference: float
    low: float
    high: float
    n: int


def paired_intervals(
    differences: NDArray[np.float64], *, seed: int, confidence: float = 0.95, resamples: int = 2000
) -> list[Interval]:
    """One interval a column of `differences` (examples x metrics); NaN marks a pair that does not count.

    A function of the values and `seed` alone. All columns share their draws, so that a column's interval does not
    depend on which other columns there are.
    """
    n, columns = differences.shape
    if n == 0:
        return [Interval(np.nan, np.nan, np.nan, 0)] * columns
    counted = ~np.isnan(differences)
    means = _resampled_means(np.where(counted, differences, 0.0), counted, seed=seed, resamples=resamples)
    tail = (1 - confidence) / 2
    return [_interval(differences[counted[:, i], i], means[:, i], tail=tail) for i in range(columns)]


def _interval(values: NDArray[np.float64], means: NDArray[np.float64], *, tail: float) -> Interval:
    if len(values) < 2:
        return Interval(float(values.mean()) if len(values) else np.nan, np.nan, np.nan, len(values))
    # A draw that holds no pair of a sparse column says nothing about it.
    low, high = np.quantile(means[~np.isnan(means)], [tail, 1 - tail])
    return Interval(float(values.mean()), float(low), float(high), len(values))


def _resampled_means(
    values: NDArray[np.float64], counted: NDArray[np.bool_], *, seed: int, resamples: int
) -> NDArray[np.float64]:
    """Means of the drawn values, resamples x metrics; a matrix product over how often each example was drawn."""
    n = len(values)
    generator = np.random.default_rng(seed)
    chunk = max(1, _CELLS // n)
    sums, totals = [], []
    for start in range(0, resamples, chunk):
        rows = min(chunk, resamples - start)
        drawn = generator.integers(0, n, size=(rows, n)) + np.arange(rows)[:, None] * n
        weights = np.bincount(drawn.ravel(), minlength=rows * n).reshape(rows, n).astype(np.float64)
        sums.append(weights @ values)
        totals.append(weights @ counted.astype(np.float64))
    total = np.concatenate(totals)
    return np.divide(np.concatenate(sums), total, out=np.full_like(total, np.nan), where=total > 0)
