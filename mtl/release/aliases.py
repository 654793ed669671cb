"""Aliases: the seam to whoever shows champion and previous to people (MLflow), and its in-memory twin."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol


class Aliases(Protocol):
    """Names of versions of one model. They follow the journal; a person who moves `champion` is heard (`follow`).

    `synced` is the number of the journal's entry that the aliases last followed completely. With it, an alias that a
    person moved is told from one that a killed promotion never got to (`mtl.release.alias_writes`), and a journal that
    ends before that entry has lost it.
    """

    def aliases(self) -> Mapping[str, int]:
        """alias -> version."""
        ...

    def set_alias(self, alias: str, version: int | None) -> None:
        """Point `alias` at `version`; None removes it. Doing it twice is no error."""
        ...

    def synced(self) -> int | None:
        """Entry of the journal that the aliases last followed; None before the first, and after a repair."""
        ...

    def set_synced(self, seq: int | None) -> None: ...


class MemoryAliases:
    """The twin for tests and for stores without a registry."""

    def __init__(self) -> None:
        self._aliases: dict[str, int] = {}
        self._synced: int | None = None

    def aliases(self) -> Mapping[str, int]:
        return dict(self._aliases)

    def set_alias(self, alias: str, version: int | None) -> None:
        if version is None:
            self._aliases.pop(alias, None)
        else:
            self._aliases[alias] = version

    def synced(self) -> int | None:
        return self._synced

    def set_synced(self, seq: int | None) -> None:
        self._synced = seq
