"""Watch what the champion serves, and roll it back if its users are served worse than by the version before it.

`mtl.promotion.served` decides; the rollback is an entry of the journal like any other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any

from mtl.config.rollback import RollbackConfig
from mtl.errors import NotPromotedError
from mtl.pipeline.promote import roll_back
from mtl.promotion.served import AUTOMATIC, Watch, champion_entry, decide, held_back, watch_of
from mtl.release.journal import Journal, read_journal
from mtl.traffic.records import ServedCounts
from mtl.traffic.store import read_counts
from mtl.workspace import Workspace


class Outcome(StrEnum):
    """What became of the champion. `needs-person`: it serves worse, and the policy may not act again."""

    KEPT = "kept"
    ROLLED_BACK = "rolled-back"
    WOULD_ROLL_BACK = "would-roll-back"
    NEEDS_PERSON = "needs-person"


@dataclass(frozen=True, slots=True, kw_only=True)
class ServedCheck:
    """reasons: sentences. seq: entry of the journal that made the champion champion. served: what was compared."""

    model: str
    outcome: Outcome
    champion: int | None
    previous: int | None
    seq: int
    reasons: tuple[str, ...]
    served: tuple[ServedCounts, ...] = ()

    @property
    def text(self) -> str:
        return " ".join(self.reasons)

    def to_json(self) -> dict[str, Any]:
        return asdict(self) | {"outcome": self.outcome.value, "reasons": list(self.reasons), "served": [*self.served]}


def watch_served(
    workspace: Workspace, model: str, policy: RollbackConfig, *, now: datetime | None = None
) -> ServedCheck:
    """Compare what champion and previous version served; roll back where the policy says so and may.

    Errors: those of `mtl.release.promote.rollback`, except that another entry of the journal meanwhile is none.
    """
    now = now or datetime.now(UTC)
    journal = read_journal(workspace.store, model)
    watch = watch_of(journal, policy)
    if isinstance(watch, str):
        return _check(model, journal, Outcome.KEPT, [watch])
    if now > watch.over:
        over = (
            f"v{watch.champion} has been champion for longer than {policy.hours:g} hours, and is not watched any more."
        )
        return _check(model, journal, Outcome.KEPT, [over])
    served = _served(workspace, model, watch, policy)
    decision = decide(*served, policy)
    if not decision.roll_back:
        return _check(model, journal, Outcome.KEPT, decision.reasons, served)
    if not policy.enabled:
        off = "watch.rollback.enabled is false, so nothing was done."
        return _check(model, journal, Outcome.WOULD_ROLL_BACK, [*decision.reasons, off], served)
    if held := held_back(journal):
        return _check(model, journal, Outcome.NEEDS_PERSON, [held, *decision.reasons], served)
    try:
        reason = f"v{watch.champion} serves worse than v{watch.previous} did. {' '.join(decision.reasons)}"
        roll_back(workspace, model, reason=reason, actor=AUTOMATIC, seq=journal.seq)
    except NotPromotedError:  # the next look is about the journal of then
        other = "Somebody else promoted, confirmed or rolled back a version meanwhile, so nothing was done."
        return _check(model, journal, Outcome.KEPT, [other], served)
    return _check(model, journal, Outcome.ROLLED_BACK, decision.reasons, served)


def _served(
    workspace: Workspace, model: str, watch: Watch, policy: RollbackConfig
) -> tuple[ServedCounts, ServedCounts]:
    """What the champion answered since it is champion, and what the other one did in its last hours."""
    store, hours = workspace.store, timedelta(hours=policy.hours)
    ours = read_counts(store, model, since=watch.since)
    theirs = read_counts(store, model, since=watch.ended - hours, until=watch.ended)
    none = ServedCounts
    return (
        ours.get(watch.champion, none(watch.champion)),
        theirs.get(watch.previous, none(watch.previous)),
    )


def _check(
    model: str,
    journal: Journal,
    outcome: Outcome,
    reasons: Sequence[str],
    served: tuple[ServedCounts, ...] = (),
) -> ServedCheck:
    return ServedCheck(
        model=model,
        outcome=outcome,
        champion=journal.champion,
        previous=journal.previous,
        seq=champion_entry(journal),
        reasons=tuple(reasons),
        served=served,
    )
