"""HTML in plain text: character references become their characters, and tags a space.

Only what cannot be anything else: a reference with its semicolon and a known name (`&amp;`, `&#39;`; not `AT&T` and not
`&copy`), and tags of running text and of pages, whose attributes have values (`<p>`, `<br/>`, `<a href="x">`; not
`1 < 2`, `<mcq>`, `<b and c>`, nor `<sup>`, which means something). All else stays as it is.
"""

from __future__ import annotations

import re
from html import unescape
from html.entities import html5

_NAMES = (
    "a|article|aside|b|big|blockquote|body|br|center|code|dd|div|dl|dt|em|figcaption|figure|font|footer|h[1-6]|head|"
    "header|hr|html|i|img|label|li|main|nav|ol|p|pre|section|small|span|strong|table|tbody|td|tfoot|th|thead|tr|u|ul"
)
_ATTRIBUTE = r"""\s+[\w:-]+\s*=\s*(?:"[^"<>]*"|'[^'<>]*'|[^\s"'<>=/]+)"""
_TAG = re.compile(rf"</?(?:{_NAMES})(?:{_ATTRIBUTE})*\s*/?>", re.IGNORECASE)
_REFERENCE = re.compile(r"&(?:#[0-9]{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z][A-Za-z0-9]{1,30});")
_OPENING = re.compile(r"<(?=[/A-Za-z])|&(?=[#A-Za-z])")


def without_markup(text: str) -> str:
    """The text with one level of HTML taken off; what was escaped twice (`&amp;lt;`) takes another call."""
    text = _REFERENCE.sub(lambda found: _character(found[0]), text) if "&" in text else text
    return _TAG.sub(" ", text) if "<" in text else text


def broken_up(text: str) -> str:
    """The text with a space in everything that could be HTML: nothing is left to take off."""
    return _OPENING.sub(r"\g<0> ", text)


def _character(reference: str) -> str:
    known = reference[1] == "#" or reference[1:] in html5
    return unescape(reference) if known else reference
