"""What is tried again: a step by the kind of its error, never blanket; a run that crashed, but not for ever."""

from __future__ import annotations

from typing import Any

from prefect.runtime import deployment, flow_run
from prefect.variables import Variable

from mtl.errors import PermanentError, PreemptedError, TransientError

VARIABLE = "mtl_max_runs"
"""Prefect variable: how often one flow run may be started."""
MAX_RUNS = 10


def is_transient(_step: Any, _run: Any, state: Any) -> bool:
    """Prefect's retry_condition_fn: True where the same call may succeed later."""
    error = state.result(raise_on_failure=False)
    return isinstance(error, TransientError)


def is_resumable(_step: Any, _run: Any, state: Any) -> bool:
    """As is_transient, and also for a trainer that was asked to stop: the next try goes on from its checkpoint."""
    error = state.result(raise_on_failure=False)
    return isinstance(error, TransientError | PreemptedError)


def refuse_endless() -> None:
    """Errors: PermanentError, which is not run again, for a run that was started more often than the variable says."""
    if deployment.id is None:
        return
    most = int(str(Variable.get(VARIABLE, default=MAX_RUNS)))
    if flow_run.run_count > most:
        raise PermanentError(
            f"started {flow_run.run_count} times without an end",
            field=VARIABLE,
            hint=f"see its earlier attempts for the cause; then raise the Prefect variable {VARIABLE} and press Retry",
        )
