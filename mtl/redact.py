"""clean: a text for logs, mails and terminals, without any secret of the environment."""

from __future__ import annotations

import re
from collections.abc import Mapping

from mtl.settings import secrets

_USERINFO = re.compile(r"(?<=://)[^/\s@]+@")


def clean(text: str, environ: Mapping[str, str] | None = None) -> str:
    """`text` without user and password in addresses, and without the value of any secret setting."""
    text = _USERINFO.sub("***@", text)
    for secret in secrets(environ):
        text = text.replace(secret, "***")
    return text
