"""Decision: what was decided about a version, by whom and why; and the one place for the words that people read of it.

`mtl.promotion` decides, a person may answer, and `mtl.pipeline.gate` joins the two and writes the decision down once.
Reports, tags, status and events read it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

GATE = "gate"
NOBODY = "nobody"


class DecisionState(StrEnum):
    """The value is what MLflow's tag `decision` and JSON documents hold."""

    PROMOTE = "promote"
    REJECT = "reject"
    WAITING = "waiting"
    APPROVED = "approved"
    REFUSED = "refused"
    UNANSWERED = "unanswered"
    OVERTAKEN = "overtaken"
    FORCED = "forced"

    @property
    def allows(self) -> bool:
        """Whether the version may become champion without force."""
        return self in (DecisionState.PROMOTE, DecisionState.APPROVED)


@dataclass(frozen=True, slots=True)
class ApprovalResponse:
    """What a person answered, or that nobody did: `by` is None then."""

    approved: bool
    by: str | None
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """The decision about one version.

    reasons: sentences. against: the champion of that time, None for none; compared_with: champion or base.
    awaits: the key of the question that a person is asked, None where nobody is. by: the gate, a person, or nobody.
    """

    state: DecisionState
    reasons: tuple[str, ...]
    against: int | None = None
    by: str = GATE
    policy_version: str = ""
    compared_with: str = ""
    awaits: str | None = None
    approval: ApprovalResponse | None = None

    @property
    def promoted(self) -> bool:
        """Whether the version may become champion."""
        return self.state.allows

    @property
    def final(self) -> bool:
        """Whether gate or person decided; not while a person is waited for, nor if nobody answered."""
        return self.state not in (DecisionState.WAITING, DecisionState.UNANSWERED)

    @property
    def actor(self) -> str:
        """Who promotes the version: the person who approved it, else the gate."""
        return f"{GATE} {self.policy_version}" if self.by == GATE else self.by

    @property
    def predicate(self) -> str:
        return predicate(self.state, self.by)

    @property
    def title(self) -> str:
        return title(self.state, self.by)

    @property
    def headline(self) -> str:
        return headline(self.state, self.by)

    def to_json(self) -> dict[str, Any]:
        """`decision` of `mtl retrain --json`."""
        document: dict[str, Any] = {
            "promoted": self.promoted,
            "reasons": list(self.reasons),
            "policy_version": self.policy_version,
            "compared_with": self.compared_with,
            "state": self.state.value,
            "by": self.by,
            "against": self.against,
            "awaits": self.awaits,
        }
        if self.approval is not None:
            answer = self.approval
            document["approval"] = {"approved": answer.approved, "by": answer.by, "reason": answer.reason}
        return document

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Decision:
        """The decision of a document; of one that was written before there were states, what it says of itself."""
        state = document.get("state") or ("promote" if document["promoted"] else "reject")
        answer = document.get("approval")
        return cls(
            state=DecisionState(state),
            reasons=tuple(document["reasons"]),
            against=document.get("against"),
            by=document.get("by", GATE),
            policy_version=document.get("policy_version", ""),
            compared_with=document.get("compared_with", ""),
            awaits=document.get("awaits"),
            approval=ApprovalResponse(**answer) if answer else None,
        )


_PREDICATES = {
    DecisionState.PROMOTE: "passed the gate",
    DecisionState.REJECT: "was rejected by the gate",
    DecisionState.WAITING: "waits for a person's approval",
    DecisionState.APPROVED: "was approved by {by}",
    DecisionState.REFUSED: "was refused by {by}",
    DecisionState.UNANSWERED: "was not approved in time",
    DecisionState.OVERTAKEN: "was overtaken by another change of champion",
    DecisionState.FORCED: "was promoted by force by {by}",
}


def predicate(decision: str, by: str = GATE) -> str:
    """What stands after the version's name in a sentence: `was refused by Ann`. by: who decided."""
    try:
        return _PREDICATES[DecisionState(decision)].format(by=by)
    except ValueError:  # written by hand, or by a later version of this program
        return f"has the unknown decision {decision!r}" if decision else "was not judged yet"


def label(decision: str, by: str = GATE) -> str:
    """The same for a column of a table: `refused by Ann`."""
    return predicate(decision, by).removeprefix("was ")


def title(decision: str, by: str = GATE) -> str:
    """The same as the first words of a report: `Passed the gate`, `Refused by Ann`."""
    words = label(decision, by)
    return words[0].upper() + words[1:]


def headline(decision: str, by: str = GATE) -> str:
    """The same as a title: what became of the version first, then why."""
    words = label(decision, by)
    if decision == DecisionState.WAITING:
        return words[0].upper() + words[1:]
    if decision == DecisionState.PROMOTE:
        return "Promoted to champion"
    promoted = decision in (DecisionState.APPROVED, DecisionState.FORCED)
    return f"{'Promoted to champion' if promoted else 'Not promoted'}: {words}"
