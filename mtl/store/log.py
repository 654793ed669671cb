"""Log: an append-only log over put-if-absent, the one condition that all stores share.

Entries are `{prefix}/{seq:012}.json`, counted from 1; the highest one is the head, and rules. Each carries a
`write_id`, by which a writer whose answer was lost finds that the entry is its own; its own `key`, by which a reader
finds that it was put back under another number; and a `check`, the sha256 of the rest, by which it finds damage.
Entries are never deleted one by one: a writer that slept could put a deleted number again. Should somebody do so all
the same, that writer finds a higher entry and does not believe itself.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from mtl.document import Line, check_record
from mtl.errors import DamageError, InputError, TransientError
from mtl.fingerprint import sha256_json
from mtl.seal import seal, unseal
from mtl.store.base import ObjectInfo, ObjectStore, check_key

_NAME = re.compile(r"(\d{12})\.json")
_TRIES = 5


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry: its number, its document, and when the store says it was written."""

    seq: int
    document: Mapping[str, Any]
    modified: float

    @property
    def write_id(self) -> str:
        return str(self.document["write_id"])

    @property
    def sha256(self) -> str:
        """The hash of the document, by which the entry after it can say what it follows."""
        return sha256_json(self.document)


@dataclass(frozen=True, slots=True)
class AppendResult:
    """What stands after an append.

    mine: the entry with the number asked for is this writer's. entry: that entry. head: the highest one.
    Only `stands` (mine, and the highest) means that the writer may believe itself.
    """

    mine: bool
    entry: Entry
    head: Entry

    @property
    def stands(self) -> bool:
        return self.mine and self.head.seq == self.entry.seq


class Log:
    """The log below `prefix` of a store. Errors are the store's, and DamageError for an entry that rotted."""

    def __init__(self, store: ObjectStore, prefix: str) -> None:
        self._store = store
        self._prefix = check_key(prefix.rstrip("/"))

    def __repr__(self) -> str:
        return f"Log({self._store.uri!r}, {self._prefix!r})"

    def key(self, seq: int) -> str:
        """Where entry `seq` is kept."""
        return f"{self._prefix}/{seq:012}.json"

    def sequence(self) -> list[tuple[int, ObjectInfo]]:
        """(seq, info) of all entries, lowest first, without reading them."""
        pairs = []
        for info in self._store.list(f"{self._prefix}/"):
            match = _NAME.fullmatch(info.key[len(self._prefix) + 1 :])
            if match:
                pairs.append((int(match[1]), info))
        return pairs

    def head(self) -> Entry | None:
        """The highest entry; None for an empty log. Raises DamageError if it rotted."""
        sequence = self.sequence()
        return self._read(*sequence[-1]) if sequence else None

    def entries(self) -> Iterator[Entry]:
        """All entries, lowest first. Raises DamageError at one that rotted."""
        for seq, info in self.sequence():
            yield self._read(seq, info)

    def read(self, seq: int) -> Entry | None:
        """Entry `seq`; None if there is none. Raises DamageError if it rotted."""
        info = self._store.head(self.key(seq))
        return self._read(seq, info) if info else None

    def append(self, seq: int, document: Mapping[str, Any]) -> AppendResult:
        """Put `document` as entry `seq` if nothing has that number; give it a `write_id` unless it has one.

        `seq` is one more than the head that the writer decided on. A lost answer is no trouble: on "taken" the entry
        is read, and an own write_id means success. Raises TransientError if the store cannot say who won.
        """
        if seq < 1:
            raise InputError(f"log entries count from 1, got {seq}")
        own = {"write_id": uuid.uuid4().hex, **document}
        sealed = seal({**own, "key": self.key(seq)})
        for _ in range(_TRIES):
            won = self._store.put_if_absent(self.key(seq), sealed)
            infos = dict(self.sequence())
            if seq in infos:
                break  # else a conflict was reported although nobody won (S3's 409), so once more
        else:
            raise TransientError(f"{self.key(seq)}: the store says taken, but holds no such entry ({_TRIES} tries)")
        entry = Entry(seq, own, infos[seq].modified) if won else self._read(seq, infos[seq])
        top = max(infos)
        head = entry if top == seq else self._read(top, infos[top])
        return AppendResult(won or entry.write_id == own["write_id"], entry, head)

    def rewrite(self, seq: int, document: Mapping[str, Any]) -> Entry:
        """Write entry `seq` whatever stands there. For the repair of a damaged log alone."""
        own = {"write_id": uuid.uuid4().hex, **document}
        self._store.put(self.key(seq), seal({**own, "key": self.key(seq)}))
        entry = self.read(seq)
        if entry is None or entry.sha256 != sha256_json(own):
            raise DamageError(f"log entry {self.key(seq)} was not stored as it was written", field=self.key(seq))
        return entry

    def _read(self, seq: int, info: ObjectInfo) -> Entry:
        return Entry(seq, _opened(self._store.get(info.key), info.key), info.modified)


def _opened(data: bytes, key: str) -> dict[str, Any]:
    """The document of an entry. DamageError unless it is exactly what was written, and was written there: an entry
    that is intact but stands under another number would make what it says true again."""
    document = unseal(data, f"log entry {key}")
    if document.pop("key", key) != key:  # entries of older versions do not say where they belong
        raise DamageError(f"log entry {key} is damaged: it was written as another entry", field=key)
    check_record(_Written, document, f"log entry {key}")
    return document


@dataclass(frozen=True)
class _Written:
    """What every entry has, whatever else it says."""

    write_id: Line
