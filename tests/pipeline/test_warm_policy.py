"""The policy of warm starts: every row of its table."""

from __future__ import annotations

import pytest

from mtl.pipeline.warm_policy import Candidate, Unusable, choose, obstacle

TABLE = {
    "no champion": (None, None, "There is no champion yet."),
    "unusable": (
        Unusable(3, "its adapter is damaged"),
        None,
        "The champion v3 cannot be started from: its adapter is damaged.",
    ),
    "another base": (
        Candidate(version=3, since_full=0, differing=("base",)),
        None,
        "v3 was trained with another base.",
    ),
    "another base and shape": (
        Candidate(version=3, since_full=0, differing=("base", "lora.r")),
        None,
        "v3 was trained with another base and another lora.r.",
    ),
    "trained on what is held out": (
        Candidate(version=3, since_full=0, held_out=2),
        None,
        "v3 was trained on 2 passages held out today.",
    ),
    "many rows changed": (
        Candidate(version=3, since_full=0, changed=0.201),
        None,
        "20.1% of the training examples changed since v3, more than the 20.0% of train.full_above.",
    ),
    "as many as allowed": (
        Candidate(version=3, since_full=0, changed=0.2),
        3,
        "20.0% of the training examples changed since v3; it is warm start 1 since the last full run.",
    ),
    "the last of a chain": (
        Candidate(version=3, since_full=5),
        3,
        "0.0% of the training examples changed since v3; it is warm start 6 since the last full run.",
    ),
    "the end of a chain": (
        Candidate(version=3, since_full=6),
        None,
        "A full run is due: 6 versions were made since the last one, and train.full_every is 7.",
    ),
    "a longer chain than that": (
        Candidate(version=3, since_full=9),
        None,
        "A full run is due: 9 versions were made since the last one, and train.full_every is 7.",
    ),
}


@pytest.mark.parametrize("row", TABLE)
def test_each_row_of_the_table(row: str) -> None:
    candidate, warm_from, reason = TABLE[row]
    decision = choose(candidate, full_every=7, full_above=0.2)
    assert (decision.warm_from, decision.reason) == (warm_from, reason)


@pytest.mark.parametrize(
    ("full_every", "full_above", "changed", "warm"), [(1, 1, 0.0, None), (2, 0, 0.0, 3), (2, 0, 0.01, None)]
)
def test_the_bounds_of_its_two_settings(full_every: int, full_above: float, changed: float, warm: int | None) -> None:
    candidate = Candidate(version=3, since_full=0, changed=changed)
    assert choose(candidate, full_every=full_every, full_above=full_above).warm_from == warm


def test_a_version_by_name_has_the_same_obstacles_and_no_policy() -> None:
    assert obstacle(Candidate(version=3, since_full=99, changed=1.0)) is None
    assert obstacle(Candidate(version=3, since_full=0, held_out=1)) == ("v3 was trained on 1 passage held out today.")
