"""Pieces of work on the cluster: each is a task of Ray, which does it again elsewhere when its machine dies."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from typing import Any, TypeVar

from mtl.cluster import RETRIES, first_line, knock
from mtl.errors import MtlError, TransientError

R = TypeVar("R")

_AHEAD = 2  # pieces for each core, so that none has to wait for the next one
_LEAST = 16  # pieces at a time: what waits for a core is what a cluster starts machines for
_LOOK = 1.0  # seconds between two looks at the head
_GRACE = 20.0  # seconds after a machine died, in which Ray begins its pieces again
_PATIENCE = 600.0  # seconds without any core: machines that are started on demand take minutes
_ADD = "add one (ray start there; ray status shows them), then run the same command again: what is finished is kept"
_AGAIN = "start it again (ray status shows its machines), then run the same command again: what is finished is kept"


def each(ray: Any, work: Callable[..., R], calls: Iterable[tuple[Any, ...]]) -> Iterator[tuple[int, R]]:
    """(number of the call, result) of `work(*call)` for each call, as they end.

    A call is asked for when there is room for it, so that only a few are held at a time.
    Errors: an MtlError of the work as it is; TransientError for a cluster that is gone, or has no machine for the work.
    """
    left, seen = enumerate(calls), time.monotonic()
    pieces = _Pieces(ray, ray.remote(num_cpus=1, max_retries=RETRIES, scheduling_strategy="SPREAD")(work))
    try:
        while True:
            check_head(ray)
            count = cores(ray)
            seen = time.monotonic() if count else seen
            if time.monotonic() - seen > _PATIENCE:
                raise TransientError(f"no machine of the Ray cluster had a core for {_PATIENCE:.0f} s", hint=_ADD)
            for number, call in islice(left, max(0, max(_LEAST, _AHEAD * count) - len(pieces.waiting))):
                pieces.ask(number, call)
            if not pieces.waiting:
                return
            pieces.ask_again()
            yield from pieces.ended()
    except ray.exceptions.RayTaskError as error:
        if isinstance(error.cause, MtlError):
            raise error.cause from None
        raise
    except ray.exceptions.RayError as error:
        said = first_line(error)
        raise TransientError(f"the Ray cluster lost a piece of the work: {said}", hint=_AGAIN) from None
    finally:
        pieces.cancel()


@dataclass(frozen=True, slots=True)
class _Asked:
    """A call that is being worked on. since: when it was asked for."""

    number: int
    call: tuple[Any, ...]
    since: float


class _Pieces:
    """Calls that are being worked on.

    Ray begins a piece again when its machine dies, but not always where the machine had stopped to answer before: the
    call then waits for ever. What is not done some seconds after a machine died is asked for once more, and whichever
    ends first counts.
    """

    def __init__(self, ray: Any, task: Any) -> None:
        self._ray, self._task = ray, task
        self.waiting: dict[Any, _Asked] = {}
        self._machines: frozenset[str] = frozenset()
        self._died = 0.0

    def ask(self, number: int, call: tuple[Any, ...]) -> None:
        self.waiting[self._task.remote(*call)] = _Asked(number, call, time.monotonic())

    def ask_again(self) -> None:
        """For what was asked for before a machine died, once that is some seconds ago."""
        machines = frozenset(node["NodeID"] for node in self._ray.nodes() if node["Alive"])
        if self._machines - machines:
            self._died = time.monotonic()
        self._machines = machines
        if time.monotonic() - self._died < _GRACE:
            return
        newest = {one.number: one for one in sorted(self.waiting.values(), key=lambda one: one.since)}
        for one in newest.values():
            if one.since < self._died:
                self.ask(one.number, one.call)

    def ended(self) -> Iterator[tuple[int, Any]]:
        """(number, result) of what ends within a second."""
        for one in self._ray.wait([*self.waiting], timeout=_LOOK)[0]:
            if one in self.waiting:
                number = self.waiting[one].number
                self.waiting = {other: its for other, its in self.waiting.items() if its.number != number}
                yield number, self._ray.get(one)

    def cancel(self) -> None:
        for one in self.waiting:
            with suppress(self._ray.exceptions.RayError):
                self._ray.cancel(one, force=True)


def cores(ray: Any) -> int:
    """Of all machines of the cluster, as they are now."""
    return int(ray.cluster_resources().get("CPU", 0))


def check_head(ray: Any) -> None:
    """TransientError if the cluster's head is gone. Ray would wait for it for a minute, and then end this process."""
    address = ray.get_runtime_context().gcs_address
    try:
        knock(address)
    except OSError as error:
        raise TransientError(f"the head of the Ray cluster at {address} is gone: {error}", hint=_AGAIN) from None
