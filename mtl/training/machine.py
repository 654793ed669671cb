"""What the trainer uses of its machine: how it keeps memory, and how much of what it takes."""

from __future__ import annotations

import contextlib
import ctypes

import psutil
import torch

# Of glibc's malloc.h.
_TRIM_THRESHOLD, _TOP_PAD, _MMAP_MAX = -1, -2, -4


def keep_freed_memory() -> bool:
    """Have glibc reuse what a step has freed; False where the C library is another one.

    Otherwise each tensor over 32 MB, at first over 128 KB, is asked of the kernel anew, which fills it with zeros page
    by page: a good part of a step on a CPU (docs/log.md).
    """
    with contextlib.suppress(OSError, AttributeError):
        mallopt = ctypes.CDLL(None).mallopt
        return all([mallopt(_MMAP_MAX, 0), mallopt(_TRIM_THRESHOLD, -1), mallopt(_TOP_PAD, 64 * 2**20)])
    return False


def compute_repeatably() -> None:
    """Have torch take on a GPU the kernels that give the same bits every time, so that a resumed run ends equal.

    Attention's backward pass may else add parts of a gradient in the order in which they end. What has no such kernel
    warns. New memory is not filled, which determinism does not need here and which costs a pass each time.
    """
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]  # has no type


class Usage:
    """Memory and processor time of this process, by the names of MLflow's system metrics."""

    def __init__(self) -> None:
        self._process = psutil.Process()
        self._process.cpu_percent()  # the first answer is always 0: it starts the clock

    def now(self) -> dict[str, float]:
        """Processor time since the last call in per cent of one core; memory in MB."""
        usage = {
            "cpu_utilization_percentage": self._process.cpu_percent(),
            "process_memory_usage_megabytes": self._process.memory_info().rss / 2**20,
        }
        if torch.cuda.is_available():
            usage["gpu_0_memory_usage_megabytes"] = torch.cuda.max_memory_allocated() / 2**20
        return {name: round(value, 1) for name, value in usage.items()}
