"""Batches: every example once an epoch, within the budget, the same for the same seed, shared out among ranks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import chain, islice

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from mtl.training.batches import RankBatches, batch_stream, epoch_batches

LENGTHS = st.lists(st.tuples(st.integers(1, 60), st.integers(1, 60)), min_size=1, max_size=200)


def columns(lengths: list[tuple[int, int]]) -> tuple[np.ndarray, np.ndarray]:
    return np.array([s for s, _ in lengths]), np.array([t for _, t in lengths])


@given(LENGTHS, st.integers(64, 400), st.integers(0, 5), st.integers(0, 5))
def test_each_example_once_and_never_over_the_budget(
    lengths: list[tuple[int, int]], max_tokens: int, seed: int, epoch: int
) -> None:
    sources, targets = columns(lengths)
    order = np.random.default_rng(seed).permutation(len(lengths)).tolist()
    batches = list(epoch_batches(order, sources, targets, max_tokens=max_tokens, seed=seed, epoch=epoch))
    assert Counter(chain.from_iterable(batches)) == Counter(range(len(lengths)))
    for batch in batches:
        padded = len(batch) * (sources[batch].max() + targets[batch].max())
        assert padded <= max_tokens or len(batch) == 1


@given(LENGTHS, st.integers(0, 3))
def test_the_stream_repeats_for_a_seed_and_differs_between_epochs(lengths: list[tuple[int, int]], seed: int) -> None:
    sources, targets = columns(lengths)

    def stream() -> Iterator[list[int]]:
        return batch_stream(lambda epoch: list(range(len(lengths))), sources, targets, max_tokens=128, seed=seed)

    assert list(islice(stream(), 50)) == list(islice(stream(), 50))


def test_epochs_are_shuffled_differently() -> None:
    sources = targets = np.full(500, 20)
    first, second = (
        list(epoch_batches(range(500), sources, targets, max_tokens=200, seed=1, epoch=epoch)) for epoch in (0, 1)
    )
    assert first != second


def test_ranks_share_the_stream_without_gap_or_overlap() -> None:
    def stream() -> Iterator[list[int]]:
        return ([number] for number in range(1000))

    shares = [list(RankBatches(stream, total=5, rank=rank, world=3)) for rank in range(3)]
    assert sorted(chain.from_iterable(chain.from_iterable(shares))) == list(range(15))
    assert shares[1] == [[1], [4], [7], [10], [13]]


def test_sorting_by_length_leaves_little_padding() -> None:
    rng = np.random.default_rng(0)
    sources, targets = rng.integers(20, 512, 4000), rng.integers(10, 200, 4000)
    batches = list(epoch_batches(range(4000), sources, targets, max_tokens=8192, seed=0, epoch=0))
    real = sum((sources[b] + targets[b]).sum() for b in batches)
    padded = sum(len(b) * (sources[b].max() + targets[b].max()) for b in batches)
    assert real / padded > 0.85
