"""The other machines of one training: they wait for what node 0 trains, and take part in it.

    python -m mtl.training.node        with MTL_TRAINER_NODES=COUNT@HOST:PORT and MTL_TRAINER_NODE=1...

Node 0 runs the flow, as on one machine; before each try it writes the plan to the object store, where the others look
for it. A newer plan ends what they do for an older one: node 0 has started again. They end when they are stopped.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

from pydantic import Field

from mtl import layout
from mtl.document import check_record, parse_json
from mtl.errors import InputError, NotFoundError, TransientError
from mtl.fingerprint import canonical_json
from mtl.ports import hold
from mtl.settings import TrainerNodes, load_settings, trainer_nodes, trainer_processes
from mtl.store.base import ObjectStore
from mtl.store.open import open_store
from mtl.store.scratch import scratch
from mtl.training.plan import TrainPlan

_POLL_SECONDS = 1.0
_GRACE = 25.0


def torchrun(nodes: TrainerNodes, plan: Path) -> list[str]:
    """The command of one node."""
    return [
        *(sys.executable, "-m", "mtl.training.agent"),
        *(f"--nnodes={nodes.count}", f"--nproc-per-node={trainer_processes()}", f"--node-rank={nodes.index}"),
        *(f"--master-addr={nodes.host}", f"--master-port={nodes.port}"),
        *("-m", "mtl.training", str(plan), str(os.getpid())),
    ]


@contextmanager
def announced(store: ObjectStore, nodes: TrainerNodes, plan: TrainPlan) -> Iterator[None]:
    """Tell the other nodes what is trained for as long as this lasts, so that one that starts late joins too.

    Errors: TransientError for a port that another program has, which may be what is left of the try before this one.
    """
    _check_port(nodes.port)
    store.put(layout.plan_key(nodes.group), canonical_json({"at": time.time_ns(), "plan": asdict(plan)}))
    try:
        yield
    finally:
        store.delete(layout.plan_key(nodes.group))


def _check_port(port: int) -> None:
    """torch itself says of a port that is taken that a peer is gone."""
    try:
        held = hold("0.0.0.0", port)  # noqa: S104  # as torch does
    except InputError as error:
        hint = "stop that program, or name another port in MTL_TRAINER_NODES on every node"
        raise TransientError(error.message, field="MTL_TRAINER_NODES", hint=hint) from None
    for listener in held:
        listener.close()


def follow(store: ObjectStore, nodes: TrainerNodes, work: Path, cache: Path) -> None:
    """Take part in the training that node 0 announces, and in every later one, until this process is asked to stop."""
    seen = 0
    process: subprocess.Popen[bytes] | None = None
    try:
        while True:
            at, plan = _announced(store, nodes)
            if plan is not None and at != seen:
                seen = at
                _end(process)
                process = _start(nodes, plan, work, cache)
            time.sleep(_POLL_SECONDS)
    finally:
        _end(process)


def _announced(store: ObjectStore, nodes: TrainerNodes) -> tuple[int, TrainPlan | None]:
    try:
        data = store.get(layout.plan_key(nodes.group))
    except NotFoundError:
        return 0, None
    found = check_record(_Announcement, parse_json(data, layout.plan_key(nodes.group)), layout.plan_key(nodes.group))
    return found.at, found.plan


@dataclass(frozen=True)
class _Announcement:
    """at: nanoseconds since the epoch, by node 0's clock."""

    at: Annotated[int, Field(strict=True, ge=0)]
    plan: TrainPlan


def _start(nodes: TrainerNodes, plan: TrainPlan, work: Path, cache: Path) -> subprocess.Popen[bytes]:
    """This node's trainers, on folders of its own."""
    mine = TrainPlan(**{**asdict(plan), "work": str(work), "cache": str(cache)})
    mine.save(work / "plan.json")
    return subprocess.Popen(torchrun(nodes, work / "plan.json"), start_new_session=True)


def _end(process: subprocess.Popen[bytes] | None) -> None:
    """Stop trainers that are still there; the leader's checkpoint is what counts."""
    if process is None or process.poll() is not None:
        return
    os.killpg(process.pid, signal.SIGTERM)
    try:
        process.wait(_GRACE)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def main() -> None:
    """Follow node 0 until SIGTERM."""
    nodes = trainer_nodes()
    if nodes is None or nodes.index == 0:
        raise InputError(
            "this is no other node of a training",
            field="MTL_TRAINER_NODES",
            hint="set MTL_TRAINER_NODES=COUNT@HOST:PORT and MTL_TRAINER_NODE=1 or more; node 0 runs the flow",
        )
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(0))
    settings = load_settings()
    with scratch(layout.home_training(settings.home)) as work:
        follow(open_store(settings.store), nodes, work, settings.cache)


if __name__ == "__main__":
    main()
