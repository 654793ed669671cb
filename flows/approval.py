"""A person's word on a version that the gate let through: a typed form in the Prefect UI, and nobody waits for it.

A run of a deployment is suspended: its process ends, and the worker starts it again once the form is sent. A run in
this process (`mtl retrain`) pauses and asks the server now and then. Unanswered, both end without a promotion.
"""

from __future__ import annotations

from typing import Any, Literal

from prefect import get_run_logger
from prefect.client.orchestration import get_client
from prefect.exceptions import FlowPauseTimeout
from prefect.flow_runs import pause_flow_run, suspend_flow_run
from prefect.input import RunInput
from prefect.runtime import deployment, flow_run
from prefect.states import Running
from pydantic import Field, model_validator

from mtl.decision import ApprovalResponse

POLL_SECONDS = 5
"""Seconds after which a run that is paused in its process looks for an answer."""


def _position(number: int) -> dict[str, Any]:
    return {"position": number}  # PostgreSQL forgets the order of fields, the form sorts by this


class Approval(RunInput):
    """The form. The decision has no default, so that nothing is decided by leaving it alone."""

    decision: Literal["approve", "refuse"] = Field(
        description="approve promotes the version to champion. refuse leaves the champion as it is.",
        json_schema_extra=_position(0),
    )
    name: str = Field(
        "", max_length=200, description="Your name. It is recorded with the decision.", json_schema_extra=_position(1)
    )
    reason: str = Field(
        "",
        max_length=2000,
        description="Why you decide so. It is recorded with the version.",
        json_schema_extra=_position(2),
    )

    @model_validator(mode="before")
    @classmethod
    def _of_the_former_form(cls, values: Any) -> Any:
        """A run that was suspended by an earlier release shows a switch `approve`, which refuses unless it is set."""
        if not isinstance(values, dict) or "decision" in values:
            return values
        kept = {name: value for name, value in values.items() if name != "approve"}
        return kept | {"decision": "approve" if values.get("approve") else "refuse"}


def ask(question: str, *, key: str, hours: float) -> ApprovalResponse:
    """What the person answered within `hours`; not approved, by nobody, if nobody did.

    question: Markdown above the form. key: what is asked about; a run asks about each key once. Called from a flow,
    not from a step.
    """
    get_run_logger().info("waiting up to %g hours for approval: %s", hours, flow_run.get_flow_run_ui_url() or "no UI")
    form = Approval.with_initial_data(description=question)
    seconds = max(1, round(hours * 3600))
    try:
        if deployment.get_id():
            answer = suspend_flow_run(wait_for_input=form, timeout=seconds, key=key)
        else:
            answer = pause_flow_run(wait_for_input=form, timeout=seconds, key=key, poll_interval=POLL_SECONDS)
    except FlowPauseTimeout:
        _go_on()
        return ApprovalResponse(approved=False, by=None, reason=f"nobody answered within {hours:g} hours")
    return ApprovalResponse(
        approved=answer.decision == "approve", by=answer.name.strip() or "unnamed", reason=answer.reason.strip()
    )


def _go_on() -> None:
    """A pause that ran out leaves the run paused for the server, and its remaining steps would not start."""
    own = flow_run.get_id()
    assert own is not None, "called from a flow"
    with get_client(sync_client=True) as client:
        client.set_flow_run_state(own, Running(), force=True)
