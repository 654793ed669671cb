"""Names of folders with characters that mean something in an address, a configuration, or a shell."""

from __future__ import annotations

STRANGE = {
    "percent": "100%20 %(x)s %",
    "fragment": "a#b #c",
    "query": "a?b=c&mode=memory",
    "semicolon": "a;b ;c",
    "letters": "naïve 日本",
    "quotes": 'it\'s "so"',
    "shell": "$HOME `id` \\z",
    "braces": "{{x}} [y]*",
    "login": "u:p@h,=x",
}
ALL = " ".join(STRANGE.values())
"""All of them in one name, where a try takes long."""
