"""Content hashes: the same content gives the same sha256, wherever and in whatever order of keys it is kept."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from importlib import resources
from pathlib import Path
from typing import Any


def canonical_json(value: Any) -> bytes:
    """JSON with sorted keys, no spaces, UTF-8; refuses NaN, which has no canonical form."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def sha256_bytes(data: bytes) -> str:
    """Lower-case hex sha256 (64 characters)."""
    return hashlib.sha256(data).hexdigest()


def sha256_json(value: Any) -> str:
    """sha256 of the canonical JSON of `value`."""
    return sha256_bytes(canonical_json(value))


def sha256_file(path: Path) -> str:
    """sha256 of a file, read in pieces."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sha256_sources(packages: Iterable[str]) -> str:
    """sha256 over the Python source of the named packages or modules, for identities that include the code."""
    digest = hashlib.sha256()
    for package in sorted(packages):
        parent, _, leaf = package.rpartition(".")
        root = resources.files(parent or package)
        node = root.joinpath(leaf) if parent else root
        files = [node] if parent and node.is_file() else []
        if parent and not node.is_dir():
            files = [root.joinpath(f"{leaf}.py")]
        elif node.is_dir():
            files = sorted((f for f in node.iterdir() if f.name.endswith(".py")), key=lambda f: f.name)
        for file in files:
            digest.update(f"{package}/{file.name}\0".encode() + file.read_bytes() + b"\0")
    return digest.hexdigest()
