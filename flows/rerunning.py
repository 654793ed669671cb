"""A run that crashes is run again, but not for ever: something that kills every try must be looked at by a person."""

from __future__ import annotations

from prefect.runtime import deployment, flow_run
from prefect.variables import Variable

from mtl.errors import PermanentError

VARIABLE = "mtl_max_runs"
"""Prefect variable: how often one flow run may be started."""
MAX_RUNS = 10


def refuse_endless() -> None:
    """Errors: PermanentError, which is not run again, for a run that was started more often than the variable says."""
    if deployment.id is None:
        return
    most = int(str(Variable.get(VARIABLE, default=MAX_RUNS)))
    if flow_run.run_count > most:
        raise PermanentError(
            f"started {flow_run.run_count} times without an end",
            field=VARIABLE,
            hint="look at the ends of its earlier tries; Retry in the UI, after raising the variable, goes on",
        )
