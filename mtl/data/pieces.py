"""Pieces: what came of reading a chunk, kept under a name that says what was read and by which rules.

A piece holds no text: of each row the hash of its passage and of its record, and where it stands; signatures of
passages; and what was refused. Whoever needs a row's text reads its chunk again. A piece that is damaged, or of other
rules, is none: then the chunk is read as if nobody had.
"""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from mtl.config.data import SourceConfig
from mtl.data.arrays import read_arrays
from mtl.data.recipe import Recipe
from mtl.errors import DamageError
from mtl.fingerprint import sha256_json, sha256_sources
from mtl.sources.base import Chunk
from mtl.tasks.table import get_task

ROW = np.dtype([("key", "u1", 32), ("record", "u1", 16), ("file", "<u4"), ("line", "<u8")])
"""A row that was read: hashes of its passage and of its record, its file among the chunk's, its line from there."""
MOST = 2**30
"""Bytes that are kept; the pieces that were used longest ago go first."""
_LIBRARIES = ("numpy", "orjson", "pyarrow", "rensa", "tokenizers")
_CODE = ("mtl.data", "mtl.example", "mtl.fingerprint", "mtl.metrics", "mtl.sources", "mtl.task", "mtl.tasks")


@dataclass(frozen=True, slots=True)
class Piece:
    """What came of a chunk.

    seen: rows in all. files: (number, name) of each, where the chunk does not say. refused: the rows that were, as
    [file, line, reason, field, hash of the row, detail]. rows: the others. path: where it lies.
    """

    seen: int
    files: list[tuple[int, str]]
    refused: list[tuple[int, int, str, str, str, str]]
    rows: Any
    path: Path

    def signatures(self) -> Any:
        """One for each run of rows with the same passage: its first row, and the signature."""
        return read_arrays(self.path)[1]["signatures"]


@cache
def code() -> str:
    """Of all that reads and renders: the package's own source, and the versions of what it calls."""
    versions = {name: metadata.version(name) for name in _LIBRARIES}
    return sha256_json([sha256_sources(_CODE), versions, sys.version])


def reading_rules(config: SourceConfig, recipe: Recipe) -> str:
    """Of all that decides what comes of a chunk besides its bytes."""
    task = get_task(config.task)
    said = config.model_dump(mode="json", include={"columns", "add", "delimiter", "encoding"})
    near = recipe.settings["near_duplicates"] is not None
    return sha256_json(["read", code(), task.name, task.version, said, near])


def piece_name(chunk: Chunk, rules: str) -> str:
    """Empty for a chunk that cannot be kept."""
    return sha256_json([rules, chunk.sha256]) if chunk.sha256 else ""


class Pieces:
    """The pieces in a folder, of all preparations."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def path(self, name: str) -> Path:
        return self._folder / name[:2] / f"{name}.piece"

    def has(self, name: str) -> bool:
        return self.path(name).is_file()

    def take(self, name: str, target: Path) -> Piece | None:
        """The piece of this name, which then lies at `target` as well, whoever removes it here meanwhile."""
        path = self.path(name)
        try:
            os.utime(path)  # it was used
            os.link(path, target)
        except OSError:
            return None
        piece = load_piece(target, name)
        if piece is None:
            target.unlink()
            path.unlink(missing_ok=True)
        return piece

    def give(self, name: str, source: Path) -> None:
        """Keeps the piece at `source`. A cache that cannot be written is no fault of the data."""
        path = self.path(name)
        with suppress(OSError):
            path.parent.mkdir(parents=True, exist_ok=True)
            os.link(source, path)

    def prune(self, most: int | None = None) -> None:
        """Removes the pieces that were used longest ago, until no more than `most` bytes are left."""
        found = []
        for path in self._folder.glob("*/*"):
            with suppress(OSError):
                stat = path.stat()
                found.append((stat.st_mtime_ns, stat.st_size, path))
        room = MOST if most is None else most
        for _, size, path in sorted(found, reverse=True):
            room -= size
            if room < 0:
                with suppress(OSError):
                    path.unlink(missing_ok=True)


def load_piece(path: Path, name: str) -> Piece | None:
    """The piece at `path` if it is whole and of this name."""
    try:
        document, arrays = read_arrays(path)
        if document["name"] != name or arrays["rows"].dtype != ROW:
            return None
        files = [(int(number), str(its)) for number, its in document["files"]]
        refused = [tuple(row) for row in document["refused"]]
        return Piece(int(document["seen"]), files, refused, arrays["rows"], path)
    except (OSError, DamageError, KeyError, TypeError, ValueError):
        return None


code()  # read now: later the files may be others than those that this process runs
