"""ModelRegistry: what a registry of model versions must do.

`mtl.mlflow_backend.registry` does it with MLflow, `mtl.registry.memory` in memory; one contract suite runs on both.
Another registry is one more class with these methods.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol

from mtl.decision import Decision
from mtl.release.aliases import Aliases

CANDIDATE = "candidate"
"""Alias of the newest version."""


@dataclass(frozen=True, slots=True)
class Registered:
    """A version, and whether this call made it; otherwise it was there from an earlier run of the same identity."""

    version: int
    created: bool
    removed: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class VersionInfo:
    """One line of `mtl models`."""

    version: int
    aliases: tuple[str, ...]
    identity: str
    fingerprint: str
    decision: str
    decision_by: str
    reasons: tuple[str, ...]
    created: str
    run_id: str
    metrics: Mapping[str, float]
    tags: Mapping[str, str]
    description: str = ""


class ModelRegistry(Aliases, Protocol):
    """Versions of one registered model. Errors of all methods: TransientError, PermanentError, NotFoundError."""

    @property
    def model(self) -> str: ...

    def register(
        self,
        run_id: str,
        folder: Path,
        *,
        identity: str,
        fingerprint: str,
        code_version: str,
        tags: Mapping[str, str] | None = None,
    ) -> Registered:
        """The version of this identity and adapter: the one that is there, or a new one, which becomes `candidate`.

        Errors: also InputError or DamageError if `folder` is no trained adapter.
        """

    def find(self, identity: str) -> int | None:
        """The newest version of an identity, None if it has none."""

    def version_of_run(self, run_id: str) -> int | None:
        """The lowest version that a run made, None if it made none."""

    def record_decision(self, version: int, decision: Decision, *, until: datetime | None = None) -> None:
        """Keep the decision with the version. until: when the waiting for a person ends."""

    def decision(self, version: int) -> Decision | None:
        """The recorded decision about a version; None if there is none. One whose waiting ended is unanswered."""

    def set_tags(self, version: int, tags: Mapping[str, str]) -> None:
        """Set tags of a version; one without a value is removed."""

    def describe(self, version: int, text: str) -> None:
        """Make `text` (Markdown) a version's description."""

    def version(self, version: int) -> VersionInfo:
        """All about one version."""

    def versions(self, *, limit: int = 50) -> list[VersionInfo]:
        """The newest versions, newest first."""
