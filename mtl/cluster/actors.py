"""Workers of a Ray cluster that each load something once, such as a model, and answer items with it.

A worker is a Ray actor. Ray starts it again when it is lost (`max_restarts`); the item that it had is given to
whichever worker is free first, because the cluster may have no room for the lost one any more.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import chain
from typing import Any

from mtl.cluster import connected, first_line
from mtl.cluster.code import check_code, versions
from mtl.cluster.pieces import check_head
from mtl.errors import MtlError, TransientError

log = logging.getLogger(__name__)

Answer = Callable[[Any], Any]
"""item -> its answer."""
_Recipe = tuple[Callable[[], Answer], Mapping[str, str]]
"""What makes the answers, and the versions of the driver."""
MOST_WORKERS = 256
LOSSES = 5
"""So many workers that are lost over one item are no accident."""
_LOOK, _SAY, _PATIENCE = 10.0, 60.0, 900.0  # seconds


@contextmanager
def workers(make: Callable[[], Answer], *, most: int, cpus: int, gpu: bool = False) -> Iterator[Workers]:
    """Workers on the cluster of RAY_ADDRESS, as long as the block lasts.

    make: () -> what answers items; called in each worker when it gets its first item, so it must be known there by its
    import. most: workers that have something to do, at least 1. cpus: of one worker; a machine with fewer has one.
    gpu: whether each worker takes a GPU; else it sees none. Errors: those of `connected`.
    """
    with connected() as ray:
        made = Workers(ray, make, count=min(most, MOST_WORKERS), cpus=cpus, gpu=gpu)
        try:
            yield made
        finally:
            made.close()


class Workers:
    """Made by `workers`. More of them are asked for than there is room for now: a cluster that grows gives the others a
    place, and those that wait for one are given nothing to do."""

    def __init__(self, ray: Any, make: Callable[[], Answer], *, count: int, cpus: int, gpu: bool) -> None:
        self._ray, self._scarce = ray, "GPU" if gpu else "CPU"
        machines = [node["Resources"] for node in ray.nodes() if node["Alive"] and node["Resources"].get("CPU")]
        room = min((int(machine["CPU"]) for machine in machines), default=1)
        device: dict[str, Any] = {"num_gpus": 1} if gpu else {}
        # Ray does not hide the GPUs of a machine from those that ask for none.
        environment = {} if gpu else {"CUDA_VISIBLE_DEVICES": ""}
        if cpus > room:  # threads without a core of their own must not wait busily for each other
            environment["OMP_WAIT_POLICY"] = "PASSIVE"
        kind = ray.remote(
            scheduling_strategy="SPREAD",
            num_cpus=max(1, min(cpus, room)),
            max_restarts=-1,
            runtime_env={"env_vars": environment},
            **device,
        )(_Worker)
        self._recipe: Any = ray.put((make, versions()))  # an argument of the actor would have to outlive it
        self._actors = [kind.remote() for _ in range(count)]
        self._coming: dict[Any, int] = {}
        self._idle: list[int] = []
        self._last: dict[int, str] = {}
        for number in range(count):
            self._call(number)

    def answers(self, queues: Mapping[str, Iterable[Any]]) -> Iterator[tuple[str, int, Any]]:
        """(queue, number of the item in it, answer), each when it is there.

        The items of a queue are taken in their order, when a worker is free. A worker stays with its queue as long as
        there is anything in it. Errors: an MtlError that a worker raised, as it was; TransientError where the cluster
        is gone, or an item has cost too many workers.
        """
        waiting: dict[str, Iterator[tuple[int, Any]]] = {name: enumerate(items) for name, items in queues.items()}
        busy: dict[Any, _Given] = {}
        lost: Counter[tuple[str, int]] = Counter()
        since = time.monotonic()
        while True:
            self._give(waiting, busy)
            if not busy and not waiting:
                return
            done = self._done(busy)
            since = time.monotonic() if done or busy else self._still_waiting(since)
            for ref in done:
                given = busy.pop(ref, None)
                if given is None:
                    self._idle.append(self._coming.pop(ref))
                    continue
                try:
                    answer = self._value(ref)
                except _Lost as loss:
                    lost[given.queue, given.number] += 1
                    _check_losses(lost[given.queue, given.number], loss)
                    again = (given.number, given.item)
                    waiting[given.queue] = chain([again], waiting.get(given.queue, ()))
                    self._call(given.worker)
                    continue
                self._idle.append(given.worker)
                yield given.queue, given.number, answer

    def close(self) -> None:
        for actor in self._actors:
            with suppress(self._ray.exceptions.RayError):
                self._ray.kill(actor)

    def _call(self, worker: int) -> None:
        """Ask whether a worker is there: answered once it has a place, however often it is started."""
        self._coming[self._actors[worker].ready.options(max_task_retries=-1).remote()] = worker

    def _give(self, waiting: dict[str, Iterator[tuple[int, Any]]], busy: dict[Any, _Given]) -> None:
        while self._idle:
            worker = self._idle[-1]
            others = Counter(given.queue for given in busy.values())
            queue = choose_queue(list(waiting), last=self._last.get(worker), others=others)
            if queue is None:
                return
            try:
                number, item = next(waiting[queue])
            except StopIteration:
                del waiting[queue]
                continue
            self._idle.pop()
            self._last[worker] = queue
            busy[self._actors[worker].answer.remote(self._recipe, item)] = _Given(worker, queue, number, item)

    def _done(self, busy: Mapping[Any, _Given]) -> list[Any]:
        check_head(self._ray)
        try:
            done, _ = self._ray.wait([*busy, *self._coming], num_returns=1, timeout=_LOOK)
        except self._ray.exceptions.RayError as error:
            raise _gone(error) from None
        return list(done)

    def _value(self, ref: Any) -> Any:
        try:
            answer, said = self._ray.get(ref)
        except self._ray.exceptions.RayTaskError as error:
            if isinstance(error.cause, MtlError):
                raise error.cause from None
            raise
        except self._ray.exceptions.RayError as error:  # of the machine, the process or the way to it
            raise _Lost(str(error)) from None
        for level, message in said:
            log.log(level, "%s", message)
        return answer

    def _still_waiting(self, since: float) -> float:
        """Nobody has a place. That may be because others use the cluster, which ends; but not without any machine
        that has what they ask for."""
        waited = time.monotonic() - since
        empty, what = not self._ray.cluster_resources().get(self._scarce), f"it has no machine with a {self._scarce}"
        if empty and waited > _PATIENCE:
            raise TransientError(
                f"no machine of the Ray cluster had a {self._scarce} for {waited:.0f} s",
                field="RAY_ADDRESS",
                hint="add one (ray start there; ray status shows them), and run the same command again",
            )
        if _SAY <= waited < _SAY + _LOOK:
            log.warning("waiting for the Ray cluster: %s", what if empty else "it is busy")
        return since


@dataclass(frozen=True, slots=True)
class _Given:
    """What a worker works on."""

    worker: int
    queue: str
    number: int
    item: Any


class _Lost(Exception):
    """The worker is gone, or cannot be reached."""


class _Worker:
    """The actor, in a process of its own on a machine of the cluster."""

    def __init__(self) -> None:
        self._answer: Answer | None = None
        self._warnings = _Warnings()
        logging.getLogger("mtl").addHandler(self._warnings)

    def ready(self) -> None:
        """Answered once the process is there."""

    def answer(self, recipe: _Recipe, item: Any) -> tuple[Any, list[tuple[int, str]]]:
        """(the answer, the warnings that the work on it gave)."""
        if self._answer is None:
            make, driver = recipe
            check_code(driver)
            self._answer = make()
        return self._answer(item), self._warnings.taken()


class _Warnings(logging.Handler):
    """Warnings of the library, which people look for where the work was asked for."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._said: list[tuple[int, str]] = []

    def emit(self, record: logging.LogRecord) -> None:
        self._said.append((record.levelno, record.getMessage()))

    def taken(self) -> list[tuple[int, str]]:
        said, self._said = self._said, []
        return said


def choose_queue(waiting: list[str], *, last: str | None, others: Mapping[str, int]) -> str | None:
    """The queue for a worker that is free: its last one, which it has loaded something for, else the one with the
    fewest workers, of which the first. others: queue -> workers. None if no queue is waiting. Pure."""
    if last in waiting:
        return last
    return min(waiting, key=lambda name: others.get(name, 0), default=None)


def _check_losses(count: int, loss: Exception) -> None:
    if count >= LOSSES:
        raise TransientError(
            f"{count} workers of the Ray cluster were lost over the same piece of work: {first_line(loss)}",
            hint="see whether the machines have enough memory (ray status), then run the same command again",
        )


def _gone(error: object) -> TransientError:
    return TransientError(
        f"the Ray cluster is gone: {first_line(error)}",
        field="RAY_ADDRESS",
        hint="start Ray on its machines again, then run the same command again: what is finished is kept",
    )
