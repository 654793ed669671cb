"""Rows from files on this machine: one file, a folder, or a glob."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from functools import cache, partial
from itertools import chain, islice
from pathlib import Path

from mtl.errors import DataError, NotFoundError, did_you_mean
from mtl.fingerprint import sha256_file, sha256_json
from mtl.sources.base import AS_USUAL, WHOLE, Description, FileOptions, Part, RawRow
from mtl.sources.formats import format_of, is_document, read_rows
from mtl.sources.race import level_in, spread

SPLITS = ("train", "validation", "test")
_NAMES = {"train": "train", "training": "train", "validation": "validation", "valid": "validation"}
_NAMES |= {"dev": "validation", "val": "validation", "test": "test"}
_GLOB = re.compile(r"[*?\[]")

KNOWN = "jsonl, json, csv, parquet, .story, RACE's N.txt, also .gz"

Files = dict[str, list[Path]]


class FileSource:
    """Rows of `files` (split -> file or glob under `uri`), or of whatever `uri` names, split by file or folder name."""

    def __init__(
        self,
        task: str,
        uri: str,
        *,
        files: Mapping[str, str],
        limits: Mapping[str, int],
        options: FileOptions = AS_USUAL,
    ) -> None:
        self._task, self._uri, self._limits, self._options = task, uri, dict(limits), options
        self._root, found = _locate(Path(uri))
        self._files = _mapped(self._root, files, uri) if files else _by_name(self._root, found, uri)
        _inside(chain.from_iterable(self._files.values()), self._root)

    def splits(self) -> tuple[str, ...]:
        return tuple(split for split in SPLITS if self._files.get(split))

    def rows(self, split: str, part: Part = WHOLE) -> Iterator[RawRow]:
        files = self._files.get(split, ())
        limit = self._limits.get(split)
        if limit is not None:
            rows = chain.from_iterable(self._read(number, path, WHOLE) for number, path in enumerate(files))
            return (row for n, row in enumerate(islice(rows, limit)) if part.has(0, n))
        return chain.from_iterable(self._read(number, path, part) for number, path in enumerate(files))

    def _read(self, number: int, path: Path, part: Part) -> Iterator[RawRow]:
        document = is_document(path.name)
        if document and not part.has(number, 0):
            return
        name = self._name(path)
        level = level_in(f"{self._root.name}/{name}") if document else None
        for row in read_rows(path, name, partial(part.has, number), self._options):
            yield from spread(RawRow(row.value, row.file, row.line, number), level=level, numbered=document)

    def describe(self) -> Description:
        hashes = {split: [sha256_file(path) for path in self._files[split]] for split in self.splits()}
        return Description(self._task, self._uri, None, sha256_json({"files": hashes, "limits": self._limits}))

    def stamp(self) -> str:
        stats = [(split, path, path.stat()) for split in self.splits() for path in self._files[split]]
        marks = [[split, str(path), s.st_size, s.st_mtime_ns, s.st_ctime_ns, s.st_ino] for split, path, s in stats]
        return sha256_json({"root": str(self._root.resolve()), "files": marks, "limits": self._limits})

    def size(self) -> int:
        sizes = ((path.stat().st_size, path.suffix == ".gz") for path in chain.from_iterable(self._files.values()))
        return sum(size * (3 if packed else 1) for size, packed in sizes)

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
    found = _walk(root) if not pattern else (file for file in root.glob(pattern) if file.is_file())
    shown = (file for file in found if format_of(file.name) and not hidden(file.relative_to(root)))
    return root, sorted(shown, key=_order)


def _walk(root: Path) -> Iterator[Path]:
    """All files under a folder; folders that are links are not entered."""
    for folder, _, names in os.walk(root):
        yield from (Path(folder, name) for name in names)


def hidden(path: Path) -> bool:
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
        raise NotFoundError(f"no data files in {uri}", field="sources.uri", hint=f"looked for {KNOWN}")
    chosen = by_split([path.relative_to(root).as_posix() for path in found], uri)
    return {split: [root / name for name in names] for split, names in chosen.items()}


def by_split(names: Iterable[str], uri: str) -> dict[str, list[str]]:
    """Relative paths by the split that the file's name or its nearest folder's speaks of; all train if none does."""
    chosen: dict[str, list[str]] = {split: [] for split in SPLITS}
    unknown: list[str] = []
    for name in names:
        split = _split_of(name)
        (unknown if split is None else chosen[split]).append(name)
    if not any(chosen.values()):
        return {"train": unknown}
    if unknown:
        raise DataError(
            f"{unknown[0]}: no split in its name, while other files in {uri} have one",
            field="sources.files",
            hint="name the files of each split under `files`",
        )
    return chosen


def _split_of(name: str) -> str | None:
    folder, _, file = name.rpartition("/")
    return _split_in(file.split(".")[0]) or _split_in_folders(folder)


@cache
def _split_in_folders(folder: str) -> str | None:
    return next(filter(None, map(_split_in, reversed(folder.split("/")))), None)


def _split_in(part: str) -> str | None:
    words = re.split(r"[^a-z]+", part.lower())
    return next((_NAMES[word] for word in words if word in _NAMES), None)


def _inside(paths: Iterable[Path], root: Path) -> None:
    """DataError for a file that is, or lies in, a link out of the folder."""
    home = root.resolve()
    folders = cache(Path.resolve)
    for path in paths:
        real = path.resolve() if path.is_symlink() else folders(path.parent)
        if not real.is_relative_to(home):
            raise DataError(
                f"{path.relative_to(root)}: a link out of the folder {root}",
                field="sources.uri",
                hint="copy the file into the folder, or name its own folder",
            )
