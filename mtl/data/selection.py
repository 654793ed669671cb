"""Which held-out passages choose the checkpoint. The others judge the version, and none does both. Pure.

A checkpoint that was chosen on some examples looks better on them than it is. If the gate judged by the same ones, the
champion would in the long run be the version that fits them best.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mtl.fingerprint import sha256_bytes

PASSAGE = "passage"
"""Key of `Example.meta`: the beginning of the hash of the passage that the example was made of."""
FEEDBACK = "feedback"
"""Key of `Example.meta` where rows of people are among those of the passage. Nothing says whose they are."""


def chooses(key: str, share: float) -> bool:
    """Whether a passage is one of the `share` (0 to 1) that choose the checkpoint; a function of its hash alone.

    So all examples of a passage are on one side, under every seed and request setting, in every task that has the
    passage, and when rows are added. With a larger share, those that chose before still choose.
    """
    return int(sha256_bytes(f"selection:{key}".encode())[:13], 16) / 16**13 < share


def passage_of(meta: Mapping[str, Any], uid: str) -> str:
    """What `chooses` goes by. `meta` of older data sets has no passage where the task named none: the uid stands in."""
    return str(meta.get(PASSAGE, uid))
