"""Bounded retries: with jitter, and a limit on the total time that one call may take."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from mtl.errors import TransientError

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Patience:
    """How long to try. seconds: for one call in all; first, longest: pauses, doubled from one to the other.

    The pauses are multiplied by 0.5 to 1 at random, so that many clients of a store that comes back do not come as one.
    """

    seconds: float = 300.0
    first: float = 0.2
    longest: float = 15.0
    sleep: Callable[[float], None] = time.sleep
    clock: Callable[[], float] = time.monotonic
    jitter: Callable[[], float] = random.random


def persist(attempt: Callable[[], T], patience: Patience) -> T:
    """`attempt()`, again after each TransientError until the time is up; then TransientError that says so.

    Any other error passes at once. An attempt that is under way is not cut off: it must have a timeout of its own.
    """
    start = patience.clock()
    tries = 0
    while True:
        try:
            return attempt()
        except TransientError as error:
            tries += 1
            pause = min(patience.longest, patience.first * 2 ** min(tries - 1, 30)) * (0.5 + patience.jitter() / 2)
            spent = patience.clock() - start
            if spent + pause > patience.seconds:
                raise TransientError(
                    f"{error.message}; gave up after {tries} tries in {spent:.0f} s (limit {patience.seconds:g} s)",
                    field=error.field,
                    hint=error.hint or "run the same command again later: it goes on where it stopped",
                ) from None
            patience.sleep(pause)
