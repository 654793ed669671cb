"""What the server answers with: one model at a time, and how its version is told."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from mtl.serving.generate import Generator


@dataclass(frozen=True, slots=True)
class ServedModel:
    """A model in memory.

    version: None for a folder or a run. seq: number of the journal's entry that made it champion; None unless the
    champion is served. since: when this process began to answer with it, UTC.
    """

    name: str
    version: int | None
    seq: int | None
    since: str
    folder: Path
    generator: Generator


class ServedModels(Protocol):
    """Where the server finds the model of a request. A batch asks once and keeps what it got until it is done, so that
    no answer is of two versions."""

    def current(self) -> ServedModel: ...

    def health(self) -> Mapping[str, Any]:
        """For GET /health: model, version, seq, since, and `fault` (kind, message, version) if a newer champion could
        not be loaded or the store could not be asked, else None."""
        ...


class OneModel:
    """A model that stays: a folder, a run, or a version named by its number."""

    def __init__(self, model: ServedModel) -> None:
        self._model = model

    def current(self) -> ServedModel:
        return self._model

    def health(self) -> Mapping[str, Any]:
        model = self._model
        return {"model": model.name, "version": model.version, "seq": model.seq, "since": model.since, "fault": None}
