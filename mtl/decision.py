"""What was decided about a version and by whom: the one place for the words that people read about it."""

from __future__ import annotations

from enum import StrEnum

GATE = "gate"
NOBODY = "nobody"


class Decision(StrEnum):
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
        return self in (Decision.PROMOTE, Decision.APPROVED)


_PREDICATES = {
    Decision.PROMOTE: "passed the gate",
    Decision.REJECT: "was rejected by the gate",
    Decision.WAITING: "waits for a person's approval",
    Decision.APPROVED: "was approved by {by}",
    Decision.REFUSED: "was refused by {by}",
    Decision.UNANSWERED: "was not approved in time",
    Decision.OVERTAKEN: "was overtaken by another change of champion",
    Decision.FORCED: "was promoted by force by {by}",
}


def predicate(decision: str, by: str = GATE) -> str:
    """What stands after the version's name in a sentence: `was refused by Ann`. by: who decided."""
    try:
        return _PREDICATES[Decision(decision)].format(by=by)
    except ValueError:  # written by hand, or by a later version of this program
        return f"has the unknown decision {decision!r}" if decision else "was not judged yet"


def label(decision: str, by: str = GATE) -> str:
    """The same for a column of a table: `refused by Ann`."""
    return predicate(decision, by).removeprefix("was ")


def headline(decision: str, by: str = GATE) -> str:
    """The same as a title: what became of the version first, then why."""
    words = label(decision, by)
    if decision == Decision.WAITING:
        return words[0].upper() + words[1:]
    if decision == Decision.PROMOTE:
        return "Promoted to champion"
    promoted = decision in (Decision.APPROVED, Decision.FORCED)
    return f"{'Promoted to champion' if promoted else 'Not promoted'}: {words}"
