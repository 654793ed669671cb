"""One of the workers of Ray Train: starts a trainer on its own machine, and passes on what it says.

The trainers are those of one machine, and meet as they do under torchrun. Each has folders of its own below its node's
MTL_HOME, and the only GPU that it sees is its own.
"""

from __future__ import annotations

import json
import os
import queue
import socket
import sys
import threading
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any

import psutil

from mtl import layout
from mtl.errors import MtlError
from mtl.settings import child_environment, load_settings
from mtl.store.scratch import scratch
from mtl.training.ending import error_event
from mtl.training.plan import TrainPlan
from mtl.training.process import ask_to_stop, last_lines, started, stop

_SECONDS_BETWEEN_REPORTS = 0.5


@dataclass(frozen=True, slots=True)
class End:
    """How a trainer ended. code: negative for a signal. tail: the end of its standard error."""

    code: int
    tail: str


STOPPED = End(143, "")


class Board:
    """What the workers say and what they are told: an actor beside the process that asked for the training."""

    def __init__(self) -> None:
        self._lines: list[str] = []
        self._ends: list[End] = []
        self._begun = self._stopping = False

    def tell(self, lines: list[str]) -> bool:
        """Lines that a trainer printed, each of them an event. Returns whether the trainers are to stop."""
        self._begun = True
        self._lines += lines
        return self._stopping

    def ended(self, end: End) -> None:
        """The first end comes first. One that failed stops the others, who would wait for it."""
        self._ends.append(end)
        self._stopping = self._stopping or end.code != 0

    def stop(self) -> bool:
        """Have all trainers save and end. Returns whether any of them has begun."""
        self._stopping = True
        return self._begun

    def take(self) -> list[str]:
        """The lines that were not taken yet."""
        lines, self._lines = self._lines, []
        return lines

    def ends(self) -> list[End]:
        return self._ends


def work(told: Mapping[str, Any]) -> None:
    """What Ray Train runs on each worker. told: plan, board, gpu."""
    board = _Reports(told["board"])
    environment = _environment(gpu=told["gpu"])
    try:
        settings = load_settings()
        with scratch(layout.home_training(settings.home)) as folder:
            plan = replace(told["plan"], work=str(folder), cache=str(settings.cache))
            board.ended(_train(plan, environment, board))
    except MtlError as error:
        words = error_event(error)
        board.tell([json.dumps({"event": "error", **words})])
        board.ended(End(words["exit_code"], ""))


class _Reports:
    """The board, as a worker calls it."""

    def __init__(self, board: Any) -> None:
        self._board = board

    def tell(self, lines: list[str]) -> bool:
        import ray

        return bool(ray.get(self._board.tell.remote(lines)))

    def ended(self, end: End) -> None:
        import ray

        ray.get(self._board.ended.remote(end))


def _train(plan: TrainPlan, environment: Mapping[str, str], board: _Reports) -> End:
    """Follow a trainer to its end. If the board is gone, so is who asked for the training: it saves and ends."""
    file = Path(plan.work) / "plan.json"
    plan.save(file)
    if board.tell([]):
        return STOPPED
    with (Path(plan.work) / "stderr.log").open("w+", encoding="utf-8", errors="replace") as errors:
        command = [sys.executable, "-m", "mtl.training", str(file), str(os.getpid())]
        process = started(command, errors, child_environment(environment))
        try:
            assert process.stdout is not None
            lines = _Lines(process.stdout)
            asked = False
            while lines.more():
                if board.tell(lines.take()) and not asked:
                    asked = True
                    ask_to_stop(process)
            return End(process.wait(), last_lines(errors))
        except BaseException:
            stop(process)
            raise


class _Lines:
    """The lines of a pipe, as they come."""

    def __init__(self, pipe: IO[str]) -> None:
        self._queue: queue.Queue[str | None] = queue.Queue()
        self._open = True
        threading.Thread(target=self._read, args=(pipe,), daemon=True).start()

    def _read(self, pipe: IO[str]) -> None:
        for line in pipe:
            self._queue.put(line)
        self._queue.put(None)

    def more(self) -> bool:
        """Whether the pipe may have more lines."""
        return self._open or not self._queue.empty()

    def take(self) -> list[str]:
        """What has come since, after waiting for some of it for a moment."""
        taken = []
        try:
            taken.append(self._queue.get(timeout=_SECONDS_BETWEEN_REPORTS))
            while True:
                taken.append(self._queue.get_nowait())
        except queue.Empty:
            pass
        self._open = None not in taken
        return [line for line in taken if line is not None]


def _environment(*, gpu: bool) -> dict[str, str]:
    """What torchrun would set for a trainer that is alone on its machine; for the only one, that no GPU is its own."""
    import ray.train
    import ray.util
    from ray.train.collective import broadcast_from_rank_zero

    hidden = {} if gpu else {"CUDA_VISIBLE_DEVICES": ""}
    context, own = ray.train.get_context(), ray.util.get_node_ip_address()
    if context.get_world_size() == 1:
        return hidden
    address, port = broadcast_from_rank_zero((own, _free_port()) if context.get_world_rank() == 0 else None)
    ranks = {"RANK": context.get_world_rank(), "WORLD_SIZE": context.get_world_size()}
    here = {"LOCAL_RANK": 0, "LOCAL_WORLD_SIZE": 1, "OMP_NUM_THREADS": 1}
    meeting = {"MASTER_ADDR": address, "MASTER_PORT": port}
    return hidden | _interface(own) | {name: str(value) for name, value in (ranks | here | meeting).items()}


def _free_port() -> int:
    with socket.create_server(("", 0)) as listener:
        return int(listener.getsockname()[1])


def _interface(address: str) -> dict[str, str]:
    """For gloo, which otherwise takes the address that the host's name has: on Debian often one of loopback."""
    found = [name for name, known in psutil.net_if_addrs().items() if address in (item.address for item in known)]
    return {"GLOO_SOCKET_IFNAME": found[0]} if found else {}
