"""A folder of the driver, such as a model, on the machines of the cluster: through Ray's object store."""

from __future__ import annotations

import fcntl
import os
import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from mtl.errors import DamageError
from mtl.fingerprint import sha256_bytes, sha256_file, sha256_json
from mtl.settings import load_settings

KEPT_SECONDS = 24 * 3600
"""How long a folder stays that nobody asks for: more than an evaluation takes, and a retrain each night adds some."""


@dataclass(frozen=True, slots=True)
class SentFolder:
    """files: name -> sha256. data: Ray's reference to name -> bytes, which each machine fetches once."""

    files: Mapping[str, str]
    data: Any


def send(ray: Any, files: Mapping[str, Path]) -> SentFolder:
    """files: name in the folder (`base/config.json`) -> file on this machine."""
    data = {name: path.read_bytes() for name, path in files.items()}
    return SentFolder({name: sha256_bytes(content) for name, content in data.items()}, ray.put(data))


def receive(sent: SentFolder) -> Path:
    """The folder on this machine, in the cache of its MTL_HOME; one that is there is used if every byte is right."""
    import ray

    parent = load_settings().cache / "sent"
    folder = parent / sha256_json(dict(sent.files))
    parent.mkdir(parents=True, exist_ok=True)
    with (parent / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # another worker of this machine must not remove what this one has just made
        if not _is_whole(folder, sent.files):
            shutil.rmtree(folder, ignore_errors=True)
            _write(folder, ray.get(sent.data))
            if not _is_whole(folder, sent.files):
                raise DamageError(f"{folder} does not hold what was sent", hint="look at the disk of this machine")
        os.utime(folder)
        _remove_unused(parent)
    return folder


def _write(folder: Path, data: Mapping[str, bytes]) -> None:
    with TemporaryDirectory(dir=folder.parent) as temporary:
        aside = Path(temporary) / "folder"
        for name, content in data.items():
            (aside / name).parent.mkdir(parents=True, exist_ok=True)
            (aside / name).write_bytes(content)
        aside.rename(folder)


def _remove_unused(parent: Path) -> None:
    """What was not asked for lately, and what a killed worker left half-written."""
    for folder in parent.glob("*/"):
        if folder.stat().st_mtime < time.time() - KEPT_SECONDS:
            shutil.rmtree(folder, ignore_errors=True)


def _is_whole(folder: Path, files: Mapping[str, str]) -> bool:
    return all((folder / name).is_file() and sha256_file(folder / name) == its for name, its in files.items())
