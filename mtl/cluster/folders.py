"""A folder of the driver, such as a model, on the machines of the cluster: through Ray's object store."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from mtl.errors import DamageError
from mtl.fingerprint import sha256_bytes, sha256_file, sha256_json
from mtl.settings import load_settings


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

    folder = load_settings().cache / "sent" / sha256_json(dict(sent.files))
    if _is_whole(folder, sent.files):
        return folder
    shutil.rmtree(folder, ignore_errors=True)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=folder.parent) as temporary:
        aside = Path(temporary) / "folder"
        for name, content in ray.get(sent.data).items():
            (aside / name).parent.mkdir(parents=True, exist_ok=True)
            (aside / name).write_bytes(content)
        with suppress(OSError):  # another worker of this machine was first
            aside.rename(folder)
    if not _is_whole(folder, sent.files):
        raise DamageError(f"{folder} does not hold what was sent", hint="look at the disk of this machine")
    return folder


def _is_whole(folder: Path, files: Mapping[str, str]) -> bool:
    return all((folder / name).is_file() and sha256_file(folder / name) == its for name, its in files.items())
