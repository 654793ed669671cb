"""Plan: which passages of a task are to be rendered, from which split's rows and for which split."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mtl.data.arrays import read_arrays, write_arrays
from mtl.data.buckets import buckets_of
from mtl.data.splits import ORDER

KEY = np.dtype([("key", "u1", 32), ("own", "u1"), ("goal", "u1")])

Plan = dict[str, tuple[str, str]]
"""{hash of a passage: (split whose rows it is made of, split that it goes to)}"""


def write_plan(path: Path, keys: Any, own: Sequence[int] | Any, goals: Sequence[int] | Any) -> None:
    """own, goals: places in ORDER."""
    rows = np.zeros(len(keys), KEY)
    rows["key"], rows["own"], rows["goal"] = keys, own, goals
    write_arrays(path, {}, {"passages": rows})


def load_plan(path: Path, buckets: Sequence[int] | None = None, count: int = 1) -> Plan:
    """buckets: those of `count` whose passages are asked for; None for all of them."""
    rows = read_arrays(path)[1]["passages"]
    if buckets is not None:
        rows = rows[np.isin(buckets_of(rows["key"], count), np.array(buckets, np.uint64))]
    pairs = zip(rows["own"].tolist(), rows["goal"].tolist(), strict=True)
    return {key.tobytes().hex(): (ORDER[own], ORDER[goal]) for key, (own, goal) in zip(rows["key"], pairs, strict=True)}
