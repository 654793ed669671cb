"""Which queue a free worker takes from."""

from __future__ import annotations

import pytest

from mtl.cluster.actors import choose_queue


@pytest.mark.parametrize(
    ("waiting", "last", "others", "chosen"),
    [
        (["base", "candidate"], None, {}, "base"),
        (["base", "candidate"], None, {"base": 1}, "candidate"),
        (["base", "candidate"], "base", {"base": 5}, "base"),
        (["candidate"], "base", {"candidate": 5}, "candidate"),
        ([], "base", {}, None),
    ],
)
def test_a_worker_stays_with_its_queue_and_else_joins_the_one_with_fewest_workers(
    waiting: list[str], last: str | None, others: dict[str, int], chosen: str | None
) -> None:
    assert choose_queue(waiting, last=last, others=others) == chosen
