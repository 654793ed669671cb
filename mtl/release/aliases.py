"""Aliases: the seam to whoever shows champion and previous to people (MLflow), and its in-memory twin."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol


class Aliases(Protocol):
    """Names of versions of one model. They follow the journal and never decide anything."""

    def aliases(self) -> Mapping[str, int]:
        """alias -> version."""
        ...

    def set_alias(self, alias: str, version: int | None) -> None:
        """Point `alias` at `version`; None removes it. Doing it twice is no error."""
        ...


class MemoryAliases:
    """The twin for tests and for stores without a registry."""

    def __init__(self) -> None:
        self._aliases: dict[str, int] = {}

    def aliases(self) -> Mapping[str, int]:
        return dict(self._aliases)

    def set_alias(self, alias: str, version: int | None) -> None:
        if version is None:
            self._aliases.pop(alias, None)
        else:
            self._aliases[alias] = version
