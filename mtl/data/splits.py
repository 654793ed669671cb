"""Splits that share no passage. Pure.

A passage found in several splits stays in the one furthest from training; its rows in the others are quarantined.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from mtl.fingerprint import sha256_bytes

ORDER = ("test", "validation", "train")
"""The first of these that has a passage keeps it."""


def keeper(splits: Collection[str]) -> str:
    """The split that keeps a passage found in `splits`."""
    return next(split for split in ORDER if split in splits)


def held_out(key: str, shares: Mapping[str, float]) -> str:
    """Where a passage of train goes when `shares` of train are held out; a function of its hash alone.

    Not of the seed: a champion must not be judged on passages that it was trained on under another one.
    """
    point = int(sha256_bytes(f"holdout:{key}".encode())[:15], 16) / 16**15
    edge = 0.0
    for split in sorted(shares):
        edge += shares[split]
        if point < edge:
            return split
    return "train"
