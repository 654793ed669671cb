"""Near-duplicates across splits: MinHash (Broder 1997) over shingles of words, by `rensa`, and banding to find pairs.

A passage of train that is nearly one of validation or test would be learnt by heart and then asked for. Signatures are
written while rows are read; the evaluation splits' are held in memory, train's pass by.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from rensa import RMinHash

from mtl.data.splits import ORDER, held_out
from mtl.tasks.text import plain_words

SHINGLE = 3
"""Words of a shingle."""
BANDS, ROWS = 20, 6
"""A pair of similarity s is looked at with probability 1 - (1 - s^ROWS)^BANDS: 0.998 at 0.8, 0.27 at 0.5."""
PERMUTATIONS = BANDS * ROWS
BATCH = 256

_Keys = npt.NDArray[np.uint64]
_RECORD = np.dtype([("key", "u1", 32), ("split", "u1"), ("signature", "<u4", PERMUTATIONS)])
_WEIGHTS = np.array([0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9], dtype=np.uint64)


class _Hashes(dict[str, bytes]):
    """8 bytes for each word that was asked for."""

    def __missing__(self, word: str) -> bytes:
        found = self[word] = blake2b(word.encode(errors="replace"), digest_size=8).digest()
        return found


class SignatureWriter:
    """`folder/WORKER.bin`: one record for each passage, or run of rows with the same passage."""

    def __init__(self, folder: Path, worker: int) -> None:
        self._file = (folder / f"{worker:04}.bin").open("wb")
        self._waiting: list[tuple[str, str, _Keys]] = []
        self._words = _Hashes()
        self._last = ("", "")

    def add(self, key: str, split: str, text: str) -> None:
        if (key, split) != self._last:
            self._last = (key, split)
            self._waiting.append((key, split, self._shingles(text)))
            if len(self._waiting) >= BATCH:
                self._flush()

    def close(self) -> None:
        self._flush()
        self._file.close()

    def _shingles(self, text: str) -> _Keys:
        words = plain_words(text)
        if len(self._words) > 300_000:
            self._words.clear()
        hashes = np.frombuffer(b"".join(map(self._words.__getitem__, words)), dtype=np.uint64)
        found = sum(
            hashes[start : max(1, len(hashes) - SHINGLE + 1) + start] * weight
            for start, weight in enumerate(_WEIGHTS[: min(SHINGLE, len(hashes))])
        )
        return np.asarray(found, dtype=np.uint64)

    def _flush(self) -> None:
        waiting, self._waiting = self._waiting, []
        if not waiting:
            return
        offsets = np.cumsum([0, *(len(shingles) for _, _, shingles in waiting)], dtype=np.uint64)
        tokens = np.concatenate([shingles for _, _, shingles in waiting])
        matrix = RMinHash.digest_matrix_from_flat_token_hashes(tokens, offsets, num_perm=PERMUTATIONS, seed=1)
        records = np.zeros(len(waiting), dtype=_RECORD)
        keys = b"".join(bytes.fromhex(key) for key, _, _ in waiting)
        records["key"] = np.frombuffer(keys, dtype=np.uint8).reshape(-1, 32)
        records["split"] = [ORDER.index(split) for _, split, _ in waiting]
        records["signature"] = np.array(matrix.to_rows(), dtype=np.uint32)
        records.tofile(self._file)


@dataclass(frozen=True, slots=True)
class Finder:
    """Finds which passages are near to one of a split further from training.

    threshold: smallest estimated Jaccard similarity of two near-duplicates. holdout: as in `held_out`.
    """

    threshold: float
    holdout: Mapping[str, float]

    def find(self, folder: Path) -> dict[str, str]:
        """{hash of a passage: the split that has its near-duplicate}; test goes before validation before train."""
        homes: dict[bytes, int] = {}
        for chunk in _chunks(folder):
            for key, split in self._goals(chunk):
                if split != _TRAIN:
                    homes[key] = min(split, homes.get(key, split))
        if not homes:
            return {}
        held = self._held(folder, homes)
        index = _Index(held, np.array([homes[row["key"].tobytes()] for row in held], dtype=np.uint8))
        found: dict[str, str] = {}
        for chunk in _chunks(folder):
            goals = np.array([homes.get(key, split) for key, split in self._goals(chunk)], dtype=np.uint8)
            for row, split in index.near(chunk["signature"], goals, self.threshold):
                found[chunk["key"][row].tobytes().hex()] = ORDER[split]
        return found

    def write(self, folder: Path, path: Path) -> None:
        found = self.find(folder) if self.threshold else {}
        path.write_text(json.dumps(found), encoding="utf-8")

    def _goals(self, chunk: Any) -> Iterator[tuple[bytes, int]]:
        for key, split in zip(chunk["key"], chunk["split"].tolist(), strict=True):
            raw = key.tobytes()
            if split == _TRAIN and self.holdout:
                yield raw, ORDER.index(held_out(raw.hex(), self.holdout))
            else:
                yield raw, split

    def _held(self, folder: Path, homes: Mapping[bytes, int]) -> Any:
        """One record of each passage that is not of train."""
        seen: set[bytes] = set()
        kept = []
        for chunk in _chunks(folder):
            for row, (key, _) in enumerate(self._goals(chunk)):
                if key in homes and key not in seen:
                    seen.add(key)
                    kept.append(chunk[row].copy())
        return np.array(kept, dtype=_RECORD)


_TRAIN = ORDER.index("train")


class _Index:
    """Bands of signatures, sorted, to look others up in."""

    def __init__(self, records: Any, splits: npt.NDArray[np.uint8]) -> None:
        self._signatures, self._splits = records["signature"], splits
        self._bands = []
        for keys in _bands(self._signatures):
            order = np.argsort(keys, kind="stable")
            self._bands.append((keys[order], order))

    def near(self, signatures: Any, goals: npt.NDArray[np.uint8], threshold: float) -> list[tuple[int, int]]:
        """(row, split) of each signature that is near to one of a split that comes before its own."""
        found: dict[int, int] = {}
        for row, other in sorted(self._pairs(signatures)):
            split = int(self._splits[other])
            if split < min(int(goals[row]), found.get(row, _TRAIN)):
                alike = np.count_nonzero(signatures[row] == self._signatures[other]) / PERMUTATIONS
                if alike >= threshold:
                    found[row] = split
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


def _chunks(folder: Path, size: int = 8192) -> Iterator[Any]:
    for path in sorted(folder.iterdir()):
        records = np.memmap(path, dtype=_RECORD, mode="r") if path.stat().st_size else np.zeros(0, _RECORD)
        for start in range(0, len(records), size):
            yield np.array(records[start : start + size])
