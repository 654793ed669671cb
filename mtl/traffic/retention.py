"""Which parts of the request logs are removed: old ones, and the oldest of a model beyond its bound.

How old an object is, its store says. Feedback is training data and stays until somebody deletes it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from mtl.layout import TRAFFIC
from mtl.store.base import ObjectInfo, ObjectStore

COUNTS_DAYS = 400
"""Counts of what was served hold no text; they stay for a year and a month."""
_DAY = 86400.0
_REQUESTS, _SERVED = "requests", "served"


def expired(store: ObjectStore, *, days: int, max_bytes: int, model: str | None = None) -> list[ObjectInfo]:
    """What is to be removed, of all models or of one. max_bytes: for the parts of one model."""
    found: Mapping[str, list[ObjectInfo]] = defaultdict(list)
    counts: list[ObjectInfo] = []
    for info in store.list(f"{TRAFFIC}{model}/" if model else TRAFFIC):
        its_model, kind = info.key.removeprefix(TRAFFIC).split("/")[:2]
        if kind == _REQUESTS:
            found[its_model].append(info)
        elif kind == _SERVED:
            counts.append(info)
    now = store.now()
    gone = [info for info in counts if info.modified < now - COUNTS_DAYS * _DAY]
    for parts in found.values():
        gone += _of_log(parts, before=now - days * _DAY, max_bytes=max_bytes)
    return gone


def _of_log(parts: Sequence[ObjectInfo], *, before: float, max_bytes: int) -> list[ObjectInfo]:
    """The parts that are older, and the oldest of the others until the rest is within the bound."""
    gone, size = [], 0
    for info in sorted(parts, key=lambda info: (info.modified, info.key), reverse=True):
        size += info.size
        if info.modified < before or size > max_bytes:
            gone.append(info)
    return gone


def remove(store: ObjectStore, objects: Iterable[ObjectInfo]) -> int:
    """Delete them; how many. Another process may have been faster."""
    number = 0
    for number, info in enumerate(objects, start=1):
        store.delete(info.key)
    return number
