"""The promote flow: a person makes a version champion, from the Prefect UI.

python -m flows.promote VERSION
"""

from __future__ import annotations

import sys
from typing import Annotated, Any

from prefect import flow
from pydantic import Field

from flows import events, steps
from mtl.config.register import RegisterConfig


@flow(
    name="promote",
    description="Promote a version that passed the gate to champion.",
    on_failure=[events.run_ended_badly],
    on_crashed=[events.run_ended_badly],
)
def promote(
    version: Annotated[
        int, Field(ge=1, description="Version of the registered model.", json_schema_extra={"position": 0})
    ],
    by: Annotated[
        str, Field(max_length=200, description="Your name. It is recorded.", json_schema_extra={"position": 1})
    ] = "",
    overrule: Annotated[
        str,
        Field(
            max_length=2000,
            description="Why you overrule the gate. If empty, the gate decides.",
            json_schema_extra={"position": 2},
        ),
    ] = "",
    model: Annotated[
        str, Field(description="Name of the registered model.", json_schema_extra={"position": 3})
    ] = RegisterConfig().model,
) -> dict[str, Any]:
    """Who is champion now; the document of `mtl promote --json`."""
    changed = steps.promote_by_hand(model, f"v{version}", overrule.strip() or None, by.strip() or None)
    events.champion_changed(model)
    return changed.to_json()


if __name__ == "__main__":
    promote(int(sys.argv[1].lstrip("v")))
