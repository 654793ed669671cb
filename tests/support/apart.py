"""A runner whose pieces are each worked on in a folder of their own, as on machines that share nothing."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from mtl.data.away import Brought, bring_back, work_away
from mtl.data.job import Round
from mtl.data.runner import Alone

T = TypeVar("T")
R = TypeVar("R")


class Apart(Alone):
    """All in this process, the last piece first."""

    def __init__(self, shards: int) -> None:
        self.shards = shards

    def map(self, work: Callable[[T], R], items: Sequence[T], tick: Callable[[], None]) -> list[R]:
        assert isinstance(work, Round)
        results = []
        for item in reversed(items):
            brought = [Brought(its.place, its.start, its.read()) for its in work.needs(work.job, item)]
            result, files = work_away(*_travelled((work, item, brought)))
            bring_back(work, files)
            results.append(result)
            tick()
        return results[::-1]


def _travelled(call: Any) -> Any:
    return pickle.loads(pickle.dumps(call))
