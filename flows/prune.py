"""The prune flow: delete what no checkpoint has needed for a day, answers that no evaluation took for 30 days, and
parts of the request log beyond their retention.

python -m flows.prune
"""

from __future__ import annotations

from typing import Annotated, Any

from prefect import flow, get_run_logger
from pydantic import Field

from flows import events, steps


@flow(
    name="prune",
    description="Delete files that no checkpoint has needed for a day, kept answers that nobody took for 30 days, and "
    "parts of the request log beyond their retention.",
    on_failure=[events.run_ended_badly],
    on_crashed=[events.run_ended_badly],
)
def prune(
    dry_run: Annotated[bool, Field(description="Only list what would be deleted.")] = False,
) -> dict[str, Any]:
    """The document of `mtl checkpoints prune --json`."""
    found = steps.prune_checkpoints(not dry_run)
    get_run_logger().info("%d deleted", found.deleted)
    return found.to_json()


if __name__ == "__main__":
    prune()
