"""Sealed documents: JSON objects that hold the sha256 of the rest of themselves, by which their reader finds damage.

A folder store checks nothing that it reads. So whatever is small, and decides something, is written sealed; keys that
others read stay as they are, `check` stands beside them. What a field may hold, `mtl.document.check_record` says.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mtl.document import parse_json
from mtl.errors import DamageError
from mtl.fingerprint import canonical_json, sha256_json

CHECK = "check"
_DIGITS = 64


def seal(document: Mapping[str, Any]) -> bytes:
    """Canonical JSON of the document with its `check`; on one line."""
    plain = {name: value for name, value in document.items() if name != CHECK}
    return canonical_json({**plain, CHECK: sha256_json(plain)})


def unseal(data: bytes, name: str, *, hint: str | None = None, unsealed: bool = False) -> dict[str, Any]:
    """The document in `data`, without its check. DamageError, naming `name`, unless it is exactly what was written.

    unsealed: take documents without a check too, as versions before this one wrote them.
    """
    document = parse_json(data, name, hint=hint)
    if not isinstance(document, dict):
        raise DamageError(f"{name} is damaged: it is no JSON object", field=name, hint=hint)
    check = document.pop(CHECK, None)
    try:
        if check is None:
            intact = unsealed and not any(_is_check(document, key) for key in document)
        else:
            intact = sha256_json(document) == check
    except (ValueError, RecursionError):  # NaN, half of a surrogate pair, or nested too deeply to be written
        intact = False
    if not intact:
        raise DamageError(f"{name} is damaged: its bytes are not what was written", field=name, hint=hint)
    return document


def _is_check(document: Mapping[str, Any], key: str) -> bool:
    """Whether this is the check of the rest, with a name that rotted."""
    value = document[key]
    if not isinstance(value, str) or len(value) != _DIGITS:
        return False
    return sha256_json({name: other for name, other in document.items() if name != key}) == value
