"""Rows from files on this machine: one file, a folder, or a glob."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from itertools import chain, islice
from pathlib import Path

from mtl.errors import DataError, NotFoundError, did_you_mean
from mtl.fingerprint import sha256_file, sha256_json
from mtl.sources.base import Description, RawRow
from mtl.sources.formats import format_of, read_rows

SPLITS = ("train", "validation", "test")
_NAMES = {"train": "train", "training": "train", "validation": "validation", "valid": "validation"}
_NAMES |= {"dev": "validation", "val": "validation", "test": "test"}
_GLOB = re.compile(r"[*?\[]")

Files = dict[str, list[Path]]


class FileSource:
    """Rows of `files` (split -> file or glob under `uri`), or of whatever `uri` names, split by file or folder name."""

    def __init__(self, task: str, uri: str, *, files: Mapping[str, str], limits: Mapping[str, int]) -> None:
        self._task, self._uri, self._limits = task, uri, dict(limits)
        self._root, found = _locate(Path(uri))
        self._files = _mapped(self._root, files, uri) if files else _by_name(self._root, found, uri)
        for path in chain.from_iterable(self._files.values()):
            _inside(path, self._root)

    def splits(self) -> tuple[str, ...]:
        return tuple(split for split in SPLITS if self._files.get(split))

    def rows(self, split: str) -> Iterator[RawRow]:
        rows = chain.from_iterable(read_rows(path, self._name(path)) for path in self._files.get(split, ()))
        return islice(rows, self._limits.get(split))

    def describe(self) -> Description:
        hashes = {split: [sha256_file(path) for path in self._files[split]] for split in self.splits()}
        return Description(self._task, self._uri, None, sha256_json({"files": hashes, "limits": self._limits}))

    def stamp(self) -> str:
        stats = [(split, str(path.resolve()), path.stat()) for split in self.splits() for path in self._files[split]]
        marks = [[split, name, s.st_size, s.st_mtime_ns, s.st_ctime_ns, s.st_ino] for split, name, s in stats]
        return sha256_json({"files": marks, "limits": self._limits})

    def _name(self, path: Path) -> str:
        return path.relative_to(self._root).as_posix()


def _locate(path: Path) -> tuple[Path, list[Path]]:
    """(the folder that all files must lie in, the data files under `path`)."""
    if path.is_file():
        return path.parent, [path]
    parts = path.parts
    cut = next((i for i, part in enumerate(parts) if _GLOB.search(part)), len(parts))
    root, pattern = Path(*parts[:cut]), "/".join(parts[cut:])
    if not root.is_dir():
        near = root.parent if root.parent.is_dir() else Path()
        raise NotFoundError(
            f"no file or folder {str(root)!r}",
            field="sources.uri",
            hint=did_you_mean(root.name, [*(entry.name for entry in near.iterdir()), "demo"]),
        )
    found = (file for file in root.glob(pattern or "**/*") if not _hidden(file.relative_to(root)))
    return root, sorted((file for file in found if file.is_file() and format_of(file.name)), key=_order)


def _hidden(path: Path) -> bool:
    """Whether it lies in what tools keep beside data, such as `.cache` and `.mtl`."""
    return any(part.startswith(".") for part in path.parts)


def _order(path: Path) -> str:
    return path.as_posix()


def _mapped(root: Path, files: Mapping[str, str], uri: str) -> Files:
    chosen: Files = {}
    for split, pattern in files.items():
        if Path(pattern).is_absolute() or ".." in Path(pattern).parts:
            raise DataError(f"{pattern!r} leaves the folder {uri}", field=f"sources.files.{split}")
        chosen[split] = sorted((path for path in root.glob(pattern) if path.is_file()), key=_order)
        if not chosen[split]:
            names = [path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()]
            raise NotFoundError(
                f"no file {pattern!r} in {uri}", field=f"sources.files.{split}", hint=did_you_mean(pattern, names[:200])
            )
    return chosen


def _by_name(root: Path, found: list[Path], uri: str) -> Files:
    """Split of each file by its name or, failing that, by its nearest folder's; one file alone is train."""
    if not found:
        raise NotFoundError(
            f"no data files in {uri}", field="sources.uri", hint="looked for jsonl, json, csv, parquet, also .gz"
        )
    named = [(path, _split_of(path.relative_to(root))) for path in found]
    if all(split is None for _, split in named):
        return {"train": found}
    for path, split in named:
        if split is None:
            raise DataError(
                f"{path.relative_to(root)}: no split in its name, while other files in {uri} have one",
                field="sources.files",
                hint="name the files of each split under `files`",
            )
    return {split: [path for path, its in named if its == split] for split in SPLITS}


def _split_of(path: Path) -> str | None:
    for part in (path.name.split(".")[0], *reversed(path.parts[:-1])):
        for word in re.split(r"[^a-z]+", part.lower()):
            if word in _NAMES:
                return _NAMES[word]
    return None


def _inside(path: Path, root: Path) -> None:
    if not path.resolve().is_relative_to(root.resolve()):
        raise DataError(
            f"{path.relative_to(root)}: a link out of the folder {root}",
            field="sources.uri",
            hint="copy the file into the folder, or name its own folder",
        )
