"""repair: fill in what a journal has lost, from the entries around it and from what a person says.

    mtl repair-journal --champion v3 --reason "the bucket was restored from last night's copy"

The champion that a lost entry made stands in the entry after it (`replaced`); if that is lost too, a person says who
is champion. Where keys are trusted, an entry that no trusted key's signature covers counts as lost. Going back to the
version before counts as a rollback, so that a version that may have been given up needs --force to come back. Bytes
that are no entry, or not the one that was written there, are kept in `log-damaged/`.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from mtl.errors import DamageError, InputError, NotFoundError
from mtl.fingerprint import sha256_bytes
from mtl.layout import model_prefix
from mtl.release.aliases import Aliases
from mtl.release.chain import find_faults
from mtl.release.journal import (
    LONGEST_TEXT,
    Change,
    Journal,
    change_of,
    journal_log,
    last_entry,
    read_journal,
    signed_entry,
    write_last_entry,
)
from mtl.release.layout import find_manifest
from mtl.release.promote import reconcile
from mtl.release.signature import verify_release
from mtl.release.vouching import find_unproved
from mtl.signing.configured import check_key, trusted_keys
from mtl.store.base import ObjectStore
from mtl.store.log import Entry, Log

_log = logging.getLogger(__name__)
_UNKNOWN = "0" * 64
_MOST = 1000
"""More lost entries than that are no lost entries, but the journal of something else."""
_FOREIGN = "is MTL_STORE the store that this MLflow was used with? If so, restore the store from a backup"


@dataclass(frozen=True, slots=True)
class Repaired:
    """Numbers of the entries that were filled in, aliases that were put right, and the journal as it is now."""

    entries: tuple[int, ...]
    mended: Mapping[str, int | None]
    journal: Journal


def repair_journal(
    store: ObjectStore, *, model: str, champion: int | None, reason: str, actor: str, aliases: Aliases
) -> Repaired:
    """Fill in every entry that is lost or damaged, and make the aliases follow; a whole journal stays as it is.

    champion: who shall be champion if the last entry is lost. Killed in the middle, it can be called again.
    Errors: InputError if the last entry is lost and `champion` is None; NotFoundError if that has no release;
    DamageError if nothing says who was champion.
    """
    if not reason.strip():
        raise InputError("a repair needs a reason", field="reason", hint="it is kept in the journal")
    log = journal_log(store, model)
    entries = _readable(log, model)
    changes = {seq: change_of(entry, model) for seq, entry in entries.items()}
    last = max(aliases.synced() or 0, _last_entry(store, model), *(seq for seq, _ in log.sequence()), 0)
    if last > len(entries) + _MOST:
        raise DamageError(f"the journal of {model} would end with entry {last}", field=log.key(last), hint=_FOREIGN)
    lost = _lost(log, entries, changes, last)
    good = {seq: change for seq, change in changes.items() if seq not in lost}
    _check_champion(store, log, last, good.get(last), champion, model=model)
    versions = {seq: _champion_after(log, seq, good, champion) for seq in lost}
    if _last_entry(store, model) != last:
        write_last_entry(store, model, last)
    if lost:
        aliases.set_synced(None)  # what the aliases say until they follow is no person's move away from a new entry
    for seq, version in versions.items():
        _keep_damaged(store, log, seq, model=model)
        good[seq] = _filled_in(store, seq, version, good, model=model, reason=reason, actor=actor)
        entries[seq] = log.rewrite(seq, signed_entry(log, seq, _document(seq, good[seq], entries, lost)))
        _log.warning("journal of %s: entry %d was filled in, champion v%d", model, seq, version)
    mended = reconcile(store, model=model, aliases=aliases)
    return Repaired(tuple(lost), mended, read_journal(store, model))


def _lost(log: Log, entries: Mapping[int, Entry], changes: Mapping[int, Change], last: int) -> list[int]:
    """Numbers of the entries that are lost, damaged, or stand on no trusted key. Errors: InputError, SignatureError."""
    lost = dict(find_faults(entries, changes, last))
    readable = {seq: entry for seq, entry in entries.items() if seq not in lost}
    unproved = [seq for seq, _ in find_unproved(log, readable, last)]
    lost |= dict.fromkeys(unproved, "is not covered by a trusted key's signature")
    if lost and trusted_keys() is not None:
        check_key(f"{log.key(min(lost))} cannot be filled in without a signature")
    return sorted(lost)


def _readable(log: Log, model: str) -> dict[int, Entry]:
    """The entries that are entries, each under its number."""
    found: dict[int, Entry] = {}
    for seq, _ in log.sequence():
        with contextlib.suppress(DamageError, NotFoundError):
            entry = log.read(seq)
            if entry is not None:
                change_of(entry, model)
                found[seq] = entry
    return found


def _last_entry(store: ObjectStore, model: str) -> int:
    try:
        return last_entry(store, model)
    except DamageError:
        return 0


def _check_champion(
    store: ObjectStore, log: Log, last: int, head: Change | None, champion: int | None, *, model: str
) -> None:
    """Errors: InputError unless a champion is given where one is needed, and only there; NotFoundError, DamageError."""
    if head is None and champion is None and last:
        raise InputError(
            f"{log.key(last)} is lost or damaged, and with it who is champion",
            field="champion",
            hint="say who shall be: --champion vN (MLflow's alias may know: mtl models)",
        )
    if head is not None and champion not in (None, head.version):
        raise InputError(
            f"the last entry of the journal of {model} is whole: v{head.version} is champion",
            field="champion",
            hint="leave --champion away; mtl promote and mtl rollback change the champion",
        )
    if head is None and champion is not None:
        verify_release(store, model, champion)


def _keep_damaged(store: ObjectStore, log: Log, seq: int, *, model: str) -> None:
    """Copy what stands at a number that is filled in, if anything does, to where it does not disturb."""
    with contextlib.suppress(NotFoundError):
        data = store.get(log.key(seq))
        store.put(f"{model_prefix(model)}/log-damaged/{seq:012}-{sha256_bytes(data)[:12]}", data)


def _champion_after(log: Log, seq: int, good: Mapping[int, Change], champion: int | None) -> int:
    """Who was champion when the next entry that is whole was written, or is to be champion now. Errors: DamageError."""
    later = min((number for number in good if number > seq), default=None)
    version = champion if later is None else good[later].replaced
    if version is None:
        raise DamageError(
            f"no entry after {log.key(seq)} says who was champion",
            field=log.key(seq),
            hint="restore the entry, or the one after it, from a backup",
        )
    return version


def _filled_in(
    store: ObjectStore,
    seq: int,
    version: int,
    changes: Mapping[int, Change],
    *,
    model: str,
    reason: str,
    actor: str,
) -> Change:
    """The change that a lost entry most likely was."""
    before = Journal(seq - 1, [changes[number] for number in range(1, seq)])
    following = changes.get(seq + 1)
    back = version == before.previous
    if back:
        previous = before.after_rollback()
    elif following and following.kind == "rollback":
        previous = following.version
    else:
        previous = before.previous if version == before.champion else before.champion
    return Change(
        kind="rollback" if back else "promote",
        version=version,
        previous=previous,
        replaced=before.champion,
        reason=f"this entry was lost and is filled in: {reason.strip()}"[:LONGEST_TEXT],
        actor=actor[:LONGEST_TEXT],
        at=datetime.now(UTC).isoformat(timespec="seconds"),
        forced=True,
        manifest_sha256=_pinned(store, version, changes, model=model),
    )


def _pinned(store: ObjectStore, version: int, changes: Mapping[int, Change], *, model: str) -> str:
    """The manifest that another entry pins for this version, else the one that is there."""
    known = [changes[number].manifest_sha256 for number in sorted(changes) if changes[number].version == version]
    if known:
        return known[-1]
    manifest = find_manifest(store, model, version)
    return manifest.sha256 if manifest else _UNKNOWN


def _document(seq: int, change: Change, entries: Mapping[int, Entry], lost: list[int]) -> dict[str, object]:
    """The entry of a change that is filled in between its neighbours."""
    document: dict[str, object] = {**change.to_dict(), "seq": seq}
    document["after"] = entries[seq - 1].sha256 if seq > 1 else None
    if seq + 1 in entries and seq + 1 not in lost and entries[seq + 1].document.get("after"):
        document["stands_for"] = entries[seq + 1].document["after"]
    return document
