"""Which errors a step is tried again for: by kind, never blanket."""

from __future__ import annotations

from typing import Any

from mtl.errors import PreemptedError, TransientError


def is_transient(_step: Any, _run: Any, state: Any) -> bool:
    """Prefect's retry_condition_fn: True where the same call may succeed later."""
    error = state.result(raise_on_failure=False)
    return isinstance(error, TransientError)


def is_resumable(_step: Any, _run: Any, state: Any) -> bool:
    """As is_transient, and also for a trainer that was asked to stop: the next try goes on from its checkpoint."""
    error = state.result(raise_on_failure=False)
    return isinstance(error, TransientError | PreemptedError)
