"""The reconcile flow: a poll that takes up what people do in MLflow's registry.

python -m flows.reconcile [MODEL]
"""

from __future__ import annotations

import sys
from typing import Annotated, Any

from prefect import flow, get_run_logger
from pydantic import Field

from flows import events, steps
from mtl.config.register import RegisterConfig


@flow(
    name="reconcile",
    description="Accept a champion alias that was moved in MLflow, and repair aliases that lag.",
    on_failure=[events.run_ended_badly],
    on_crashed=[events.run_ended_badly],
)
def reconcile(
    model: Annotated[str, Field(description="Name of the registered model.")] = RegisterConfig().model,
) -> dict[str, Any]:
    """Once; the document of `mtl reconcile --json`. Doing it again with nothing changed does nothing.

    Tells of a change of champion that nobody told of: one by `mtl promote`, or whose process was killed.
    """
    found = steps.follow_aliases(model)
    if found.adopted:
        get_run_logger().info("%s to v%s by hand", found.adopted.kind, found.adopted.version)
    events.champion_changed(model)
    if found.refused:
        get_run_logger().warning("the moved alias was put back: %s", found.refused)
    return found.to_json()


if __name__ == "__main__":
    reconcile(*sys.argv[1:2])
