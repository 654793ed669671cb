"""Vouching: which entries of a journal a trusted key stands for, so that nobody makes a champion without one.

The last entry must be signed, under its key in the store. It names the sha256 of the entry before, which so needs no
signature that still verifies, and so on to the first. An entry that was filled in for a lost one cannot be what the
entry after it names, and is signed itself. Entries from before signing was set up are vouched for by
`mtl sign-journal`: its entry states the hash of all that came before it.

Who can write to the store, but has no key, can still put back an older state of it, whose last entry was signed in its
time; MLflow's tag `journal_seq` shows that to whoever asks MLflow too. Keys are to differ between stores.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from mtl.errors import SignatureError
from mtl.fingerprint import sha256_json
from mtl.signing.configured import SIGNATURE, check_document, trusted_keys
from mtl.store.log import Entry, Log

VOUCHES = "vouches_for"
"""Field of an entry: the hash of all entries before it, for which its signature stands too."""
_UNSIGNED_JOURNAL = (
    "if it was written before signing was set up, read it (mtl models --history, without MTL_TRUSTED_KEYS and "
    "MTL_SIGNING_KEY), then vouch for it with mtl sign-journal"
)


def hash_before(entries: Mapping[int, Entry], seq: int) -> str:
    """The hash of all entries before `seq`."""
    return sha256_json([entries[number].sha256 for number in range(1, seq)])


def find_unproved(log: Log, entries: Mapping[int, Entry], last: int) -> Iterator[tuple[int, SignatureError]]:
    """(number, what is wrong) of each entry up to `last` without a trusted key's signature; nothing if none is trusted.

    entries: those that can be read; the others are not named here.
    Errors: SignatureError for a journal that was never signed.
    """
    if trusted_keys() is None or not last:
        return
    if entries and not any(SIGNATURE in entry.document for entry in entries.values()):
        key = log.key(max(entries))
        said = f"{key} is not signed, and no other entry of the journal is"
        raise SignatureError(said, field=key, hint=_UNSIGNED_JOURNAL)
    named = None
    for seq in range(last, 0, -1):
        entry = entries.get(seq)
        if entry is None:
            named = None
            continue
        fault = None if entry.sha256 == named else _fault(log, entry)
        if fault is not None:
            yield seq, fault
        elif _vouches(entry, entries):
            return
        named = entry.document.get("after") if fault is None else None


def _vouches(entry: Entry, entries: Mapping[int, Entry]) -> bool:
    """Whether an entry that a key stands for vouches for all those before it, as they are."""
    whole = all(number in entries for number in range(1, entry.seq))
    return whole and entry.document.get(VOUCHES) == hash_before(entries, entry.seq)


def _fault(log: Log, entry: Entry) -> SignatureError | None:
    """What is wrong with an entry's own signature."""
    try:
        check_document(entry.document, log.key(entry.seq), at=entry.document.get("at"))
    except SignatureError as error:
        return error
    return None
