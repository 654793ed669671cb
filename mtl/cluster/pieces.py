"""Pieces of work on the cluster: each is a task of Ray, which does it again elsewhere when its machine dies."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from itertools import islice
from typing import Any, TypeVar

from mtl.cluster import RETRIES, first_line, knock
from mtl.errors import MtlError, TransientError

R = TypeVar("R")

_AHEAD = 2  # pieces for each core, so that none has to wait for the next one
_LEAST = 16  # pieces at a time: what waits for a core is what a cluster starts machines for
_LOOK = 1.0  # seconds between two looks at the head
_PATIENCE = 600.0  # seconds without any core: machines that are started on demand take minutes
_ADD = "add one (ray start there; ray status shows them), then run the same command again: what is finished is kept"
_AGAIN = "start it again (ray status shows its machines), then run the same command again: what is finished is kept"


def each(ray: Any, work: Callable[..., R], calls: Iterable[tuple[Any, ...]]) -> Iterator[tuple[int, R]]:
    """(number of the call, result) of `work(*call)` for each call, as they end.

    A call is asked for when there is room for it, so that only a few are held at a time.
    Errors: an MtlError of the work as it is; TransientError for a cluster that is gone, or has no machine for the work.
    """
    task = ray.remote(num_cpus=1, max_retries=RETRIES, scheduling_strategy="SPREAD")(work)
    left, waiting, seen = enumerate(calls), dict[Any, int](), time.monotonic()
    try:
        while True:
            check_head(ray)
            count = cores(ray)
            seen = time.monotonic() if count else seen
            if time.monotonic() - seen > _PATIENCE:
                raise TransientError(f"no machine of the Ray cluster had a core for {_PATIENCE:.0f} s", hint=_ADD)
            for number, call in islice(left, max(0, max(_LEAST, _AHEAD * count) - len(waiting))):
                waiting[task.remote(*call)] = number
            if not waiting:
                return
            for one in ray.wait([*waiting], timeout=_LOOK)[0]:
                number = waiting.pop(one)
                yield number, ray.get(one)
    except ray.exceptions.RayTaskError as error:
        if isinstance(error.cause, MtlError):
            raise error.cause from None
        raise
    except ray.exceptions.RayError as error:
        said = first_line(error)
        raise TransientError(f"the Ray cluster lost a piece of the work: {said}", hint=_AGAIN) from None
    finally:
        for one in waiting:
            with suppress(ray.exceptions.RayError):
                ray.cancel(one, force=True)


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
