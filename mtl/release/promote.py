"""promote and rollback: one compare-and-set on the champion's journal; aliases follow.

The entry in the journal is the promotion. Killed before it, the old champion stands; killed after it, the new one, and
`follow` (the first thing the next promotion does, and `mtl reconcile`) mends the aliases. An alias that a person moved
in MLflow is no damage but a wish: it becomes an entry of its own, and the same release steps follow.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from mtl.errors import DamageError, InputError, NotFoundError, NotPromotedError
from mtl.release.aliases import Aliases
from mtl.release.journal import Change, Journal, Kind, journal_log, read_journal
from mtl.release.layout import verify_release
from mtl.store.base import ObjectStore

MOVED_BY = "mlflow"
"""Actor of an entry that a moved alias became: MLflow does not say who moved it."""
_LONGEST_TEXT = 2000


@dataclass(frozen=True, slots=True)
class Promotion:
    """How things stand after a promotion or rollback. `changed` is False if the champion was this version before."""

    version: int
    previous: int | None
    changed: bool
    change: Change


def promote(
    store: ObjectStore,
    version: int,
    *,
    model: str,
    expected: int | None,
    reason: str,
    actor: str,
    aliases: Aliases,
    forced: bool = False,
) -> Promotion:
    """Make `version` champion if the champion still is `expected` (None: there is none yet).

    `expected` is the champion that the candidate was judged against; with `forced`, a person has overruled the gate,
    and `reason` says why. A version that is champion already stays so, which makes a repeated call harmless.
    Errors: NotPromotedError if somebody else was promoted meanwhile, or if this version was rolled back and is not
    forced; NotFoundError if it has no release; DamageError naming a release file that is not what was published;
    TransientError if the store or the registry is away (nothing is promoted then, or the same call completes it).
    """
    follow(store, model=model, aliases=aliases)
    journal = read_journal(store, model)
    if journal.head and journal.champion == version:
        return Promotion(version, journal.previous, changed=False, change=journal.head)
    if not forced:
        _check_not_given_up(journal, version)
    if journal.champion != expected:
        raise _moved(version, expected=expected, found=journal.champion)
    change = _change(store, "promote", version, journal, model=model, reason=reason, actor=actor, forced=forced)
    return _append(store, journal, change, model=model, expected=expected, aliases=aliases)


def rollback(
    store: ObjectStore, *, model: str, reason: str, actor: str, aliases: Aliases, expected: int | None = None
) -> Promotion:
    """Make the previous champion champion again; a second call goes one further back.

    expected: the champion to give up; a repeated call with it does nothing twice. None: whoever is champion now.
    Errors: as `promote`; NotFoundError if there is nothing to go back to.
    """
    follow(store, model=model, aliases=aliases)
    journal = read_journal(store, model)
    head = journal.head
    if head and expected == head.replaced != head.version and head.kind == "rollback":  # it was done before
        return Promotion(head.version, head.previous, changed=False, change=head)
    if head is None or journal.previous is None:
        raise NotFoundError(
            f"{model} has no previous champion to roll back to", hint=f"champion: {_name(journal.champion)}"
        )
    if expected is not None and journal.champion != expected:
        raise _moved(journal.previous, expected=expected, found=journal.champion)
    change = _change(
        store, "rollback", journal.previous, journal, model=model, reason=reason, actor=actor, forced=False
    )
    return _append(store, journal, change, model=model, expected=journal.champion, aliases=aliases)


@dataclass(frozen=True, slots=True)
class Followed:
    """adopted: the entry that a moved alias became. refused: why it became none. mended: aliases put right."""

    adopted: Change | None
    refused: str | None
    mended: Mapping[str, int | None]


def follow(store: ObjectStore, *, model: str, aliases: Aliases, actor: str = MOVED_BY) -> Followed:
    """Take up a `champion` alias that a person moved, then make the aliases say what the journal says.

    Back to the previous champion is a rollback, anywhere else a forced promotion. A version without a whole release
    cannot be champion: the alias goes back, and `refused` says so. Where the aliases lag behind the journal (a
    promotion was killed half-way), the journal rules. Errors: TransientError.
    """
    adopted, refused = None, None
    try:
        adopted = _adopt(store, model=model, aliases=aliases, actor=actor)
    except (NotFoundError, DamageError, NotPromotedError) as error:
        refused = error.message
    return Followed(adopted, refused, reconcile(store, model=model, aliases=aliases))


def _adopt(store: ObjectStore, *, model: str, aliases: Aliases, actor: str) -> Change | None:
    target = aliases.aliases().get("champion")
    journal = read_journal(store, model)
    in_step = aliases.synced() == (journal.seq or None)
    if target is None or target == journal.champion or not in_step:
        return None
    back = target == journal.previous
    change = _change(
        store,
        "rollback" if back else "promote",
        target,
        journal,
        model=model,
        reason=f"the alias champion was moved to v{target} in MLflow",
        actor=actor,
        forced=not back,
    )
    return _append(store, journal, change, model=model, expected=journal.champion, aliases=aliases).change


def reconcile(store: ObjectStore, *, model: str, aliases: Aliases) -> Mapping[str, int | None]:
    """Make the aliases `champion` and `previous` say what the journal says; what had to be changed."""
    journal = read_journal(store, model)
    if journal.head is None:
        return {}
    known = aliases.aliases()
    wanted = {"champion": journal.champion, "previous": journal.previous}
    wrong = {alias: version for alias, version in wanted.items() if known.get(alias) != version}
    if not wrong and aliases.synced() == journal.seq:
        return {}
    aliases.set_synced(None)  # first, so that nobody takes a half-done move for a person's
    for alias, version in wrong.items():
        aliases.set_alias(alias, version)
    aliases.set_synced(journal.seq)
    return wrong


def _change(
    store: ObjectStore,
    kind: Kind,
    version: int,
    journal: Journal,
    *,
    model: str,
    reason: str,
    actor: str,
    forced: bool,
) -> Change:
    """The entry to write, once the release has proved to be whole."""
    if not reason.strip():
        raise InputError(f"a {kind} needs a reason", field="reason", hint="it is kept in the journal")
    manifest = verify_release(store, model, version)
    return Change(
        kind=kind,
        version=version,
        previous=journal.champion if kind == "promote" else journal.after_rollback(),
        replaced=journal.champion,
        reason=reason.strip()[:_LONGEST_TEXT],
        actor=actor[:_LONGEST_TEXT],
        at=datetime.now(UTC).isoformat(timespec="seconds"),
        forced=forced,
        manifest_sha256=manifest.sha256,
    )


def _append(
    store: ObjectStore, journal: Journal, change: Change, *, model: str, expected: int | None, aliases: Aliases
) -> Promotion:
    log = journal_log(store, model)
    result = log.append(journal.seq + 1, change.to_dict())
    following = None if result.stands else log.read(journal.seq + 2)
    # A higher entry is fine if it was decided on top of this one. Otherwise this number was written again after
    # somebody deleted it, and the champion is decided without it.
    if not result.mine or (following and following.document["replaced"] != change.version):
        raise _moved(change.version, expected=expected, found=int(result.head.document["version"]))
    reconcile(store, model=model, aliases=aliases)
    return Promotion(change.version, change.previous, changed=True, change=change)


def _check_not_given_up(journal: Journal, version: int) -> None:
    given_up = journal.given_up(version)
    if given_up:
        raise NotPromotedError(
            f"v{version} was rolled back on {given_up.at} by {given_up.actor}: {given_up.reason}",
            hint='promote it all the same with --force "reason"',
        )


def _moved(version: int, *, expected: int | None, found: int | None) -> NotPromotedError:
    return NotPromotedError(
        f"v{version} was judged against {_name(expected)}, but the champion is {_name(found)} now",
        hint="evaluate it again against the present champion",
    )


def _name(version: int | None) -> str:
    return "no champion" if version is None else f"v{version}"
