"""Several processes of one training: who leads, and how the others learn what it decided.

Rank 0 alone owns the run: it acquires, commits and finishes. What it decides the others are told; if it fails, torchrun
or the Ray workers that started them (mtl.training.on_ray) end them.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from typing import NoReturn, TypeVar

from mtl.settings.environment import launched_rank

T = TypeVar("T")


def world_size() -> int:
    """Processes of this training."""
    return launched_rank().world_size


def rank() -> int:
    """Which of them this is."""
    return launched_rank().rank


def is_leader() -> bool:
    return rank() == 0


def end_with_launcher() -> None:
    """Have the kernel kill this rank when torchrun or its Ray worker dies (Linux).

    torchrun gives each rank a session of its own: a signal to its group does not reach them, and killed with SIGKILL
    it leaves them training for nobody.
    """
    if world_size() > 1 and sys.platform == "linux":
        set_parent_death_signal = 1  # PR_SET_PDEATHSIG, prctl(2)
        ctypes.CDLL(None).prctl(set_parent_death_signal, signal.SIGKILL)
        # torchrun forgets a rank if it is asked to stop before it has started them all: it may be gone by now.
        if os.getppid() == 1:
            os.kill(os.getpid(), signal.SIGKILL)


def join(device: str) -> None:
    """Meet the others; nothing to do for a training of one process."""
    if world_size() > 1:
        from accelerate import PartialState

        PartialState(cpu=device == "cpu")


def leave() -> None:
    """Part from the others in order, at the end of a training that went well.

    gloo's threads outlive the interpreter otherwise, which then ends in SIGABRT: with six ranks in six of eight trials.
    """
    if world_size() > 1:
        import torch.distributed as dist

        dist.destroy_process_group()


def end(code: int) -> NoReturn:
    """End this process. One of several does not tear its interpreter down: gloo's threads may abort it even then."""
    if world_size() > 1:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)


def told(decision: T | None) -> T:
    """What rank 0 gave, on every rank; the others give None."""
    if world_size() == 1:
        assert decision is not None
        return decision
    import torch.distributed as dist

    box = [decision]
    dist.broadcast_object_list(box, src=0)
    assert box[0] is not None
    return box[0]


def gather(value: T) -> list[T]:
    """The values of all ranks, in order, on every rank."""
    if world_size() == 1:
        return [value]
    import torch.distributed as dist

    values: list[T | None] = [None] * world_size()
    dist.all_gather_object(values, value)
    return [item for item in values if item is not None]


def any_of(flag: bool) -> bool:
    """Whether it holds on any rank: all of them must stop at the same step."""
    return any(gather(flag))
