"""Lists of texts as files without lists hold them: JSON, Python's own form, and numpy's, `['a b' 'c d']`.

Nothing is guessed: text that begins like a list of quoted texts and is none is a bad row.
"""

from __future__ import annotations

import ast
import json
import re
from typing import Any

from mtl.task import BadRow, wrong_type

_TEXT = r"""(?:'(?:[^'\\]|\\.)*+'|"(?:[^"\\]|\\.)*+")"""
_ITEM = re.compile(rf"(?:np\.str_\(\s*({_TEXT})\s*\)|({_TEXT})|(\.\.\.))", re.DOTALL)
_BEGINS = re.compile(r"""\s*(?:array\(|list\()?\s*[\[(]\s*(?:np\.str_\()?['"]""")
_AROUND = re.compile(
    r"\s*(?:(?:array|list)\(\s*([\[(].*[\])])\s*(?:,\s*dtype=[^()\[\]]+)?\)|([\[(].*[\])]))\s*", re.DOTALL
)


def list_in(text: str, name: str) -> Any:
    """What a text field holds that a list was written into, None for running text.

    BadRow for text that begins as a list of quoted texts and is none. In round brackets running text may begin so too.
    """
    if text.lstrip()[:1] not in tuple("[(al") or not _BEGINS.match(text):
        return None
    if text.lstrip().startswith("("):
        try:
            found = read_list(text, name)
        except BadRow:
            return None
        return found if len(found) > 1 else None
    return read_list(text, name)


def read_list(text: str, name: str) -> Any:
    """What a list written as text holds. BadRow for text that is no list, or one that was shortened to `...`."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        pass
    if _BEGINS.match(text):
        return _texts(text, name)
    try:
        value = ast.literal_eval(text.strip())
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        raise wrong_type(text, name, "a list of texts") from None
    return value


def _texts(text: str, name: str) -> list[str]:
    """Quoted texts that are divided by commas all, or by spaces all: Python joins two without a comma between them."""
    around = _AROUND.fullmatch(text)
    if not around:
        raise BadRow("broken list", name)
    body = (around[1] or around[2])[1:-1].strip()
    items, between, end = [], [], 0
    for found in _ITEM.finditer(body):
        between.append(body[end : found.start()].strip())
        items.append(found)
        end = found.end()
    divided = set(between[1:])
    if body[end:].strip() not in ("", ",") or between[0] or divided not in (set(), {","}, {""}):
        raise BadRow("broken list", name)
    if any(item[3] for item in items):
        raise BadRow("shortened list", name)
    try:
        return [str(ast.literal_eval(item[1] or item[2])) for item in items]
    except (ValueError, SyntaxError):
        raise BadRow("broken list", name) from None
