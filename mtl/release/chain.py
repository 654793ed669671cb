"""What shows that a journal lost an entry, or that one of its entries is not the one that was written there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Protocol

from mtl.store.log import Entry


class Succession(Protocol):
    """What an entry says about champions: who is it from then on, and whom it replaced."""

    @property
    def version(self) -> int: ...

    @property
    def replaced(self) -> int | None: ...


def find_faults(
    entries: Mapping[int, Entry], changes: Mapping[int, Succession], last: int
) -> Iterator[tuple[int, str]]:
    """(number, what is wrong with that entry) for the numbers from 1 to `last`; nothing for a whole journal.

    entries, changes: those that can be read. Each entry carries its `seq` and, as `after`, the sha256 of the one
    before, which an entry that was filled in for a lost one (`stands_for`) cannot have. Entries from before there was
    this chain are held together by their write ids and by the champion that each of them replaced.
    """
    seen: dict[str, int] = {}
    faulty = 0
    for seq in range(1, last + 1):
        entry = entries.get(seq)
        if entry is None:
            faulty, fault = seq, "is lost"
        elif (original := entry.document.get("seq", seen.get(entry.write_id, seq))) != seq:
            faulty, fault = seq, f"is damaged: it is a copy of entry {original}"
        elif seq > 1 and faulty == seq - 1:
            fault = ""  # nothing to compare it with
        else:
            faulty, fault = _disconnected(seq, entries, changes) or (faulty, "")
        if fault:
            yield faulty, fault
        if entry and faulty != seq:
            seen[entry.write_id] = seq


def _disconnected(seq: int, entries: Mapping[int, Entry], changes: Mapping[int, Succession]) -> tuple[int, str] | None:
    """The fault of two neighbours that do not fit, after the number of the one that is wrong."""
    entry, before = entries[seq], entries.get(seq - 1)
    known = (before.sha256, before.document.get("stands_for", before.sha256)) if before else (None,)
    if entry.document.get("after", known[0]) not in known:
        return max(seq - 1, 1), f"is damaged: it is not the entry that entry {seq} was written after"
    champion = changes[seq - 1].version if before else None
    replaced = changes[seq].replaced
    if replaced != champion:
        return seq, f"is damaged: it replaced {_name(replaced)}, and the champion was {_name(champion)}"
    return None


def _name(version: int | None) -> str:
    return "nobody" if version is None else f"v{version}"
