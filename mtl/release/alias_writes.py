"""Announcements of alias writes: how an alias that a person moved is told from one that a slow process of ours wrote.

MLflow has no compare-and-set and does not say who set an alias. A process that stalls may therefore write what the
journal said long ago over the alias of a newer champion, and a killed one leaves aliases half-moved. None of that may
become an entry of the journal; only what a person did may. Every process of ours keeps to these rules:

1. Before it appends an entry or writes an alias, it announces itself in the object store, under the number of the last
   entry that it knows. It reads the journal again after that, and writes only what this reading says.
2. It withdraws its announcement once it has seen aliases and journal agree: it read the aliases while one and the same
   entry was the last. Before that it records the entry's number in MLflow (`synced`). A killed process leaves its
   announcement behind; another one withdraws it in the same way, an hour later at the earliest.
3. Who finds an alias that the last entry does not explain reads in this order: the journal, the announcements,
   `synced`, the aliases. Let `floor` be the lowest number among announcements and `synced`. A champion alias is a
   person's if no entry from `floor` on made its version champion. It becomes the entry right after the last one read,
   by compare-and-set; if another entry got there first, everything is read again.

Why no write of ours is taken for a person's. Suppose that the last to write the alias was a process W of ours, that it
wrote version x, and that the last entry J, which the reader read, has another champion.

- W announced itself before the reader read the journal. Otherwise W read the journal after the reader did and before
  its append, in which time J was the last entry, and W would have written J's champion.
- If W's announcement was still there, x is the champion of an entry from its number on, and so of one from `floor` on.
- If it was withdrawn, then by one who read x in the alias while an entry E was the last. x is E's champion, so E is not
  J, and some process P appended the entry after E. P had announced itself under E's number or a lower one.
  If that announcement was still there, `floor` is at most E's number. If it was withdrawn, then by one who read the
  alias after P's entry, hence x again, while an entry later than E was the last: call that one E and repeat. The
  repetition ends, for J itself has another champion than x.
- `synced` is above E's number only if somebody read the alias, hence x, while an entry later than E was the last: again
  call that one E. A late record of an older number only lowers the floor.

The hour is measured on the store's clock alone. A process begins no write of an alias later than ten minutes after its
announcement, and one call to MLflow ends within two. So the argument rests on one assumption about time: what a
process sent to MLflow arrives there within fifty minutes or never.

The price: after a process was killed in the middle of moving aliases, a person's move to a version that was champion
since then cannot be told from that process's write. It is put back, and `refused` says so, until the first `follow` an
hour later. `mtl rollback` and `mtl promote --force` work at any time.
"""

from __future__ import annotations

import re
import time
import uuid
from dataclasses import dataclass

from mtl.errors import TransientError
from mtl.layout import model_prefix
from mtl.store.base import ObjectInfo, ObjectStore

_LEFT_AFTER = 3600.0
BEGINS_WITHIN = 600.0
"""Seconds after its announcement in which a write of an alias may begin."""
_NAME = re.compile(r"([0-9]{12})-[0-9a-f]{32}")
_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)  # goes on while the machine is suspended
_TEXT = b"aliases in MLflow are being written; see mtl/release/alias_writes.py\n"


@dataclass(frozen=True, slots=True)
class Announcement:
    """A process's announcement that it is about to append to the journal and to write aliases."""

    store: ObjectStore
    key: str
    began: float

    def check_in_time(self) -> None:
        """Called before each write of an alias. Errors: TransientError if it is too late to begin one."""
        if time.clock_gettime(_CLOCK) - self.began > BEGINS_WITHIN:
            raise TransientError(
                f"the aliases were not written: that was announced more than {BEGINS_WITHIN:.0f} s ago",
                hint="run it again; the journal already says who is champion",
            )

    def floor(self) -> int | None:
        """The lowest number among the other announcements; None without any."""
        others = (info for info in announcements(self.store, self.key.rpartition("/")[0]) if info.key != self.key)
        return min((_number(info) for info in others), default=None)

    def left_behind(self) -> list[str]:
        """Announcements of processes that write no more: an hour older than this one, by the store's clock."""
        found = {info.key: info.modified for info in announcements(self.store, self.key.rpartition("/")[0])}
        own = found.get(self.key)
        if own is None:
            raise TransientError(f"the announcement {self.key} was removed meanwhile", hint="run it again")
        return [key for key, modified in found.items() if own - modified > _LEFT_AFTER]

    def withdraw(self, *others: str) -> None:
        """Remove this announcement, and those `left_behind` before the aliases were last read."""
        for key in (*others, self.key):
            self.store.delete(key)


def announce(store: ObjectStore, model: str, seq: int) -> Announcement:
    """Announce writes of what the journal of `model` says from entry `seq` on."""
    began = time.clock_gettime(_CLOCK)
    key = f"{announcements_prefix(model)}/{seq:012}-{uuid.uuid4().hex}"
    store.put(key, _TEXT)
    return Announcement(store, key, began)


def announcements_prefix(model: str) -> str:
    return f"{model_prefix(model)}/alias-writes"


def announcements(store: ObjectStore, prefix: str) -> list[ObjectInfo]:
    """Those that nobody has withdrawn."""
    return list(store.list(f"{prefix}/"))


def _number(info: ObjectInfo) -> int:
    """The entry that it was announced under; of a name that is none of ours 0, the safest."""
    name = _NAME.fullmatch(info.key.rpartition("/")[2])
    return int(name[1]) if name else 0
