"""One of the workers of Ray Train: starts a trainer on its own machine, and passes on what it says.

The trainers are those of one machine, and meet as they do under torchrun. Each has folders of its own below its node's
MTL_HOME, and the only GPU that it sees is its own.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import psutil

from mtl import layout
from mtl.settings import child_environment, load_settings
from mtl.store.scratch import scratch
from mtl.training.ending import error_event
from mtl.training.plan import TrainPlan
from mtl.training.process import ask_to_stop, last_lines, started, stop

_SECONDS_BETWEEN_LOOKS = 1.0


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

    def tell(self, line: str) -> None:
        """An event of a trainer."""
        self._lines.append(line)

    def take(self) -> list[str]:
        """The events that were not taken yet."""
        lines, self._lines = self._lines, []
        return lines

    def stopping(self) -> bool:
        """Whether the trainer that asks is to save and end."""
        self._begun = True
        return self._stopping

    def stop(self) -> bool:
        """Have all trainers save and end. Returns whether any of them has begun."""
        self._stopping = True
        return self._begun

    def ended(self, end: End) -> None:
        """A trainer that failed stops the others, which would wait for it."""
        self._ends.append(end)
        self._stopping = self._stopping or end.code != 0

    def ends(self) -> list[End]:
        """The ends there were, the first one first."""
        return self._ends


def work(told: Mapping[str, Any]) -> None:
    """What Ray Train runs on each worker. told: plan, board, gpu."""
    import ray

    board, environment = told["board"], _environment(gpu=told["gpu"])
    try:
        settings = load_settings()
        with scratch(layout.home_training(settings.home)) as folder:
            end = _train(replace(told["plan"], work=str(folder), cache=str(settings.cache)), environment, board)
    except Exception as error:  # else Ray Train would tell of a lost worker, which is tried again
        words = error_event(error)
        board.tell.remote(json.dumps({"event": "error", **words}))
        end = End(words["exit_code"], "")
    ray.get(board.ended.remote(end))


def _train(plan: TrainPlan, environment: Mapping[str, str], board: Any) -> End:
    """Follow a trainer to its end."""
    import ray

    file = Path(plan.work) / "plan.json"
    plan.save(file)
    if ray.get(board.stopping.remote()):
        return STOPPED
    with file.with_name("stderr.log").open("w+", encoding="utf-8", errors="replace") as errors:
        command = [sys.executable, "-m", "mtl.training", str(file), str(os.getpid())]
        process = started(command, errors, child_environment(environment))
        threading.Thread(target=_stop_when_told, args=(process, board), daemon=True).start()
        try:
            assert process.stdout is not None
            for line in process.stdout:
                board.tell.remote(line)
            return End(process.wait(), last_lines(errors))
        except BaseException:
            stop(process)
            raise


def _stop_when_told(process: subprocess.Popen[str], board: Any) -> None:
    """If the board is gone, so is who asked for the training."""
    import ray

    try:
        while process.poll() is None and not ray.get(board.stopping.remote()):
            time.sleep(_SECONDS_BETWEEN_LOOKS)
    finally:
        ask_to_stop(process)


def _environment(*, gpu: bool) -> dict[str, str]:
    """What torchrun would set for a trainer that is alone on its machine; only the device, for one that is alone."""
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
