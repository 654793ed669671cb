"""Names of files as people write them: `~`, accents in either Unicode form, brackets that are no pattern, any bytes."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from fnmatch import fnmatchcase
from pathlib import Path
from unicodedata import normalize

from mtl.errors import InputError

_GLOB = re.compile(r"[*?\[]")
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


def printable(name: str | Path) -> str:
    r"""The name for messages, origins and hashes: bytes that are not UTF-8 and control characters become `\xe9`."""
    return _UNPRINTABLE.sub(_escaped, str(name))


def _escaped(found: re.Match[str]) -> str:
    code = ord(found[0])
    byte = code - 0xDC00 if 0xDC80 <= code <= 0xDCFF else code  # how Python keeps a byte that is not UTF-8
    return f"\\x{byte:02x}" if byte <= 0xFF else f"\\u{byte:04x}"


def existing(path: Path) -> tuple[Path, tuple[str, ...]]:
    """(the longest part of `path` that exists as it is written, what is left of it).

    An accented letter is one character or two (NFC, NFD); both mean the same name. What has `*` or `?` in it is a glob
    even if something is called so.
    """
    found, parts = Path(path.anchor), path.parts[1 if path.anchor else 0 :]
    for number, part in enumerate(parts):
        forms = () if set("*?") & set(part) else _forms(part)
        here = next((found / form for form in forms if os.path.lexists(found / form)), None)
        if here is None:
            return found, parts[number:]
        found = here
    return found, ()


def is_pattern(parts: Iterable[str]) -> bool:
    return any(_GLOB.search(part) for part in parts)


def matching(root: Path, pattern: str) -> list[Path]:
    """What a glob matches under `root`, sorted. Brackets that match nothing stand for themselves.

    Errors: InputError for what is no glob.
    """
    if any("**" in part and part != "**" for part in pattern.split("/")):  # from Python 3.13 on, it would be one `*`
        raise _no_glob(pattern, "`**` is only a part of a name")
    if pattern.split("/")[-1] == "**":  # before Python 3.13, folders alone
        pattern += "/*"
    for form in (pattern, _literal(pattern)):
        try:
            paths = {path for its in _forms(form) for path in root.glob(its)}
        except (ValueError, NotImplementedError) as error:
            raise _no_glob(pattern, str(error)) from None
        if paths:
            return sorted(paths, key=Path.as_posix)
    return []


def _no_glob(pattern: str, reason: str) -> InputError:
    hint = "`**` stands alone between slashes, as in **/*.jsonl"
    return InputError(f"{pattern!r} is not a glob: {reason}", field="data.sources", hint=hint)


def fits(name: str, pattern: str) -> bool:
    """Whether a member of an archive is what `pattern` names; `*` also stands for slashes."""
    plain, wanted = normalize("NFC", name), normalize("NFC", pattern)
    return fnmatchcase(plain, wanted) or fnmatchcase(plain, _literal(wanted))


def _literal(pattern: str) -> str:
    return pattern.replace("[", "[[]")


def few(names: Iterable[str], *, shown: int = 3) -> str:
    """'a, b, c and 7 more'"""
    printed = [printable(name) for name in names]
    more = f" and {len(printed) - shown} more" if len(printed) > shown else ""
    return ", ".join(printed[:shown]) + more


def _forms(name: str) -> Iterator[str]:
    yield from dict.fromkeys((name, normalize("NFC", name), normalize("NFD", name)))
