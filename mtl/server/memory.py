"""Memory of a model that was let go, given back to the system."""

from __future__ import annotations

import ctypes
import gc
from contextlib import suppress


def give_back() -> None:
    """Free what only cycles refer to, and let the C library give back what it keeps for later, where it can (glibc).

    Without the second, a server would hold the memory of two models after its first switch (docs/adr/0034).
    """
    gc.collect()
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
