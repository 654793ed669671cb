"""promote and rollback: one compare-and-set on the champion's journal; aliases follow.

The entry in the journal is the promotion. Killed before it, the old champion stands; killed after it, the new one, and
`follow` (the first thing the next promotion does, and `mtl reconcile`) mends the aliases. An alias that a person moved
in MLflow is no damage but a wish: it becomes an entry of its own, and the same release steps follow. What tells it from
the late write of a process of ours, `mtl.release.alias_writes` explains.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from mtl.errors import DamageError, InputError, NotFoundError, NotPromotedError, TransientError
from mtl.release.alias_writes import Announcement, announce, announcements, announcements_prefix
from mtl.release.aliases import Aliases
from mtl.release.journal import (
    LONGEST_TEXT,
    Change,
    Journal,
    Kind,
    append_change,
    change_of,
    check_last,
    journal_log,
    newest_journal,
    read_journal,
)
from mtl.release.signature import verify_release
from mtl.signing.configured import signs
from mtl.store.base import ObjectStore
from mtl.store.log import Entry
from mtl.store.searched import searched

MOVED_BY = "mlflow"
"""Actor of an entry that a moved alias became: MLflow does not say who moved it."""
_TRIES = 10
"""How often others may be first before this one gives up; each time somebody else got his work done."""


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
    require_signature: bool = False,
) -> Promotion:
    """Make `version` champion if the champion still is `expected` (None: there is none yet).

    `expected` is the champion that the candidate was judged against; with `forced`, a person has overruled the gate,
    and `reason` says why. A version that is champion already stays so, which makes a repeated call harmless.
    Errors: NotPromotedError if somebody else was promoted meanwhile, or if this version was rolled back and is not
    forced; NotFoundError if it has no release; DamageError naming a release file that is not what was published;
    SignatureError for a release whose signature is wrong, or missing where the settings or `require_signature` ask for
    one; TransientError if the store or the registry is away (nothing is promoted then, or the same call completes it).
    """
    follow(store, model=model, aliases=aliases)
    journal = read_journal(store, model)
    if journal.head and journal.champion == version:
        return Promotion(version, journal.previous, changed=False, change=journal.head)
    if not forced:
        _check_not_given_up(journal, version)
    if journal.champion != expected:
        raise _moved(version, expected=expected, found=journal.champion)
    change = _change(
        store,
        "promote",
        version,
        journal,
        model=model,
        reason=reason,
        actor=actor,
        forced=forced,
        require_signature=require_signature,
    )
    return append_announced(store, journal, change, model=model, expected=expected, aliases=aliases)


def rollback(
    store: ObjectStore,
    *,
    model: str,
    reason: str,
    actor: str,
    aliases: Aliases,
    expected: int | None = None,
    seq: int | None = None,
) -> Promotion:
    """Make the previous champion champion again; a second call goes one further back.

    expected: the champion to give up; a repeated call with it does nothing twice. None: whoever is champion now.
    seq: the journal's last entry that the caller knows; NotPromotedError if there is a later one. None: any.
    Errors: as `promote`; NotFoundError if there is nothing to go back to.
    """
    follow(store, model=model, aliases=aliases)
    journal = read_journal(store, model)
    head = journal.head
    if head and expected == head.replaced != head.version and head.kind == "rollback":  # it was done before
        return Promotion(head.version, head.previous, changed=False, change=head)
    if head is None or journal.previous is None:
        raise NotFoundError(
            f"{model} has no previous champion to roll back to",
            hint=f"champion: {_name(journal.champion)}; {searched(store)}",
        )
    if expected is not None and journal.champion != expected:
        raise _moved(journal.previous, expected=expected, found=journal.champion)
    if seq is not None and journal.seq != seq:
        raise NotPromotedError(f"the journal of {model} has entry {journal.seq} now", hint="mtl models --history")
    change = _change(
        store, "rollback", journal.previous, journal, model=model, reason=reason, actor=actor, forced=False
    )
    return append_announced(store, journal, change, model=model, expected=journal.champion, aliases=aliases)


def confirm(store: ObjectStore, version: int, *, model: str, reason: str, actor: str, aliases: Aliases) -> Promotion:
    """A person stands for `version`, which is champion: an entry that changes nothing.

    The same call again writes no second one. Errors: as `promote`; NotPromotedError if it is not champion any more.
    """
    follow(store, model=model, aliases=aliases)
    journal = read_journal(store, model)
    head = journal.head
    if head is None or head.version != version:
        raise NotPromotedError(
            f"v{version} is not champion any more: {_name(journal.champion)} is",
            hint="look again: mtl models --history",
        )
    change = _change(store, "promote", version, journal, model=model, reason=reason, actor=actor, forced=False)
    if (head.reason, head.actor) == (change.reason, change.actor):
        return Promotion(version, journal.previous, changed=False, change=head)
    change = replace(change, previous=journal.previous)
    promotion = append_announced(store, journal, change, model=model, expected=version, aliases=aliases)
    return replace(promotion, changed=False)


@dataclass(frozen=True, slots=True)
class Followed:
    """adopted: the entry that a moved alias became. refused: why it became none. mended: aliases put right."""

    adopted: Change | None
    refused: str | None
    mended: Mapping[str, int | None]


def follow(store: ObjectStore, *, model: str, aliases: Aliases, actor: str = MOVED_BY) -> Followed:
    """Take up a `champion` alias that a person moved, then make the aliases say what the journal says.

    Back to the previous champion is a rollback, anywhere else a forced promotion. A version without a whole release
    cannot be champion: the alias goes back, and `refused` says so. Where the aliases lag behind the journal, or a slow
    process wrote them (`mtl.release.alias_writes`), the journal rules.
    Errors: TransientError; DamageError for a journal that lost an entry.
    """
    journal = read_journal(store, model)
    if _in_step(store, journal, model=model, aliases=aliases):
        return Followed(None, None, {})
    announcement = announce(store, model, journal.seq)
    adopted, refused = _adopt(store, announcement, model=model, aliases=aliases, actor=actor)
    return Followed(adopted, refused, _align(store, announcement, model=model, aliases=aliases))


def reconcile(store: ObjectStore, *, model: str, aliases: Aliases) -> Mapping[str, int | None]:
    """Make the aliases `champion` and `previous` say what the journal says; what had to be changed."""
    journal = read_journal(store, model)
    if _in_step(store, journal, model=model, aliases=aliases):
        return {}
    return _align(store, announce(store, model, journal.seq), model=model, aliases=aliases)


def _in_step(store: ObjectStore, journal: Journal, *, model: str, aliases: Aliases) -> bool:
    """Whether the aliases say what the journal says, and no process of ours may still write them."""
    if _synced(store, journal, model=model, aliases=aliases) != (journal.seq or None):
        return False
    known = aliases.aliases()
    said = known.get("champion") == journal.champion and not _wrong(journal, known)
    return said and not announcements(store, announcements_prefix(model))


def _wrong(journal: Journal, known: Mapping[str, int]) -> dict[str, int | None]:
    """What the aliases should say and do not. Before there is a champion they are nobody's business but a person's."""
    if journal.head is None:
        return {}
    wanted = {"champion": journal.champion, "previous": journal.previous}
    return {alias: version for alias, version in wanted.items() if known.get(alias) != version}


def _synced(store: ObjectStore, journal: Journal, *, model: str, aliases: Aliases) -> int | None:
    """The entry that the aliases last followed. Errors: DamageError if it is later than the last of the journal."""
    synced = aliases.synced()
    if synced is not None and synced > journal.seq:
        last = newest_journal(store, model, journal).seq  # it may have been appended a moment ago
        check_last(journal_log(store, model), last, synced, said_by="MLflow's tag journal_seq")
    return synced


def _adopt(
    store: ObjectStore, announcement: Announcement, *, model: str, aliases: Aliases, actor: str
) -> tuple[Change | None, str | None]:
    """(the entry that a person's move became, why it became none); both None without a move."""
    for _ in range(_TRIES):
        journal = read_journal(store, model)  # this order of readings is rule 3 of alias_writes
        announced = announcement.floor()
        synced = _synced(store, journal, model=model, aliases=aliases)
        target = aliases.aliases().get("champion")
        if target is None or target == journal.champion or (synced is None and journal.head):
            return None, None
        if target in journal.champions_from(synced or 0):  # a promotion was killed before it moved the aliases
            return None, None
        if announced is not None and target in journal.champions_from(announced):
            return None, _ambiguous(target)
        try:
            change = _moved_change(store, journal, target, model=model, actor=actor)
        except (NotFoundError, DamageError) as error:
            return None, error.message
        if append_change(store, model, journal, change).mine:
            return change, None
    raise _busy(model)


def _moved_change(store: ObjectStore, journal: Journal, target: int, *, model: str, actor: str) -> Change:
    back = target == journal.previous
    return _change(
        store,
        "rollback" if back else "promote",
        target,
        journal,
        model=model,
        reason=f"the alias champion was moved to v{target} in MLflow",
        actor=actor,
        forced=not back,
    )


def _align(store: ObjectStore, announcement: Announcement, *, model: str, aliases: Aliases) -> Mapping[str, int | None]:
    """Write aliases until they say what the journal says, and withdraw the announcement; what was changed."""
    mended: dict[str, int | None] = {}
    journal = read_journal(store, model)
    for _ in range(_TRIES):
        left = announcement.left_behind()
        wrong = _wrong(journal, aliases.aliases())
        now = newest_journal(store, model, journal)
        if now is not journal:
            journal = now
        elif wrong:
            for alias, version in wrong.items():
                announcement.check_in_time()
                aliases.set_alias(alias, version)
            mended |= wrong
        else:
            if aliases.synced() != (journal.seq or None):
                aliases.set_synced(journal.seq)
            announcement.withdraw(*left)
            return mended
    raise _busy(model)


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
    require_signature: bool = False,
) -> Change:
    """The entry to write, once the release has proved to be whole, and to be the one that was promoted, if it ever was.

    Where this process signs, it makes no unsigned release champion that no entry of the journal stands for: its own
    signature of the entry would stand for whatever lies there now.
    Errors: InputError without a key that it needs; those of `verify_release` and `Journal.check_pinned`.
    """
    journal.check_key()
    if not reason.strip():
        raise InputError(f"a {kind} needs a reason", field="reason", hint="it is kept in the journal")
    known = any(change.version == version for change in journal.changes)
    required = require_signature or (signs() and not known)
    manifest = verify_release(store, model, version, require_signature=required)
    journal.check_pinned(manifest)
    return Change(
        kind=kind,
        version=version,
        previous=journal.champion if kind == "promote" else journal.after_rollback(),
        replaced=journal.champion,
        reason=reason.strip()[:LONGEST_TEXT],
        actor=actor[:LONGEST_TEXT],
        at=datetime.now(UTC).isoformat(timespec="seconds"),
        forced=forced,
        manifest_sha256=manifest.sha256,
    )


def append_announced(
    store: ObjectStore,
    journal: Journal,
    change: Change,
    *,
    model: str,
    expected: int | None,
    aliases: Aliases,
    vouching: Mapping[int, Entry] | None = None,
) -> Promotion:
    """Append the entry and move the aliases. Errors: NotPromotedError if another entry got there first.

    vouching: the entries before it, which its signature shall stand for too.
    """
    announcement = announce(store, model, journal.seq)
    result = append_change(store, model, journal, change, vouching=vouching)
    following = None if result.stands else journal_log(store, model).read(journal.seq + 2)
    # A higher entry is fine if it was decided on top of this one. Otherwise this number was written again after
    # somebody deleted it, and the champion is decided without it.
    if not result.mine or (following and change_of(following, model).replaced != change.version):
        announcement.withdraw()  # no alias was written
        raise _moved(change.version, expected=expected, found=change_of(result.head, model).version)
    _align(store, announcement, model=model, aliases=aliases)
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


def _ambiguous(target: int) -> str:
    return (
        f"the alias champion was found at v{target}, which a process that was killed or stalled may have written; "
        "if a person moved it: mtl rollback or mtl promote --force do it now, another move of the alias in an hour"
    )


def _busy(model: str) -> TransientError:
    return TransientError(f"others change the champion of {model} all the time", hint="run it again")


def _name(version: int | None) -> str:
    return "no champion" if version is None else f"v{version}"
