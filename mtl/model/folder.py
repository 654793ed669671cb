"""A folder that a cache keeps, with the hashes of its files inside it: every byte is checked before it is used again.

Written last, so that a folder with it is whole; sealed, so that it cannot rot unseen itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mtl.document import Sha256, check_record
from mtl.errors import DamageError, NotFoundError
from mtl.fingerprint import sha256_file
from mtl.seal import seal, unseal
from mtl.store.files import written_aside

HASHES = "mtl_files.json"
_AGAIN = "delete the folder: what is kept in a cache is made again"


def seal_folder(folder: Path, made_of: Mapping[str, Any]) -> None:
    """Keep the hashes of all files of `folder` in it. made_of: what the folder follows from, for who looks for it."""
    found = {name: sha256_file(path) for name, path in _files(folder).items()}
    with written_aside(folder / HASHES) as out:
        out.write(seal({"made_of": dict(made_of), "files": found}))


def check_folder(folder: Path) -> dict[str, Any]:
    """What the folder was made of, if it holds the files that it was sealed with and no other.

    Errors: NotFoundError for a folder that was not sealed, DamageError naming the file.
    """
    try:
        data = (folder / HASHES).read_bytes()
    except OSError:
        raise NotFoundError(f"{folder} has no {HASHES}") from None
    name = str(folder / HASHES)
    sealed = check_record(_Hashes, unseal(data, name, hint=_AGAIN), name, hint=_AGAIN)
    kept, found = sealed.files, _files(folder)
    for name in sorted(kept.keys() | found.keys()):
        if name not in found:
            raise _damaged(folder / name, "is missing")
        if name not in kept:
            raise _damaged(folder / name, "does not belong there")
        if sha256_file(found[name]) != kept[name]:
            raise _damaged(folder / name, f"is damaged: its sha256 is not {kept[name][:12]}, as it was written")
    return sealed.made_of


@dataclass(frozen=True)
class _Hashes:
    made_of: dict[str, Any]
    files: dict[str, Sha256]


def _files(folder: Path) -> dict[str, Path]:
    paths = (path for path in sorted(folder.rglob("*")) if not path.is_dir())
    found = {path.relative_to(folder).as_posix(): path for path in paths}
    found.pop(HASHES, None)
    return found


def _damaged(path: Path, problem: str) -> DamageError:
    return DamageError(f"{path} {problem}", field=path.name, hint=_AGAIN)
