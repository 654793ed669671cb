"""Near-duplicates across splits: MinHash (Broder 1997) over shingles of words, by `rensa`, and banding to find pairs.

A passage of train that is nearly one of validation or test would be learnt by heart and then asked for. Signatures are
made while rows are read; the evaluation splits' are held in memory, train's pass by.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from hashlib import blake2b
from typing import Any

import numpy as np
import numpy.typing as npt
from rensa import RMinHash

from mtl.data.splits import ORDER
from mtl.tasks.text import plain_words

SHINGLE = 3
"""Words of a shingle."""
BANDS, ROWS = 20, 6
"""A pair of similarity s is looked at with probability 1 - (1 - s^ROWS)^BANDS: 0.998 at 0.8, 0.27 at 0.5."""
PERMUTATIONS = BANDS * ROWS
BATCH = 256

_Keys = npt.NDArray[np.uint64]
SIGNATURE = np.dtype([("row", "<u4"), ("signature", "<u4", PERMUTATIONS)])
_HELD = np.dtype([("passage", "<i8"), ("signature", "<u4", PERMUTATIONS)])
FAR = 255
"""No split: the passage has no near-duplicate."""
_WEIGHTS = np.array([0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9], dtype=np.uint64)


class _Hashes(dict[str, bytes]):
    """8 bytes for each word that was asked for."""

    def __missing__(self, word: str) -> bytes:
        found = self[word] = blake2b(word.encode(errors="replace"), digest_size=8).digest()
        return found


class Signatures:
    """Signatures of the passages of rows that come one after the other; of a run with the same passage, one."""

    def __init__(self) -> None:
        self._waiting: list[tuple[int, _Keys]] = []
        self._done: list[Any] = []
        self._last = ""

    def add(self, row: int, key: str, text: str) -> None:
        if key != self._last:
            self._last = key
            self._waiting.append((row, _shingles(text)))
            if len(self._waiting) >= BATCH:
                self._flush()

    def array(self) -> Any:
        """All of them, each with the number of its row."""
        self._flush()
        return np.concatenate([np.zeros(0, SIGNATURE), *self._done])

    def _flush(self) -> None:
        waiting, self._waiting = self._waiting, []
        if not waiting:
            return
        offsets = np.cumsum([0, *(len(shingles) for _, shingles in waiting)], dtype=np.uint64)
        tokens = np.concatenate([shingles for _, shingles in waiting])
        matrix = RMinHash.digest_matrix_from_flat_token_hashes(tokens, offsets, num_perm=PERMUTATIONS, seed=1)
        records = np.zeros(len(waiting), dtype=SIGNATURE)
        records["row"] = [row for row, _ in waiting]
        records["signature"] = np.array(matrix.to_rows(), dtype=np.uint32)
        self._done.append(records)


_WORDS = _Hashes()


def _shingles(text: str) -> _Keys:
    words = plain_words(text)
    if len(_WORDS) > 300_000:
        _WORDS.clear()
    hashes = np.frombuffer(b"".join(map(_WORDS.__getitem__, words)), dtype=np.uint64)
    found = sum(
        hashes[start : max(1, len(hashes) - SHINGLE + 1) + start] * weight
        for start, weight in enumerate(_WEIGHTS[: min(SHINGLE, len(hashes))])
    )
    return np.asarray(found, dtype=np.uint64)


Batch = tuple[npt.NDArray[np.int64], Any]
"""(number of the passage, its signature) of some; equal passages have equal signatures."""


RANKS = (("test", False), ("validation", False), ("test", True), ("validation", True))
"""(split, whether people put the passage there): of two near-duplicates in different splits, the one whose rank comes
first stays. So what people said costs the other sources no example that they held out."""


def find_near(
    batches: Callable[[], Iterable[Batch]],
    goals: npt.NDArray[np.uint8],
    threshold: float,
    *,
    put: npt.NDArray[np.bool_] | None = None,
) -> npt.NDArray[np.uint8]:
    """For each passage the rank (its place in RANKS) of its near-duplicate that stays instead of it; FAR for none.

    batches: all passages, each time they are asked for. goals: where each goes. threshold: smallest estimated Jaccard
    similarity of two near-duplicates. put: which of those outside train people put there; None for none of them.
    """
    found = np.full(len(goals), FAR, dtype=np.uint8)
    if not (goals != _TRAIN).any():
        return found
    ranks = goals if put is None else goals + _TRAIN * put.astype(np.uint8)
    ranks = np.where(goals == _TRAIN, FAR, ranks)
    held = _held(batches(), goals)
    index = _Index(held["signature"], ranks[held["passage"]])
    for passages, signatures in batches():
        for row, rank in index.near(signatures, ranks[passages], threshold):
            found[passages[row]] = rank
    return found


def _held(batches: Iterable[Batch], goals: npt.NDArray[np.uint8]) -> Any:
    """One record of each passage that is not of train."""
    kept = [np.zeros(0, _HELD)]
    for passages, signatures in batches:
        mine = np.flatnonzero(goals[passages] != _TRAIN)
        records = np.zeros(len(mine), _HELD)
        records["passage"], records["signature"] = passages[mine], signatures[mine]
        kept.append(records)
    every = np.concatenate(kept)
    return every[np.unique(every["passage"], return_index=True)[1]]


_TRAIN = ORDER.index("train")


class _Index:
    """Bands of signatures, sorted, to look others up in."""

    def __init__(self, signatures: Any, ranks: npt.NDArray[np.uint8]) -> None:
        self._signatures, self._ranks = signatures, ranks
        self._bands = []
        for keys in _bands(self._signatures):
            order = np.argsort(keys, kind="stable")
            self._bands.append((keys[order], order))

    def near(self, signatures: Any, ranks: npt.NDArray[np.uint8], threshold: float) -> list[tuple[int, int]]:
        """(row, rank) of each signature that is near to one of another split that comes before its own."""
        found: dict[int, int] = {}
        for row, other in sorted(self._pairs(signatures)):
            own, rank = int(ranks[row]), int(self._ranks[other])
            apart = own == FAR or RANKS[own][0] != RANKS[rank][0]
            if apart and rank < min(own, found.get(row, FAR)):
                alike = np.count_nonzero(signatures[row] == self._signatures[other]) / PERMUTATIONS
                if alike >= threshold:
                    found[row] = rank
        return sorted(found.items())

    def _pairs(self, signatures: Any) -> set[tuple[int, int]]:
        pairs: set[tuple[int, int]] = set()
        for (keys, order), wanted in zip(self._bands, _bands(signatures), strict=True):
            left, right = np.searchsorted(keys, wanted, "left"), np.searchsorted(keys, wanted, "right")
            for row in np.flatnonzero(right > left):
                pairs.update((int(row), int(other)) for other in order[left[row] : right[row]])
        return pairs


def _bands(signatures: Any) -> Iterator[_Keys]:
    """One 64-bit key a signature, for each band."""
    mixed = signatures.astype(np.uint64).reshape(-1, BANDS, ROWS)
    powers = np.array([pow(0x100000001B3, n, 1 << 64) for n in range(ROWS)], dtype=np.uint64)
    keys = (mixed * powers).sum(axis=2, dtype=np.uint64)
    return (keys[:, band] for band in range(BANDS))
