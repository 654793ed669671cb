"""Text as the tasks keep it: one line, without characters that only cost a vocabulary that cannot hold them.

What is harmless is normalised (quotes, dashes, ellipsis, odd spaces, compatibility forms); what remains that the
vocabulary lacks is counted as <unk> in the manifest. `clean` is idempotent: cleaned text is its own fixed point.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from functools import cache, lru_cache
from typing import Any

from mtl.fingerprint import sha256_bytes
from mtl.task import BadRow
from mtl.tasks.lists import list_in

MAX_CHARS = 200_000
"""Longest text of one field; far above any article, far below what would hurt."""

_SINGLE = "‘’‚‛′´`ʼ＇"
_DOUBLE = "“”„‟″«»＂"
_DASHES = "‐‑‒–—―−"
_SPELLED = {**dict.fromkeys(_SINGLE, "'"), **dict.fromkeys(_DOUBLE, '"'), **dict.fromkeys(_DASHES, "-")}
_SPELLED |= {"…": "...", "⁄": "/", "•": "*", "·": "*"}
_ODD = re.compile(f"[{re.escape(''.join(_SPELLED))}]")
_NOT_ASCII = re.compile(r"[^\x00-\x7f]")
_UNSEEN = re.compile(r"[\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u2064\ufe00-\ufe0f\ufeff]")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_FRACTION = re.compile(r"(?<=\d)(?=[¼-¾⅐-⅞])")
_SPECIAL = re.compile(r"<(?=/?\w+>)")
_WORD = re.compile(r"\w+")
_LATIN = re.compile(r"[a-z0-9]+(?:'[a-z]+)?")
_BLANKED = {code: " " for code in range(128) if not _WORD.match(chr(code))}


def clean(text: str) -> str:
    """One line of normalised text; a task token or `</s>` inside it is broken up, so that it cannot act as one."""
    if not text.isascii():
        text = _to_plain(text)
    if "`" in text:
        text = text.replace("`", "'")
    if not text.isprintable():
        text = " ".join(_CONTROL.sub(" ", text).split())
    elif "  " in text or not text.isascii():
        text = " ".join(text.split())
    else:
        text = text.strip(" ")
    return _SPECIAL.sub("< ", text) if "<" in text else text


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
    """The raw text in field `name`, or BadRow: missing, wrong type, over length, NUL bytes, not UTF-8."""
    value = row.get(name)
    if value is None:
        raise BadRow("missing value", name)
    return check_text(value, name, limit=limit)


def check_text(value: Any, name: str, *, limit: int = MAX_CHARS) -> str:
    """`value` if it is text that can be kept, else BadRow."""
    if not isinstance(value, str):
        raise BadRow("wrong type", name)
    if len(value) > limit:
        raise BadRow("over length", name)
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


def read_passage(row: Mapping[str, Any], name: str) -> str:
    """The cleaned text in field `name`, with at least one word in it."""
    text = _clean_passage(read_lines(row, name))
    if not _WORD.search(text):
        raise BadRow(f"empty {name}", name)
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
    return folded.translate(_BLANKED).split() if folded.isascii() else _WORD.findall(folded)


def words(text: str) -> list[str]:
    """Lower-case words and numbers, without punctuation and `_` gaps."""
    return _LATIN.findall(text.lower())


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
