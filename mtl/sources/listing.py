"""What lies in a folder: data files, and beside them what is left out, by name and with the reason."""

from __future__ import annotations

import json
import os
import re
import stat
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path, PurePosixPath

from mtl.errors import DataError, NotFoundError, did_you_mean
from mtl.sources.base import Note
from mtl.sources.formats import format_of
from mtl.sources.names import existing, few, is_pattern, matching, printable

ARCHIVES = (".tar", ".tar.gz", ".tgz", ".tar.zst")

_ABOUT = re.compile(r"(dataset_infos?|dataset_dict|dataset-metadata)\.json", re.IGNORECASE)
_BESIDE = re.compile(
    r"(readme|licen[cs]e|notice|citation|changelog|checksums?)\b.*|.*\.(md|rst|md5|sha256|crc)|_success", re.I
)
_STATE = re.compile(r"(^|/)state\.json$")
_HIDDEN = "hidden"
_ABOUT_DATA = "about data, by its name"
_LINKED = "a linked folder: name it as a source of its own"
_MANY = 20
"""Files of one folder and kind from which on they are named together."""


@dataclass(slots=True)
class Listing:
    """root: the folder that all files must lie in. files: of data, relative to it, sorted. left_out: all else."""

    root: Path
    files: list[str] = field(default_factory=list)
    left_out: list[Note] = field(default_factory=list)

    def sort(self, names: Iterable[str]) -> Listing:
        """Takes in files by what their names say, and puts all in order."""
        told = sorted_out(names)
        self.files = sorted(name for name, note in told if note is None)
        self.left_out = folded([*self.left_out, *(note for _, note in told if note)])
        return self


def locate(path: Path) -> Listing:
    """The data under a path: one file, a folder, or a glob.

    Errors: NotFoundError for what is not there, DataError for a folder that cannot be listed.
    """
    found, rest = existing(path)
    if not rest:
        return _folder(found) if found.is_dir() else Listing(found.parent, [found.name])
    if not is_pattern(rest[:1]) or not found.is_dir():
        near = found if found.is_dir() else found.parent
        known = [*(printable(entry.name) for entry in near.iterdir()), "demo", "feedback"]
        raise NotFoundError(
            f"no file or folder {printable(found / rest[0] if is_pattern(rest) else path)!r}",
            field="sources.uri",
            hint=did_you_mean(printable(rest[0]), known),
        )
    return among(found, "/".join(rest))


def among(root: Path, pattern: str) -> Listing:
    """What a pattern matches, of which files are data and a folder is none; or the one file that it names as it is."""
    found, rest = existing(root / pattern)
    if not rest and not found.is_dir():
        return Listing(root, [found.relative_to(root).as_posix()])
    its, names, deep = Listing(root), list[str](), "**" in pattern
    for path in matching(root, pattern):
        name = path.relative_to(root).as_posix()
        if not path.is_dir():
            names.append(name)
        elif not deep:
            text = "a folder, into which the pattern does not lead"
            its.left_out.append(Note(f"{printable(name)}/", text, usual=hidden(name)))
    if deep:
        its.left_out += [note for note in _folder(root).left_out if note.text == _LINKED]
    return its.sort(names)


def _folder(root: Path) -> Listing:
    its, names = Listing(root), list[str]()
    for folder, folders, files in os.walk(root, onerror=_unlisted):
        inside = Path(folder).relative_to(root).as_posix()
        prefix = "" if inside == "." else f"{inside}/"
        for name in list(folders):
            place = f"{printable(prefix + name)}/"
            if hidden(name):
                its.left_out.append(Note(place, _HIDDEN, usual=True))
                folders.remove(name)
            elif Path(folder, name).is_symlink():
                its.left_out.append(Note(place, _LINKED))
        names += [prefix + name for name in files]
    stale = _stale(root, names)
    its.left_out += [Note(printable(name), "of an older save, by its state.json") for name in stale]
    return its.sort(name for name in names if name not in stale)


def _stale(root: Path, names: list[str]) -> set[str]:
    """Arrow files that `Dataset.save_to_disk` left there when it saved other ones over them."""
    found = set()
    for state in (name for name in names if _STATE.search(name)):
        try:
            kept = {str(file["filename"]) for file in json.loads((root / state).read_bytes())["_data_files"]}
        except (OSError, ValueError, KeyError, TypeError):
            continue  # some other state
        folder = _folder_of(state)
        others = (name for name in names if _folder_of(name) == folder and format_of(name) == "arrow")
        found |= {name for name in others if name.rpartition("/")[2] not in kept}
    return found


def _unlisted(error: OSError) -> None:
    raise DataError(
        f"{printable(str(error.filename))}: the folder cannot be listed: {error.strerror}",
        field="sources.uri",
        hint="give this user read access, or take the folder away",
    ) from None


def sorted_out(names: Iterable[str]) -> list[tuple[str, Note | None]]:
    """Each file's name, with a note on why it is left out if it is no data by that name."""
    names = list(names)
    saved = {_folder_of(name) for name in names if format_of(name) == "arrow"}
    return [(name, _state_of(name, saved) or left_out(name)) for name in names]


def left_out(name: str) -> Note | None:
    """Why a file is no data by its name; None for one that is."""
    file = name.rpartition("/")[2]
    if hidden(name):
        return Note(printable(name), _HIDDEN, usual=True)
    if _ABOUT.fullmatch(file):
        return Note(printable(name), _ABOUT_DATA, usual=True)
    if format_of(file):
        return None
    if file.lower().endswith(ARCHIVES):
        return Note(printable(name), "an archive: name it as a source of its own")
    if _BESIDE.fullmatch(file):
        return Note(printable(name), _ABOUT_DATA, usual=True)
    return Note(printable(name), "not a data file by its name")


def _state_of(name: str, saved: set[str]) -> Note | None:
    """Of the file that `Dataset.save_to_disk` writes about the .arrow files of its folder."""
    its = _STATE.search(name) and _folder_of(name) in saved
    return Note(printable(name), _ABOUT_DATA, usual=True) if its else None


def _folder_of(name: str) -> str:
    return name.rpartition("/")[0]


def hidden(name: str) -> bool:
    """Whether it lies in what tools keep beside data, such as `.cache` and `.mtl`."""
    return name.startswith(".") or "/." in name


def folded(notes: Iterable[Note]) -> list[Note]:
    """The notes, with many files of one folder, kind and reason as one: `images/*.jpg (5,000)`."""
    groups: dict[tuple[str, str, str, bool], list[Note]] = defaultdict(list)
    for note in sorted(notes, key=lambda its: its.name):
        path = PurePosixPath(note.name)
        groups[path.parent.as_posix(), path.suffix, note.text, note.usual].append(note)
    return [note for key, its in groups.items() for note in _together(key, its)]


def _together(key: tuple[str, str, str, bool], notes: list[Note]) -> Iterator[Note]:
    folder, suffix, text, usual = key
    if len(notes) <= _MANY:
        yield from notes
    else:
        yield Note(f"{'' if folder == '.' else f'{folder}/'}*{suffix} ({len(notes):,})", text, usual=usual)


def sentences(notes: Iterable[Note], *, shown: int = 10) -> list[str]:
    """The notes for a person, what is left out for one reason in one line."""
    groups: dict[str, list[str]] = defaultdict(list)
    for note in notes:
        groups[note.text].append(note.name)
    return [f"left out {few(names, shown=shown)}: {text}" if any(names) else text for text, names in groups.items()]


def beside(hint: str, notes: list[Note]) -> str:
    """The hint, and what was found instead of data."""
    seen = few(f"{note.name} ({note.text})" for note in sorted(notes, key=lambda its: its.usual))
    return f"{hint}; left out: {seen}" if seen else hint


def check_files(root: Path, names: Iterable[str]) -> None:
    """DataError for a name that is no plain file inside the folder: a link out of it, a link to nothing, a pipe."""
    home, folders = root.resolve(), cache(Path.resolve)
    for name in names:
        path = root / name
        try:
            mode = path.lstat().st_mode
            real = path.resolve() if stat.S_ISLNK(mode) else folders(path.parent)
            plain = stat.S_ISREG(path.stat().st_mode)
        except (OSError, RuntimeError) as error:  # RuntimeError: a circle of links, before Python 3.13
            why = "a link to nothing" if path.is_symlink() else str(getattr(error, "strerror", error))
            raise DataError(f"{printable(name)}: {why}", field="sources.uri", hint="mend it or take it away") from None
        if not real.is_relative_to(home):
            raise DataError(
                f"{printable(name)}: a link out of the folder {printable(root)}",
                field="sources.uri",
                hint="copy the file into the folder, or name its own folder",
            )
        if not os.access(path, os.R_OK):
            hint = "give this user read access"
            raise DataError(f"{printable(name)}: this user may not read it", field="sources.uri", hint=hint)
        if not plain:
            hint = "put a plain file there"
            raise DataError(f"{printable(name)}: neither a file nor a link to one", field="sources.uri", hint=hint)
