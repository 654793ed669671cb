"""The journal of a model: who is champion since when, why, and by whom. The highest entry rules.

Promotions push a version, rollbacks pop one, so that rolling back twice goes two champions back and never forth again
to the version that was given up.

A lost entry must not bring an earlier champion back in silence. Entries count from 1 without a gap, each names its own
number and the sha256 of the one before (`mtl.release.chain`), and `last-entry.json` beside the log names the last one;
MLflow's tag `journal_seq` does too. Whatever does not fit is a DamageError; `mtl.release.repair` mends it. Where keys
are trusted, the journal is signed too (`mtl.release.vouching`).
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from mtl.document import Flag, Line, Positive, Sha256, Size, check_record
from mtl.errors import DamageError, NotFoundError, SignatureError
from mtl.layout import MANIFEST, journal_prefix, last_entry_key, release_prefix
from mtl.release.chain import find_faults
from mtl.release.layout import ReleaseManifest
from mtl.release.vouching import VOUCHES, find_unproved, hash_before
from mtl.seal import seal, unseal
from mtl.signing.configured import SIGNATURE, check_key, sign_document
from mtl.store.base import ObjectStore
from mtl.store.log import AppendResult, Entry, Log

REPAIR = "restore it from a backup or an older version of the object, or run mtl repair-journal (docs/operations.md)"
_FORGED = "no trusted key's signature covers it: find out who wrote it, then mtl repair-journal (docs/operations.md)"
Kind = Literal["promote", "rollback"]
LONGEST_TEXT = 2000
"""Characters of a reason or an actor that are kept."""


@dataclass(frozen=True, slots=True)
class Change:
    """One change of champion.

    version: champion from now on. previous: where a rollback would go. replaced: champion until now.
    manifest_sha256: the release's manifest at that time, so that a puller gets exactly what was promoted.
    """

    kind: Kind
    version: Positive
    previous: Positive | None
    replaced: Positive | None
    reason: str
    actor: str
    at: Line
    forced: Flag
    manifest_sha256: Sha256

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Journal:
    """All changes, oldest first, as read at one time. `seq` is the number of the last one, 0 for none; `sha256` its
    entry's; `signed` whether that has a signature."""

    seq: int
    changes: Sequence[Change]
    sha256: str | None = None
    signed: bool = False

    @property
    def head(self) -> Change | None:
        return self.changes[-1] if self.changes else None

    @property
    def champion(self) -> int | None:
        return self.head.version if self.head else None

    @property
    def previous(self) -> int | None:
        return self.head.previous if self.head else None

    def after_rollback(self) -> int | None:
        """What `previous` will be after a rollback."""
        stack = self._stack()
        return stack[-3] if len(stack) > 2 else None

    def given_up(self, version: int) -> Change | None:
        """The rollback that gave `version` up, unless it was promoted again since."""
        last = None
        for change in self.changes:
            if change.kind == "rollback" and change.replaced == version:
                last = change
            elif change.version == version:
                last = None
        return last

    def check_pinned(self, manifest: ReleaseManifest) -> None:
        """Errors: DamageError for another manifest than the one that was promoted, if the version ever was."""
        last = next((change for change in reversed(self.changes) if change.version == manifest.version), None)
        if last and last.manifest_sha256 != manifest.sha256:
            key = f"{release_prefix(manifest.model, manifest.version)}/{MANIFEST}"
            raise DamageError(f"{key} is not the manifest that was promoted", field=MANIFEST)

    def check_key(self) -> None:
        """Errors: InputError if the journal is signed and this process has no key, so that it must not write to it."""
        if self.signed:
            check_key("the journal of champions is signed, and an entry without a signature would be refused")

    def champions_from(self, seq: int) -> set[int]:
        """Every version that entry `seq` or a later one made champion."""
        return {change.version for change in self.changes[max(seq, 1) - 1 :]}

    def _stack(self) -> list[int]:
        stack: list[int] = []
        for change in self.changes:
            if change.kind == "rollback":
                del stack[-1:]
            elif change.version != change.replaced:
                stack.append(change.version)
        return stack


def journal_log(store: ObjectStore, model: str) -> Log:
    return Log(store, journal_prefix(model))


def read_journal(store: ObjectStore, model: str) -> Journal:
    """The journal as it stands.

    Errors: DamageError for an entry that is lost, rotted or not what was written there; SignatureError for one that no
    trusted key stands for.
    """
    log = journal_log(store, model)
    journal, entries = read_unproved(store, model)
    for number, error in find_unproved(log, entries, journal.seq):
        raise SignatureError(error.message, field=log.key(number), hint=error.hint or _FORGED)
    return journal


def read_unproved(store: ObjectStore, model: str) -> tuple[Journal, Mapping[int, Entry]]:
    """The journal and its entries, whoever wrote them. Errors: DamageError."""
    last = last_entry(store, model)  # first: what it names was there before it
    log = journal_log(store, model)
    try:
        entries = {entry.seq: entry for entry in log.entries()}
        changes = {seq: change_of(entry, model) for seq, entry in entries.items()}
    except DamageError as error:
        raise DamageError(error.message, field=error.field, hint=error.hint or REPAIR) from None
    seq = max(entries, default=0)
    for number, fault in find_faults(entries, changes, seq):
        raise DamageError(f"{log.key(number)} {fault}", field=log.key(number), hint=REPAIR)
    check_last(log, seq, last, said_by=_last_key(model))
    if not entries:
        return Journal(0, ()), entries
    head = entries[seq]
    return Journal(seq, list(changes.values()), head.sha256, signed=SIGNATURE in head.document), entries


def newest_journal(store: ObjectStore, model: str, known: Journal) -> Journal:
    """The journal as it stands now: `known` itself, without reading an entry, if nothing was appended since."""
    sequence = journal_log(store, model).sequence()
    last = sequence[-1][0] if sequence else 0
    return known if last == known.seq else read_journal(store, model)


def append_change(
    store: ObjectStore, model: str, journal: Journal, change: Change, *, vouching: Mapping[int, Entry] | None = None
) -> AppendResult:
    """Append `change` after the journal's last entry, if that still is the last; signed, if this process signs.

    vouching: all entries before it, which its signature shall stand for too.
    """
    log, seq = journal_log(store, model), journal.seq + 1
    document = change.to_dict() | {"seq": seq, "after": journal.sha256}
    if vouching is not None:
        document[VOUCHES] = hash_before(vouching, seq)
    result = log.append(seq, signed_entry(log, seq, document))
    record_last_entry(store, model, result.head.seq)
    return result


def signed_entry(log: Log, seq: int, document: Mapping[str, Any]) -> dict[str, Any]:
    """What to write as entry `seq`: the document of a change, signed if this process signs."""
    return sign_document({"write_id": uuid.uuid4().hex, **document}, log.key(seq), at=str(document["at"]))


def last_entry(store: ObjectStore, model: str) -> int:
    """The number of the last entry as `last-entry.json` has it, 0 without one. Errors: DamageError if it rotted."""
    key = _last_key(model)
    try:
        data = store.get(key)
    except NotFoundError:
        return 0
    return check_record(_LastEntry, unseal(data, key, hint=REPAIR), key, hint=REPAIR).seq


def record_last_entry(store: ObjectStore, model: str, seq: int) -> None:
    """Name entry `seq` the last one, unless a later one is. Late, it names an older one: that is less, not wrong."""
    if seq > last_entry(store, model):
        write_last_entry(store, model, seq)


def write_last_entry(store: ObjectStore, model: str, seq: int) -> None:
    """Name entry `seq` the last one, whatever is named there."""
    store.put(_last_key(model), seal({"seq": seq}))


def check_last(log: Log, seq: int, expected: int, *, said_by: str) -> None:
    """Errors: DamageError if the journal ends with `seq`, and entry `expected` after it was written."""
    if expected > seq:
        raise DamageError(
            f"{log.key(expected)} is lost: the journal ends with entry {seq}, and {said_by} names entry {expected}",
            field=log.key(expected),
            hint=REPAIR,
        )


def change_of(entry: Entry, model: str) -> Change:
    """The change that an entry records. Errors: DamageError if it is none."""
    name = f"{model} log entry {entry.seq}"
    check_record(_Place, entry.document, name)
    return check_record(Change, entry.document, name)


def _last_key(model: str) -> str:
    return last_entry_key(model)


@dataclass(frozen=True)
class _LastEntry:
    seq: Size


@dataclass(frozen=True)
class _Place:
    """What an entry says of its place in the journal (`mtl.release.chain`); those of older versions say nothing."""

    seq: Positive | None = None
    after: Sha256 | None = None
    stands_for: Sha256 | None = None
