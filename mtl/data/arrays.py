"""Arrays in a file: a JSON document and numpy arrays behind the sha256 of both, so that any damage is found.

For what is kept to save time: whoever cannot read such a file makes it again.
"""

from __future__ import annotations

import hashlib
import json
import math
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from mtl.errors import DamageError

Arrays = dict[str, Any]
"""Numpy arrays by name."""
_DIGEST = 32
_HINT = "it is made again"


def write_arrays(path: Path, document: Mapping[str, Any], arrays: Mapping[str, Any]) -> None:
    """Written aside and renamed: other readers see the whole file or none."""
    bodies = [np.ascontiguousarray(array) for array in arrays.values()]
    kinds = [[name, array.dtype.descr, list(array.shape)] for name, array in zip(arrays, bodies, strict=True)]
    head = json.dumps([dict(document), kinds]).encode()  # plain ASCII, whatever text a row had
    parts: list[Any] = [len(head).to_bytes(8, "little"), head, *(array.reshape(-1).view(np.uint8) for array in bodies)]
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part)
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}.{uuid.uuid4().hex}~")
    try:
        with aside.open("wb") as file:
            file.writelines([digest.digest(), *parts])
        Path(aside).replace(path)
    finally:
        aside.unlink(missing_ok=True)


def read_arrays(path: Path) -> tuple[dict[str, Any], Arrays]:
    """(document, arrays). Errors: DamageError for what is no such file or was changed, OSError for one that is gone."""
    data = path.read_bytes()
    if hashlib.sha256(memoryview(data)[_DIGEST:]).digest() != data[:_DIGEST]:
        raise DamageError(f"{path} is damaged: its bytes are not what was written", hint=_HINT)
    try:
        start = _DIGEST + 8
        stop = start + int.from_bytes(data[_DIGEST:start], "little")
        document, kinds = json.loads(data[start:stop])
        arrays: Arrays = {}
        for name, kind, shape in kinds:
            dtype, number = _dtype(kind), math.prod(shape)
            arrays[name] = np.frombuffer(data, dtype, number, stop).reshape(shape).copy()  # aligned
            stop += number * dtype.itemsize
        return document, arrays
    except (ValueError, TypeError, KeyError) as error:
        raise DamageError(f"{path} is damaged: {error}", hint=_HINT) from None


def _dtype(kind: list[Any]) -> Any:
    """The dtype with this `descr`, which JSON turned to lists."""
    if len(kind) == 1 and kind[0][0] == "":
        return np.dtype(kind[0][1])
    return np.dtype([(name, code, *map(tuple, shape)) for name, code, *shape in kind])
