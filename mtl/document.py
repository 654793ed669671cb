"""Documents from elsewhere (a store, a file of links, a folder): every field is checked when it is read.

A record is a frozen dataclass or pydantic model whose fields say what they may hold. What becomes a path, a size or a
hash has one of the types below; nothing is converted from another type.

    @dataclass(frozen=True)
    class FileRecord:
        name: FileName
        bytes: Size
        sha256: Sha256

    record = check_record(FileRecord, parse_json(data, name), name)
"""

from __future__ import annotations

import json
from collections.abc import Hashable
from functools import cache
from typing import Annotated, Any, TypeVar, cast

from pydantic import Field, StrictBool, StrictFloat, StringConstraints, TypeAdapter, ValidationError

from mtl.errors import DamageError

T = TypeVar("T")

_LONGEST = 2**53 - 1  # what every reader of JSON holds exactly
_SHOWN = 60

Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
Size = Annotated[int, Field(strict=True, ge=0, le=_LONGEST)]
"""Bytes, steps, and everything else that is counted from 0."""
Positive = Annotated[int, Field(strict=True, ge=1, le=_LONGEST)]
Number = StrictFloat
"""A float, or an integer that stands for one."""
Flag = StrictBool
FileName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_][A-Za-z0-9._=-]*$", max_length=255)]
"""A flat name that can become a file: nothing hidden, no separator."""
Line = Annotated[str, StringConstraints(pattern=r"^[^\x00-\x1f\x7f-\x9f]+$", max_length=2000)]
"""Text on one line without control characters: names of bases, tokens, moments."""


def parse_json(data: bytes | str, name: str, *, hint: str | None = None) -> Any:
    """The value in `data`. Errors: DamageError naming `name` if it is not JSON in UTF-8."""
    try:
        text = data if isinstance(data, str) else data.decode()
        value = json.loads(text)
        if "\\ud" in text.lower():  # half of a surrogate pair is text that nothing can write
            json.dumps(value, ensure_ascii=False).encode()
        return value
    except (ValueError, RecursionError) as error:
        raise DamageError(f"{name} is damaged: it is not JSON: {_cause(error)}", field=name, hint=hint) from None


def check_record(kind: type[T], value: object, name: str, *, hint: str | None = None, secret: bool = False) -> T:
    """`value` as a `kind`. Errors: DamageError naming `name`, the field, what stands there and what should.

    secret: what stands there must not be repeated.
    """
    try:
        return cast("T", _adapter(cast("Hashable", kind)).validate_python(value))
    except (ValidationError, RecursionError) as error:
        field, problem = _fault(error, secret=secret) if isinstance(error, ValidationError) else ("", _cause(error))
        place = f"{field}: " if field else ""
        raise DamageError(f"{name} is damaged: {place}{problem}", field=field or name, hint=hint) from None


@cache
def _adapter(kind: Hashable) -> TypeAdapter[Any]:
    return TypeAdapter(cast("type[Any]", kind))


def _fault(error: ValidationError, *, secret: bool) -> tuple[str, str]:
    """(field, what is wrong with it) of the first fault."""
    fault = error.errors(include_url=False, include_context=False)[0]
    field = ".".join(_shown(part) if isinstance(part, str) else str(part) for part in fault["loc"])
    got = "" if secret or fault["type"] == "missing" else f", got {_shown(repr(fault['input']))}"
    return field, f"{fault['msg']}{got}"


def _shown(text: str) -> str:
    """A text that anybody may have written, short and without control characters."""
    plain = "".join(character if character.isprintable() else "?" for character in text[: _SHOWN + 1])
    return plain if len(text) <= _SHOWN else f"{plain[:_SHOWN]}..."


def _cause(error: Exception) -> str:
    return "it is nested too deeply" if isinstance(error, RecursionError) else _shown(str(error))
