"""A YAML file as plain values, read by the rules of YAML 1.2 and with nothing lost in silence.

YAML 1.1, which PyYAML reads by itself, takes `no` and `on` for booleans, 010 for 8, 1:30 for 90 and a date for no text,
and lets the second of two equal keys win. Here these stay what was written, and equal keys are refused.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from mtl.errors import ConfigError, NotFoundError

_LARGEST = 2**20
"""Bytes of a file."""
_MOST = 50_000
"""Values of a document, those that an alias stands for counted each time."""
_DEEPEST = 20
"""Lists and mappings within each other."""
_FILE = "(file)"
_HINT = "shipped ones are in conf/, e.g. conf/demo.yaml"

Fault = tuple[str, str]


def read_document(path: Path) -> Any:
    """The values in a YAML file. NotFoundError if there is none, ConfigError for what is no YAML or repeats a key."""
    if path.is_dir() or not path.exists():
        raise NotFoundError(f"no configuration file {path}", hint=_HINT)
    try:
        return parse_document(_text(path))
    except _NoDocument as error:
        raise ConfigError(str(path), error.faults) from None
    except OSError as error:
        raise ConfigError(str(path), [(_FILE, f"cannot be read: {error.strerror}")]) from None


def parse_document(text: str) -> Any:
    """The values of the one document in `text`."""
    try:
        _check_size(text)
        loader = _Loader(text)
        node = loader.get_single_node()
        if node is None:
            raise _NoDocument([(_FILE, "is empty; expected a mapping of sections")])
        faults = list(_repeated(node, ""))
        if faults:
            raise _NoDocument(faults)
        return loader.construct_document(node)
    except yaml.YAMLError as error:
        raise _NoDocument([(_FILE, f"not YAML: {_problem(error)}")]) from None
    except (ValueError, TypeError, AttributeError, RecursionError) as error:  # of a tag that its value does not suit
        raise _NoDocument([(_FILE, f"not YAML: {error}")]) from None


class _NoDocument(Exception):  # not an error of its own: it gets the file's name first
    def __init__(self, faults: list[Fault]) -> None:
        super().__init__(faults)
        self.faults = faults


def _text(path: Path) -> str:
    with path.open("rb") as file:
        data = file.read(_LARGEST + 1)
    if len(data) > _LARGEST:
        raise _NoDocument([(_FILE, f"over {_LARGEST} bytes, which no configuration has")])
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise _NoDocument([(_FILE, "UTF-16 text, expected UTF-8; save it as UTF-8")])
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        problem = f"not UTF-8: byte 0x{data[error.start]:02x} in line {line}; save it as UTF-8"
        raise _NoDocument([(_FILE, problem)]) from None


def _check_size(text: str) -> None:
    """Refuses deep nesting, aliases that unfold to very much, and several documents, before anything is built."""
    size = _Size()
    event: Any
    for event in yaml.parse(text, Loader=_Loader):
        problem = size.take(event)
        if problem:
            raise _NoDocument([(_FILE, f"line {event.start_mark.line + 1}: {problem}")])


class _Size:
    """Counts the values of a document as its events come, those that an alias stands for each time."""

    def __init__(self) -> None:
        self._open: list[tuple[str | None, int]] = []  # (anchor, values counted before it)
        self._sizes: dict[str, int] = {}
        self._count = self._documents = 0

    def take(self, event: Any) -> str | None:
        """What is wrong with the document from this event on, None as long as it is right."""
        if isinstance(event, yaml.CollectionStartEvent):
            self._open.append((event.anchor, self._count))
        if isinstance(event, yaml.CollectionEndEvent):
            anchor, before = self._open.pop()
            self._sizes |= {anchor: self._count - before} if anchor else {}
        elif isinstance(event, yaml.AliasEvent):
            if event.anchor in {anchor for anchor, _ in self._open}:
                return f"*{event.anchor} stands within itself"
            self._count += self._sizes.get(str(event.anchor), 1)
        elif isinstance(event, yaml.NodeEvent):
            self._count += 1
        self._documents += isinstance(event, yaml.DocumentStartEvent)
        return self._fault()

    def _fault(self) -> str | None:
        if self._documents > 1:
            return "a second document begins; expected one (take the --- out)"
        if len(self._open) > _DEEPEST:
            return f"nested more than {_DEEPEST} deep"
        return f"more than {_MOST} values, aliases counted each time" if self._count > _MOST else None


def _repeated(node: yaml.Node, name: str) -> Iterator[Fault]:
    """A fault for each key that a mapping has twice, with its lines."""
    if isinstance(node, yaml.SequenceNode):
        for number, item in enumerate(node.value):
            yield from _repeated(item, f"{name}.{number}" if name else str(number))
    elif isinstance(node, yaml.MappingNode):
        lines: dict[str, list[int]] = defaultdict(list)
        for key, value in node.value:
            own = f"{name}.{key.value}" if name else str(key.value)
            lines[own].append(key.start_mark.line + 1)
            yield from _repeated(value, own)
        for own, its in lines.items():
            if len(its) > 1:
                times = "twice" if len(its) == 2 else f"{len(its)} times"
                yield own, f"written {times}, in {' and '.join(f'line {line}' for line in its)}; keep one of them"


def _problem(error: yaml.YAMLError) -> str:
    """What is wrong and where, on one line."""
    mark = getattr(error, "problem_mark", None)
    text = str(getattr(error, "problem", None) or str(error).splitlines()[0])
    text += f" ({context})" if (context := getattr(error, "context", None)) else ""
    where = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
    tab = "; indent with spaces instead of tabs" if "'\\t'" in text else ""
    return f"{where}{text}{tab}"


class _Loader(yaml.SafeLoader):
    """Plain values by YAML 1.2: no dates, no octal or sexagesimal numbers; true and false alone are booleans."""

    yaml_implicit_resolvers: Any = {}  # noqa: RUF012  # the base's own, replaced whole


def _integer(loader: _Loader, node: Any) -> int:
    text = str(loader.construct_scalar(node)).replace("_", "")
    return int(text, 0) if text.lower().lstrip("+-").startswith(("0x", "0o")) else int(text)


_PLAIN: tuple[tuple[str, str, str], ...] = (
    ("null", r"~|null|Null|NULL|", "~nN"),
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("int", r"[-+]?[0-9][0-9_]*|0o[0-7]+|0x[0-9a-fA-F]+", "-+0123456789"),
    (
        "float",
        r"[-+]?(?:[0-9][0-9_]*\.[0-9_]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)",
        "-+.0123456789",
    ),
    ("merge", r"<<", "<"),
)
for _tag, _pattern, _first in _PLAIN:
    _begin = [*_first, ""] if _tag == "null" else list(_first)
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(f"^(?:{_pattern})$"), _begin)
_Loader.add_constructor("tag:yaml.org,2002:int", _integer)
