from __future__ import annotations

from collections import Counter

import pytest

from mtl.data.splits import held_out, keeper


@pytest.mark.parametrize(
    ("splits", "kept"),
    [({"train"}, "train"), ({"train", "validation"}, "validation"), ({"train", "validation", "test"}, "test")],
)
def test_the_split_furthest_from_training_keeps_a_passage(splits: set[str], kept: str) -> None:
    assert keeper(splits) == kept


def test_holding_out_follows_the_shares_and_repeats() -> None:
    shares = {"validation": 0.2, "test": 0.1}
    drawn = [held_out(f"{n}", shares) for n in range(4000)]
    assert drawn == [held_out(f"{n}", shares) for n in range(4000)]
    counts = Counter(drawn)
    assert counts["validation"] / 4000 == pytest.approx(0.2, abs=0.03)
    assert counts["test"] / 4000 == pytest.approx(0.1, abs=0.03)
    assert {held_out(f"{n}", {}) for n in range(10)} == {"train"}
