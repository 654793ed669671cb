"""What people do with champions: promote by hand, roll back, repair the journal, and look whether one is still good."""

from __future__ import annotations

from typing import Any

from mtl.chain.common import Document, champion_model, record_force, tracking
from mtl.chain.pages import refresh
from mtl.config.retrain import RetrainConfig
from mtl.decision import Decision, predicate
from mtl.errors import InputError, NotFoundError, NotPromotedError
from mtl.evaluation.report import CANDIDATE
from mtl.promotion import policy_from, regressions
from mtl.settings import Settings, load_settings
from mtl.store.open import open_store
from mtl.store.searched import searched


def promote_version(model: str, version: str, *, force: str | None, actor: str | None = None) -> Document:
    """Make a version champion: the gate's decision must be for it, or `force` says why not to ask.

    actor: who does it; by default what MTL_ACTOR or the user's name says. Errors: NotPromotedError if nobody allows it.
    """
    from mtl.release.promote import promote

    settings = load_settings()
    registry = _registry(settings, model)
    number = _number(version)
    against, reason = _permission(registry, settings, model, number, force)
    promotion = promote(
        open_store(settings.store),
        number,
        model=model,
        expected=against,
        reason=reason,
        actor=actor or settings.actor,
        aliases=registry,
        forced=force is not None,
    )
    if force is not None:
        record_force(registry, number, against=against, reason=force, by=promotion.change.actor)
    return _changed(model, promotion)


def _permission(
    registry: Any, settings: Settings, model: str, version: int, force: str | None
) -> tuple[int | None, str]:
    """(the champion that is replaced, the reason). Errors: NotPromotedError if neither gate nor person allows it."""
    from mtl.release.journal import read_journal

    verdict = registry.verdict(version)
    if force is not None:
        return read_journal(open_store(settings.store), model).champion, force
    if verdict is None:
        raise NotPromotedError(f"v{version} was never judged", hint='mtl retrain judges it; or --force "reason"')
    if not verdict.decision.allows:
        reasons = "\n".join(f"  - {reason}" for reason in verdict.reasons)
        waits = verdict.decision is Decision.WAITING
        raise NotPromotedError(
            f"v{version} {predicate(verdict.decision, verdict.by)}:\n{reasons}",
            hint=("answer the form of its run in Prefect; " if waits else "")
            + 'overrule this with --force "reason", which is recorded',
        )
    return verdict.against, "; ".join(verdict.reasons)


def roll_back(model: str, *, reason: str, actor: str | None = None) -> Document:
    """Make the previous champion champion again."""
    from mtl.release.promote import rollback

    settings = load_settings()
    promotion = rollback(
        open_store(settings.store),
        model=model,
        reason=reason,
        actor=actor or settings.actor,
        aliases=_registry(settings, model),
    )
    return _changed(model, promotion)


def repair_journal(model: str, *, champion: str | None, reason: str, actor: str | None = None) -> Document:
    """Fill in lost and damaged entries of a model's journal, and make the aliases follow it."""
    from mtl.release import repair

    settings = load_settings()
    repaired = repair.repair_journal(
        open_store(settings.store),
        model=model,
        champion=None if champion is None else _number(champion),
        reason=reason,
        actor=actor or settings.actor,
        aliases=_registry(settings, model),
    )
    return {
        "model": model,
        "champion": repaired.journal.champion,
        "previous": repaired.journal.previous,
        "filled_in": [{"seq": seq, **repaired.journal.changes[seq - 1].to_dict()} for seq in repaired.entries],
        "mended": dict(repaired.mended),
    }


def _number(version: str) -> int:
    from mtl.release.layout import parse_version

    number = parse_version(version)
    if number is None:
        raise InputError(f"{version!r} is no version", field="version", hint="give a number, e.g. 3 or v3")
    return number


def _registry(settings: Settings, model: str) -> Any:
    from mtl.registry.registry import Registry

    return Registry(tracking(settings), model)


def _changed(model: str, promotion: Any) -> Document:
    """The document of a promotion or rollback, once the pages of the versions that it was about say so."""
    refresh(model, promotion.version, promotion.change.replaced)
    return {
        "model": model,
        "champion": promotion.version,
        "previous": promotion.previous,
        "changed": promotion.changed,
        "reason": promotion.change.reason,
        "actor": promotion.change.actor,
        "at": promotion.change.at,
    }


def examine(config: RetrainConfig, dataset: str, *, max_drop: float) -> Document:
    """Measure the champion on a data set of today, beside what it scored when it was released.

    max_drop: how far the metric that decides about a task may fall before that is a regression. Floors of the gate
    count too. Errors: NotFoundError if there is no champion yet.
    """
    from mtl.chain.judge import measure
    from mtl.release import layout

    settings = load_settings()
    store = open_store(settings.store)
    model = config.register_.model
    version, folder = champion_model(config, store, settings)
    if version is None or folder is None:
        raise NotFoundError(f"{model} has no champion yet", hint=f"retrain/demo makes one; {searched(store)}")
    release = layout.find_manifest(store, model, version)
    then = release.facts.metrics if release else {}
    report = measure(config, dataset, {CANDIDATE: folder})
    found = regressions(report, then, policy_from(config.gate), max_drop=max_drop)
    document = report.to_json()
    now = {task: document[CANDIDATE][task] for task in document["examples"]}
    return {"model": model, "version": version, "now": now, "then": then, "regressions": found}
