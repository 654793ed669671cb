"""Runner: who does the pieces of a round. This process alone, processes of this machine, or anything with a `map`.

`mtl.data.on_ray` has one for the machines of a Ray cluster.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack, contextmanager, suppress
from multiprocessing.connection import wait as wait_for
from typing import Protocol, TypeVar

from mtl.data.job import Round
from mtl.errors import TransientError
from mtl.settings.environment import set_variables

T = TypeVar("T")
R = TypeVar("R")

SMALL = 8 * 2**20
"""Bytes of sources up to which starting processes costs more than it saves."""


LITTLE = 2**22
"""Bytes of work that are never worth another process."""


class Runner(Protocol):
    """shards: into how many pieces the reading is cut; the result does not depend on it."""

    @property
    def shards(self) -> int: ...

    def map(self, work: Round[T, R], items: Sequence[T], tick: Callable[[], None]) -> list[R]:
        """`work(item)` of each item, in order. `tick` is called now and then. An error of any piece is raised."""
        ...


class Alone:
    """Everything in this process, one after the other."""

    shards = 1

    def map(self, work: Callable[[T], R], items: Sequence[T], tick: Callable[[], None]) -> list[R]:
        results = []
        for item in items:
            results.append(work(item))
            tick()
        return results


class Helped:
    """This process, and a pool that takes part as soon as its processes have started: that takes most of a second."""

    def __init__(self, pool: ProcessPoolExecutor, helpers: int) -> None:
        self._pool, self._helpers = pool, helpers
        self.shards = helpers + 1

    def map(self, work: Callable[[T], R], items: Sequence[T], tick: Callable[[], None]) -> list[R]:
        done: dict[int, R] = {}
        left = deque(range(len(items)))
        given: dict[Future[R], int] = {}
        lock = threading.RLock()  # a future that has ended already calls `give` in the thread that asked for it

        def give(_: Future[R] | None = None) -> None:
            """Called by whichever thread sees a piece end: this one may be in the middle of a long piece."""
            with lock, suppress(BrokenProcessPool):  # the piece that broke it says so
                ahead = len(left) > 2 * self.shards  # one more than they are, so that none has to wait; not at the end
                while left and sum(not future.done() for future in given) < self._helpers + ahead:
                    other = left.pop()
                    future = self._pool.submit(work, items[other])
                    given[future] = other
                    future.add_done_callback(give)

        try:
            give()
            while left or given:
                with lock:
                    mine = left.popleft() if left else None
                    futures = list(given)
                if mine is not None:
                    done[mine] = work(items[mine])
                ended, _ = wait(futures, timeout=0 if left else 0.5, return_when=FIRST_COMPLETED)
                for future in ended:
                    done[given[future]] = future.result()
                    with lock:
                        del given[future]
                tick()
        except BrokenProcessPool:
            raise _died() from None
        finally:
            with lock:
                left.clear()
            for future in given:  # no more are added
                future.cancel()
        return [done[number] for number in range(len(items))]


def _died() -> TransientError:
    hint = "killed for memory? data.processes: 1 needs the least; nothing half-made is left"
    return TransientError("a process of the preparation died", hint=hint)


class Processes:
    """A pool of processes on this machine. TransientError if one of them is killed."""

    def __init__(self, pool: ProcessPoolExecutor, count: int) -> None:
        self._pool, self.shards = pool, count

    def map(self, work: Callable[[T], R], items: Sequence[T], tick: Callable[[], None]) -> list[R]:
        futures = [self._pool.submit(work, item) for item in items]
        pending = set(futures)
        try:
            while pending:
                done, pending = wait(pending, timeout=0.5, return_when=FIRST_COMPLETED)
                tick()
                for future in done:
                    future.result()
        except BrokenProcessPool:
            raise _died() from None
        finally:
            for future in pending:
                future.cancel()
        return [future.result() for future in futures]


@contextmanager
def local(count: int) -> Iterator[Runner]:
    """This process for one, a pool for more; its processes end with this one, however that ends."""
    if count == 1:
        yield Alone()
        return
    with _pool(count) as pool:
        yield Processes(pool, count)


def _pool(count: int) -> ProcessPoolExecutor:
    context = multiprocessing.get_context("spawn")  # a fork inside a running flow is killed at once
    return ProcessPoolExecutor(count, mp_context=context, initializer=_begin)


def processes_for(size: int, wanted: int | None) -> int:
    """How many processes: as wanted, else one for small sources and one a core for others."""
    if wanted is not None:
        return wanted
    return 1 if size <= SMALL else max(1, len(os.sched_getaffinity(0)))


Choose = Callable[[int], Runner]
"""Who does work on so many bytes."""


@contextmanager
def chosen(wanted: int | None) -> Iterator[Choose]:
    """This process for little work, others beside it as soon as there is enough: starting them takes longer than 1% of
    new rows."""
    with ExitStack() as stack:
        pools: list[Runner] = []

        def choose(size: int) -> Runner:
            count = processes_for(size, wanted if size > LITTLE else None)
            if count > 1 and not pools:
                pools.append(Helped(stack.enter_context(_pool(count - 1)), count - 1))
            return pools[0] if pools else Alone()

        yield choose


def _begin() -> None:
    """One thread a worker; and a worker whose parent was killed, which would wait for work for ever, ends."""
    set_variables({"TOKENIZERS_PARALLELISM": "false", "RAYON_NUM_THREADS": "1"})
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_watch, args=(parent.sentinel,), daemon=True).start()


def _watch(sentinel: int) -> None:
    wait_for([sentinel])
    sys.stderr.flush()
    os._exit(1)
