"""Parameter: a value that people may give to a task, in a request or in the configuration, and what it must be."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

_WORDS = {bool: "true or false", int: "a whole number", float: "a number", str: "a text"}


@dataclass(frozen=True, slots=True)
class Parameter:
    """default: its value where nothing is given; the type of the default is that of the parameter.

    low, high: range of a number, with its ends unless `open`; None where that end is open. choices: of a text; empty
    if it may be any. parts: of a section of the configuration, which has no default of its own. check: value -> what
    is wrong with it, None if nothing is; for what the other fields cannot say.
    """

    name: str
    description: str
    default: bool | int | float | str | None = None
    low: float | None = None
    high: float | None = None
    open: bool = False
    choices: tuple[str, ...] = ()
    parts: tuple[Parameter, ...] = ()
    check: Callable[[Mapping[str, Any]], str | None] | None = None

    @property
    def kind(self) -> type[Any]:
        return type(self.default)

    @property
    def expected(self) -> str:
        """What it must be, in words."""
        if self.choices:
            return f"one of {', '.join(self.choices)}"
        words = _WORDS[self.kind]
        if self.low is None and self.high is None:
            return words
        words += ", the ends excluded," if self.open else ""
        if self.high is None:
            return f"{words} from {self.low} on"
        return f"{words} up to {self.high}" if self.low is None else f"{words} from {self.low} to {self.high}"

    def allows(self, value: Any) -> bool:
        """Whether a value is of its type (a whole number is a number too) and within its range or choices."""
        wanted = (int, float) if self.kind is float else self.kind
        if not isinstance(value, wanted) or isinstance(value, bool) != (self.kind is bool):
            return False
        if self.choices:
            return value in self.choices
        if self.kind not in (int, float):
            return True
        if self.open and value in (self.low, self.high):
            return False
        return (self.low is None or value >= self.low) and (self.high is None or value <= self.high)
