"""Documents as nobody wrote them: mutated real ones, whose `check` is right again or not, and bytes that are none."""

from __future__ import annotations

import copy
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from mtl.fingerprint import sha256_json

HOSTILE: list[Any] = [
    *(None, True, False, 0, -1, 1, 2**31, 2**63, 2**70, 10**400, 0.5, -0.0, 1e308),
    *(float("nan"), float("inf"), "", " ", "x", "1", "nan", "\0", "\x1b[31m", "ü", "\ud800", "x" * 300, "x" * 100_000),
    *("..", "../outside", "../../outside", "/outside", "base/../../outside", "a/b/c", ".hidden", "manifest.json", "~"),
    *("a\nb", "C:\\outside", "outside.part", "0" * 64, "f" * 63, "F" * 64, "f" * 64 + "\n", "../" * 21 + "f"),
    *("http://", "file:///etc/passwd", "http://[", "http://a b/", "v1", [], {}, [[]], [{}], {"a": {}}, ["x"], {"": 1}),
]


EXAMPLES = int(os.environ.get("MTL_TEST_FUZZ", "1"))


def fuzz(examples: int) -> settings:
    """So many documents, MTL_TEST_FUZZ times as many where it is set; on a busy machine too."""
    checks = [HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
    return settings(max_examples=examples * EXAMPLES, deadline=None, suppress_health_check=checks)


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The path of everything inside a JSON value."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield (*path, key)
        yield from places(inner, (*path, key))


def seal(document: dict[str, Any]) -> dict[str, Any]:
    """`document` with the `check` that fits, where there can be one."""
    rest = {name: value for name, value in document.items() if name != "check"}
    try:
        return {**rest, "check": sha256_json(rest)}
    except ValueError:
        return document


@st.composite
def mutated(draw: st.DrawFn, document: Any) -> Any:
    """A real document with one to three places replaced, removed, doubled or added."""
    value = copy.deepcopy(document)
    for _ in range(draw(st.integers(1, 3))):
        found = list(places(value))
        if not found:
            return value
        *path, key = draw(st.sampled_from(found))
        holder = value
        for part in path:
            holder = holder[part]
        what = draw(st.sampled_from(["replace", "replace", "replace", "remove", "double", "add"]))
        other = copy.deepcopy(draw(st.sampled_from(HOSTILE) | st.sampled_from([_at(value, place) for place in found])))
        if what == "remove":
            del holder[key]
        elif what == "double" and isinstance(holder, list):
            holder.append(copy.deepcopy(holder[key]))
        elif what == "add" and isinstance(holder, dict):
            holder[draw(st.sampled_from([text for text in HOSTILE if isinstance(text, str)]))] = other
        else:
            holder[key] = other
    return value


@st.composite
def damaged(draw: st.DrawFn, document: Any, *, sealed: bool = False) -> bytes:
    """Bytes that a reader of `document` may find; those of a sealed one fit its check, mostly."""
    kind = draw(st.sampled_from(["mutated"] * 6 + ["cut", "flipped", "bytes", "nested", "value"]))
    data = json.dumps(document).encode()
    if kind == "cut":
        return data[: draw(st.integers(0, len(data)))]
    if kind == "flipped":
        place = draw(st.integers(0, len(data) - 1))
        return data[:place] + bytes([data[place] ^ (1 << draw(st.integers(0, 7)))]) + data[place + 1 :]
    if kind == "bytes":
        return draw(st.binary(max_size=40))
    if kind == "nested":
        deep = draw(st.sampled_from([200, 950, 990, 100_000]))
        return (b'{"a":' * deep + b"1" + b"}" * deep) if draw(st.booleans()) else b"[" * deep + b"]" * deep
    if kind == "value":
        return json.dumps(draw(st.sampled_from(HOSTILE[:9] + HOSTILE[10:]))).encode()
    value = draw(mutated(document))
    return json.dumps(seal(value) if sealed and isinstance(value, dict) and draw(st.integers(0, 9)) else value).encode()


def tree(folder: Path) -> dict[str, bytes | None]:
    """Every file below `folder` with its bytes, every folder with None."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() if path.is_file() else None for path in folder.rglob("*")
    }


def _at(value: Any, path: tuple[Any, ...]) -> Any:
    for part in path:
        value = value[part]
    return value
