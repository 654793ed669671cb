"""The journal of a model: who is champion since when, why, and by whom. The highest entry rules.

Promotions push a version, rollbacks pop one, so that rolling back twice goes two champions back and never forth again
to the version that was given up.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from mtl.document import Flag, Line, Positive, Sha256, check_record
from mtl.release.layout import model_prefix
from mtl.store.base import ObjectStore
from mtl.store.log import Log

Kind = Literal["promote", "rollback"]


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
    """All changes, oldest first, as read at one time. `seq` is the number of the last one, 0 for none."""

    seq: int
    changes: Sequence[Change]

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

    def _stack(self) -> list[int]:
        stack: list[int] = []
        for change in self.changes:
            if change.kind == "promote":
                stack.append(change.version)
            else:
                stack.pop()
        return stack


def journal_log(store: ObjectStore, model: str) -> Log:
    return Log(store, f"{model_prefix(model)}/log")


def read_journal(store: ObjectStore, model: str) -> Journal:
    """The journal as it stands. Errors: DamageError for an entry that rotted or is no change of champion."""
    entries = list(journal_log(store, model).entries())
    changes = [check_record(Change, entry.document, f"{model} log entry {entry.seq}") for entry in entries]
    return Journal(entries[-1].seq if entries else 0, changes)
