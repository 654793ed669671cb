"""Promote: make a version champion because gate or person said so; by hand, roll back, follow aliases, repair.

The journal in the object store (`mtl.release`) is what counts; aliases, tags and pages of the registry follow it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from mtl.decision import Decision, DecisionState
from mtl.errors import InputError, NotPromotedError
from mtl.pipeline.pages import refresh
from mtl.pipeline.records import PromotionResult, RegisteredVersion
from mtl.registry.base import ModelRegistry
from mtl.release import promote as releases
from mtl.release import repair, sign
from mtl.release.journal import Change, read_journal
from mtl.release.layout import parse_version
from mtl.workspace import Workspace

_IN_MLFLOW = "a person in MLflow"


@dataclass(frozen=True, slots=True, kw_only=True)
class ChampionChange:
    """Who is champion after a promotion or a rollback by hand, and why. changed: False if it was so already."""

    model: str
    champion: int
    previous: int | None
    changed: bool
    reason: str
    actor: str
    at: str

    def to_json(self) -> dict[str, Any]:
        """The document of `mtl promote --json` and `mtl rollback --json`."""
        return asdict(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class FollowedAliases:
    """What was found in the registry's aliases. adopted: a champion that a person chose there. refused: why one was put
    back. repaired: alias -> version, None for removed.
    """

    model: str
    champion: int | None
    adopted: Change | None
    refused: str | None
    repaired: Mapping[str, int | None]

    def to_json(self) -> dict[str, Any]:
        """The document of `mtl reconcile --json`."""
        return {
            "model": self.model,
            "champion": self.champion,
            "adopted": self.adopted.to_dict() if self.adopted else None,
            "refused": self.refused,
            "mended": dict(self.repaired),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class JournalRepair:
    """What a repair filled in: number -> entry of the journal. repaired: alias -> version, None for removed."""

    model: str
    champion: int | None
    previous: int | None
    filled_in: Mapping[int, Change]
    repaired: Mapping[str, int | None]

    def to_json(self) -> dict[str, Any]:
        """The document of `mtl repair-journal --json`."""
        return {
            "model": self.model,
            "champion": self.champion,
            "previous": self.previous,
            "filled_in": [{"seq": seq, **change.to_dict()} for seq, change in self.filled_in.items()],
            "mended": dict(self.repaired),
        }


def promote(
    workspace: Workspace, registered: RegisteredVersion, decision: Decision, *, require_signature: bool = False
) -> PromotionResult:
    """Make the version champion if the decision allows it. Errors: SignatureError, see `mtl.release.promote`."""
    store, model = workspace.store, registered.model
    if not decision.promoted:
        return PromotionResult(read_journal(store, model).champion, changed=False)
    try:
        promotion = releases.promote(
            store,
            registered.version,
            model=model,
            expected=decision.against,
            reason="; ".join(decision.reasons),
            actor=decision.actor,
            aliases=workspace.registry(model),
            require_signature=require_signature,
        )
    except NotPromotedError as error:  # another was promoted meanwhile, or a person rolled this version back
        return PromotionResult(read_journal(store, model).champion, changed=False, refused=error.message)
    return PromotionResult(promotion.version, changed=promotion.changed)


def promote_by_hand(
    workspace: Workspace, model: str, version: str, *, force: str | None, actor: str | None = None
) -> ChampionChange:
    """Make a version champion: the decision about it must allow that, or `force` says why not to ask.

    With `force`, the version that is champion is confirmed: an entry of the journal, and no automatic rollback.

    actor: who does it; by default what MTL_ACTOR or the user's name says.
    Errors: NotPromotedError if nobody allows it.
    """
    registry, number, by = workspace.registry(model), _number(version), actor or workspace.settings.actor
    if force is None:
        allowing = _allowing(number, registry.decision(number))
        against, reason = allowing.against, "; ".join(allowing.reasons)
    else:
        against, reason = read_journal(workspace.store, model).champion, force
    if force is not None and against == number:
        promotion = releases.confirm(workspace.store, number, model=model, reason=reason, actor=by, aliases=registry)
    else:
        promotion = releases.promote(
            workspace.store,
            number,
            model=model,
            expected=against,
            reason=reason,
            actor=by,
            aliases=registry,
            forced=force is not None,
        )
    change = promotion.change
    if change.forced:  # also where an earlier call was killed before it recorded that
        _record_force(registry, number, against=change.replaced, reason=change.reason, by=change.actor)
    return _changed(workspace, model, promotion)


def _allowing(version: int, decision: Decision | None) -> Decision:
    """The decision that lets a version become champion. Errors: NotPromotedError if there is none."""
    if decision is None:
        raise NotPromotedError(
            f"v{version} was never judged", hint='mtl retrain judges it; or overrule the gate with --force "reason"'
        )
    if not decision.promoted:
        reasons = "\n".join(f"  - {reason}" for reason in decision.reasons)
        waits = decision.state is DecisionState.WAITING
        raise NotPromotedError(
            f"v{version} {decision.predicate}:\n{reasons}",
            hint=("answer the form of its run in Prefect; " if waits else "")
            + 'overrule this with --force "reason", which is recorded',
        )
    return decision


def roll_back(
    workspace: Workspace, model: str, *, reason: str, actor: str | None = None, seq: int | None = None
) -> ChampionChange:
    """Make the previous champion champion again.

    seq: the journal's last entry that the caller knows; None: any. Errors: NotPromotedError if there is a later one.
    """
    promotion = releases.rollback(
        workspace.store,
        model=model,
        reason=reason,
        actor=actor or workspace.settings.actor,
        aliases=workspace.registry(model),
        seq=seq,
    )
    return _changed(workspace, model, promotion)


def follow_aliases(workspace: Workspace, model: str, *, describe: bool = False) -> FollowedAliases:
    """Take up a champion alias that a person moved in MLflow, and repair aliases that lag behind the journal.

    describe: also bring the pages of the versions that the newest change was about up to date.
    """
    registry = workspace.registry(model)
    followed = releases.follow(workspace.store, model=model, aliases=registry)
    adopted = followed.adopted
    if adopted and adopted.forced:
        _record_force(registry, adopted.version, against=adopted.replaced, reason=adopted.reason, by=_IN_MLFLOW)
    journal = read_journal(workspace.store, model)
    if describe and journal.head is not None:
        refresh(workspace, model, journal.head.version, journal.head.replaced)
    return FollowedAliases(
        model=model,
        champion=journal.champion,
        adopted=adopted,
        refused=followed.refused,
        repaired=followed.mended,
    )


def repair_journal(
    workspace: Workspace, model: str, *, champion: str | None, reason: str, actor: str | None = None
) -> JournalRepair:
    """Fill in lost and damaged entries of a model's journal, and make the aliases follow it."""
    repaired = repair.repair_journal(
        workspace.store,
        model=model,
        champion=None if champion is None else _number(champion),
        reason=reason,
        actor=actor or workspace.settings.actor,
        aliases=workspace.registry(model),
    )
    journal = repaired.journal
    return JournalRepair(
        model=model,
        champion=journal.champion,
        previous=journal.previous,
        filled_in={seq: journal.changes[seq - 1] for seq in repaired.entries},
        repaired=repaired.mended,
    )


def sign_journal(
    workspace: Workspace, model: str, *, champion: str, reason: str, actor: str | None = None
) -> ChampionChange:
    """Vouch for a model's journal, whose champion is `champion`, with the key of this process."""
    promotion = sign.sign_journal(
        workspace.store,
        model=model,
        champion=_number(champion),
        reason=reason,
        actor=actor or workspace.settings.actor,
        aliases=workspace.registry(model),
    )
    return replace(_changed(workspace, model, promotion), changed=False)


def _record_force(registry: ModelRegistry, version: int, *, against: int | None, reason: str, by: str) -> None:
    """Say with the version that it was promoted by force; what the gate said stays below that."""
    before = registry.decision(version)
    reasons = before.reasons if before else ()
    if before and before.state is DecisionState.FORCED:
        reasons = reasons[1:]
    said = f"Promoted by force by {by}: {reason}"
    registry.record_decision(
        version, Decision(state=DecisionState.FORCED, reasons=(said, *reasons), against=against, by=by)
    )


def _number(version: str) -> int:
    number = parse_version(version)
    if number is None:
        raise InputError(f"{version!r} is no version", field="version", hint="give a number, e.g. 3 or v3")
    return number


def _changed(workspace: Workspace, model: str, promotion: releases.Promotion) -> ChampionChange:
    """What a promotion or rollback changed, once the pages of the versions that it was about say so."""
    refresh(workspace, model, promotion.version, promotion.change.replaced)
    return ChampionChange(
        model=model,
        champion=promotion.version,
        previous=promotion.previous,
        changed=promotion.changed,
        reason=promotion.change.reason,
        actor=promotion.change.actor,
        at=promotion.change.at,
    )
