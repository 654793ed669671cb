"""Content hashes: the same content gives the same sha256, wherever and in whatever order of keys it is kept."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any


def canonical_json(value: Any) -> bytes:
    """JSON with sorted keys, no spaces, UTF-8; refuses NaN, which has no canonical form."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def sha256_bytes(data: bytes) -> str:
    """Lower-case hex sha256 (64 characters)."""
    return hashlib.sha256(data).hexdigest()


def sha256_unchanged(path: Path) -> str:
    """As `sha256_file`; a file that this process has read, and nobody has written since, is not read again.

    Not for the first look at what may have rotted: this is how to look many times at the price of one.
    """
    stat = path.stat()
    return _sha256_at(path.resolve(), stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns)


@lru_cache(maxsize=4096)
def _sha256_at(path: Path, *stat: int) -> str:
    return sha256_file(path)


def sha256_json(value: Any) -> str:
    """sha256 of the canonical JSON of `value`."""
    return sha256_bytes(canonical_json(value))


def sha256_file(path: Path) -> str:
    """sha256 of a file, read in pieces."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sha256_sources(modules: Iterable[str]) -> str:
    """sha256 over the Python source of the named modules and whole packages, for identities that include the code."""
    digest = hashlib.sha256()
    for name in sorted(modules):
        for path in _source_files(name):
            digest.update(f"{name}/{path.name}\0".encode() + path.read_bytes() + b"\0")
    return digest.hexdigest()


def _source_files(module: str) -> list[Path]:
    spec = find_spec(module)
    if spec is None or spec.origin is None:
        raise ValueError(f"no source of module {module!r}")
    folders = spec.submodule_search_locations
    return sorted(path for folder in folders for path in Path(folder).rglob("*.py")) if folders else [Path(spec.origin)]
