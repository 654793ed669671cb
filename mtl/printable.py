"""Text of others (rows, file names, answers of models) made safe to show: nothing in it acts on a terminal or a reader.

Control characters (with the escape sequences that they begin), half characters, and the marks that turn the direction
of writing round are shown as what they are: `\\x1b[2J`.
"""

from __future__ import annotations

import re

ACTIVE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
"""What is never shown as it is. Line ends and tabs are."""


def printable(text: str) -> str:
    """The text with each active character written as an escape."""
    return ACTIVE.sub(lambda found: _escape(found[0]), text)


def printable_json(document: str) -> str:
    """The same for JSON, where the escapes still mean the characters."""
    return ACTIVE.sub(lambda found: f"\\u{ord(found[0]):04x}", document)


def _escape(character: str) -> str:
    code = ord(character)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"
