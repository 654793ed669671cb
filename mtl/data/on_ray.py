"""Preparation on a Ray cluster whose machines share no folder.

The driver keeps all files of the work on its disk, as it does without Ray. So a machine that dies costs the pieces that
it was working on, and nothing that was finished. What lies on the driver's disk, or was copied there from a bucket,
travels with the pieces; a worker fetches by itself only what is on the Hub.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

from mtl.cluster import connected
from mtl.cluster.code import check_code, versions
from mtl.cluster.pieces import cores, each
from mtl.data.away import Brought, Files, bring_back, work_away
from mtl.data.job import Need, Round

T = TypeVar("T")
R = TypeVar("R")

_UNKNOWN = 16
"""Shares, where the cluster starts its machines on demand and has none yet."""


class RayRunner:
    """The machines of a cluster. shards: its cores."""

    def __init__(self, ray: Any) -> None:
        self.ray = ray
        self.shards = cores(ray) or _UNKNOWN

    def map(self, work: Round[T, R], items: Sequence[T], tick: Callable[[], None]) -> list[R]:
        shared: dict[Need, Any] = {}  # the bytes are kept for as long as it holds the references

        def brought(need: Need) -> Brought:
            if need.shared and need not in shared:
                shared[need] = self.ray.put(need.read())
            return Brought(need.place, need.start, shared[need] if need.shared else need.read())

        def call(item: T) -> tuple[Mapping[str, str], Round[T, R], T, list[Brought]]:
            return versions(), work, item, [brought(need) for need in dict.fromkeys(work.needs(work.job, item))]

        done: dict[int, R] = {}
        for number, (result, files) in each(self.ray, _piece, map(call, items)):
            bring_back(work, files)
            done[number] = result
            tick()
        return [done[number] for number in range(len(items))]


@contextmanager
def on_ray() -> Iterator[RayRunner]:
    """The cluster of RAY_ADDRESS, for as long as there is work."""
    with connected() as ray:
        yield RayRunner(ray)


def _piece(driver: Mapping[str, str], work: Round[T, R], item: T, brought: Sequence[Brought]) -> tuple[R, Files]:
    check_code(driver)
    return work_away(work, item, brought, _fetched)


def _fetched(data: Any) -> Any:
    import ray  # here there is a cluster

    return ray.get(data) if isinstance(data, ray.ObjectRef) else data
