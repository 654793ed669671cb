"""Text as the tasks keep it: one line, without characters that only cost a vocabulary that cannot hold them.

What is harmless is normalised (quotes, dashes, ellipsis, odd spaces, compatibility forms, HTML); what remains that the
vocabulary lacks is counted as <unk> in the manifest. `clean` is idempotent: cleaned text is its own fixed point.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Mapping, Sequence
from functools import cache, lru_cache
from typing import Any

from mtl.fingerprint import sha256_bytes
from mtl.metrics.text import in_other_script, script_words
from mtl.task import BadRow, shown, wrong_type
from mtl.tasks.lists import list_in
from mtl.tasks.markup import broken_up, without_markup

MAX_CHARS = 200_000
"""Longest text of one field; far above any article, far below what would hurt."""

_LONGEST_MISSING = 12
_SINGLE = "‘’‚‛′´`ʼ＇"
_DOUBLE = "“”„‟″«»＂"
_DASHES = "‐‑‒–—―−"
_SPELLED = {**dict.fromkeys(_SINGLE, "'"), **dict.fromkeys(_DOUBLE, '"'), **dict.fromkeys(_DASHES, "-")}
_SPELLED |= {"…": "...", "⁄": "/", "•": "*", "·": "*", "\u200b": " ", "\ufeff": " "}
_C1 = {chr(code): bytes([code]).decode("cp1252", "ignore") for code in range(0x80, 0xA0)}
"""What a C1 control stands for: text of Windows that was decoded as Latin-1. cp1252 leaves five of them undefined."""
_SPELLED |= {control: _SPELLED.get(char, char) for control, char in _C1.items() if char}
_ODD = re.compile(f"[{re.escape(''.join(_SPELLED))}]")
_NOT_ASCII = re.compile(r"[^\x00-\x7f]")
_UNSEEN = re.compile(r"[\u00ad\u061c\u180e\u200c-\u200f\u202a-\u202e\u2060-\u206f\ufe00-\ufe0f]")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_C1_FOUND = re.compile(f"[{''.join(control for control, char in _C1.items() if char)}]")
_FRACTION = re.compile(r"(?<=\d)(?=[¼-¾⅐-⅞])")
_SPECIAL = re.compile(r"<(?=/?\w+>)")
_WORD = re.compile(r"\w+")
_LETTER = re.compile(r"[^\W_]")
_LEVELS = 4
"""How often HTML may have been escaped."""
_MISSING = frozenset(["nan", "-nan", "none", "null", "n/a", "na", "#n/a", "<na>", "nat"])
"""How programs write that a value is not there, in lower case: no article and no question says only that."""
_LATIN = re.compile(r"[a-z0-9]+(?:'[a-z]+)?")
_BLANKED = {code: " " for code in range(128) if not _WORD.match(chr(code))}


def clean(text: str) -> str:
    """One line of normalised text; a task token or `</s>` inside it is broken up, so that it cannot act as one."""
    text = _line(text)
    return _without_markup(text) if "<" in text or "&" in text else text


def _line(text: str) -> str:
    if not text.isascii():
        text = _to_plain(text)
    if "`" in text:
        text = text.replace("`", "'")
    if not text.isprintable():
        return " ".join(_CONTROL.sub(" ", text).split())
    if "  " in text or not text.isascii():
        return " ".join(text.split())
    return text.strip(" ")


def _without_markup(text: str) -> str:
    for _ in range(_LEVELS):
        plain = _line(without_markup(text))
        if plain == text:
            return _SPECIAL.sub("< ", text)
        text = plain
    return _SPECIAL.sub("< ", _line(broken_up(text)))


def mapped_controls(text: str) -> str:
    """The text with C1 controls as the punctuation of Windows that they are; U+0085 would else break a line."""
    return text if text.isascii() or text.isprintable() else _C1_FOUND.sub(lambda found: _C1[found[0]], text)


def _to_plain(text: str) -> str:
    """Text in other than plain characters, spelled with them where that is harmless."""
    spelled = {char: _alone(char) for char in set(_NOT_ASCII.findall(text))}
    if None in spelled.values():
        return _normalised(text)
    for char, plain in spelled.items():
        if plain is not None and plain != char:
            text = text.replace(char, plain)
    return text


@cache
def _alone(char: str) -> str | None:
    """What becomes of a character whatever its neighbours are; None if they matter, or for a rare one."""
    plain = _normalised(char)
    common = char < "\u0250" or "\u2010" <= char <= "\u2027"
    joins = any(map(unicodedata.combining, unicodedata.normalize("NFKC", _spell(char))))
    return plain if common and not joins and not _FRACTION.match(f"1{char}", 1) else None


def _normalised(text: str) -> str:
    text = unicodedata.normalize("NFKC", _FRACTION.sub(" ", _UNSEEN.sub("", _spell(text))))
    return _UNSEEN.sub("", _spell(text))


def _spell(text: str) -> str:
    return _ODD.sub(lambda found: _SPELLED[found[0]], text)


def read_text(row: Mapping[str, Any], name: str, *, limit: int = MAX_CHARS) -> str:
    """The raw text in field `name`, or BadRow: missing (`nan`, `NULL`, ... too), wrong type, over length, NUL bytes,
    not UTF-8."""
    value = row.get(name)
    if is_missing(value):
        raise BadRow("missing value", name, detail="" if value is None else f"got {shown(value)}")
    return check_text(value, name, limit=limit)


def is_missing(value: Any) -> bool:
    """Whether a field holds nothing: null, NaN, or text that programs write for them."""
    if isinstance(value, str):
        return len(value) < _LONGEST_MISSING and value.strip().casefold() in _MISSING
    return value is None or (isinstance(value, float) and math.isnan(value))


def check_text(value: Any, name: str, *, limit: int = MAX_CHARS) -> str:
    """`value` if it is text that can be kept, else BadRow."""
    if not isinstance(value, str):
        raise wrong_type(value, name, "text")
    if len(value) > limit:
        raise BadRow("over length", name, detail=f"got {len(value)} characters, expected at most {limit}")
    if "\x00" in value:
        raise BadRow("NUL bytes", name)
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError:
            raise BadRow("not UTF-8", name) from None
    return value


def read_lines(row: Mapping[str, Any], name: str) -> str:
    """The raw text in field `name`; of a list of texts, or of one written as text, each item is a line."""
    value = row.get(name)
    if isinstance(value, str):
        value = list_in(check_text(value, name), name) or value
    if isinstance(value, Sequence) and not isinstance(value, (str, bytes)):
        return check_text("\n".join(check_text(item, name) for item in value), name)
    return read_text(row, name)


def has_word(text: str) -> bool:
    """Whether there is a letter or digit of any script in it."""
    return _LETTER.search(text) is not None


def read_passage(row: Mapping[str, Any], name: str) -> str:
    """The cleaned text in field `name`, with at least one word in it."""
    text = _clean_passage(read_lines(row, name))
    if not has_word(text):
        raise BadRow(f"empty {name}", name, detail=f"got {shown(text)}, expected words")
    return text


_clean_passage = lru_cache(maxsize=4)(clean)  # rows of one passage come one after the other


@lru_cache(maxsize=4)
def passage_key(text: str) -> str:
    """Hash of the words alone (case, punctuation and spacing ignored): 64 hex digits."""
    return sha256_bytes(" ".join(plain_words(text)).encode())


@lru_cache(maxsize=4)
def plain_words(text: str) -> Sequence[str]:
    """Words as `passage_key` sees them: case, punctuation and spacing ignored."""
    folded = text.casefold()
    if folded.isascii():
        return folded.translate(_BLANKED).split()
    return script_words(folded) if in_other_script(folded) else _WORD.findall(folded)


def words(text: str) -> list[str]:
    """Lower-case words and numbers, without punctuation and `_` gaps; letters of any script are words."""
    return script_words(text.lower()) if in_other_script(text) else _LATIN.findall(text.lower())


@cache
def stem(word: str) -> str:
    """A word without its commonest English endings; crude, and enough to match 'planned' with 'plans'."""
    word = word.removesuffix("'s")
    for ending in ("ingly", "edly", "ing", "ied", "ies", "ed", "es", "ly", "s"):
        if word.endswith(ending) and len(word) - len(ending) >= 3:
            root = word[: -len(ending)]
            root += "y" if ending in ("ied", "ies") else ""
            return root[:-1] if len(root) > 3 and root[-1] == root[-2] and root[-1] not in "ls" else root
    return word[:-1] if word.endswith("e") and len(word) > 3 else word
