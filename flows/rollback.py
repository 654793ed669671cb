"""The rollback flow: a person makes the previous champion champion again, from the Prefect UI.

python -m flows.rollback "why"
"""

from __future__ import annotations

import sys
from typing import Annotated, Any

from prefect import flow
from pydantic import Field

from flows import events, steps
from mtl.config.register import RegisterConfig


@flow(
    name="rollback",
    description="Make the previous champion the champion again.",
    on_failure=[events.run_ended_badly],
    on_crashed=[events.run_ended_badly],
)
def rollback(
    reason: Annotated[
        str,
        Field(
            min_length=1,
            max_length=2000,
            description="Why you roll back. It is recorded in the journal.",
            json_schema_extra={"position": 0},
        ),
    ],
    by: Annotated[
        str, Field(max_length=200, description="Your name. It is recorded.", json_schema_extra={"position": 1})
    ] = "",
    model: Annotated[
        str, Field(description="Name of the registered model.", json_schema_extra={"position": 2})
    ] = RegisterConfig().model,
) -> dict[str, Any]:
    """Who is champion now; the document of `mtl rollback --json`."""
    changed = steps.roll_back(model, reason, by.strip() or None)
    events.champion_changed(model)
    return changed.to_json()


if __name__ == "__main__":
    rollback(sys.argv[1])
