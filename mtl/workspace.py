"""Workspace: the settings, object store, tracker and registry of this process, opened once at its edge.

A command, a step of a flow or a test opens one and passes it down:

    workspace = open_workspace()
    prepare(workspace, config)

MLflow takes seconds to import, so that tracker and registry are opened when they are first asked for.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from mtl import layout
from mtl.registry.base import ModelRegistry
from mtl.settings import Settings, load_settings
from mtl.store.base import ObjectStore
from mtl.store.open import open_store
from mtl.tracking.base import Tracker


@dataclass(frozen=True)
class Workspace:
    """open_tracker, open_registry: of this workspace; called at most once, and once for each model."""

    settings: Settings
    store: ObjectStore
    open_tracker: Callable[[], Tracker]
    open_registry: Callable[[Workspace, str], ModelRegistry]

    @property
    def cache(self) -> Path:
        """Local copies of objects; safe to delete."""
        return self.settings.cache

    @cached_property
    def tracker(self) -> Tracker:
        return self.open_tracker()

    def registry(self, model: str) -> ModelRegistry:
        """The versions of one registered model."""
        return self.open_registry(self, model)


def open_workspace(settings: Settings | None = None, *, store: ObjectStore | None = None) -> Workspace:
    """The workspace of the environment, or of `settings`; with another `store` than theirs, if given."""
    found = settings or load_settings()

    def tracker() -> Tracker:
        from mtl.mlflow_backend.tracker import MlflowTracker

        return MlflowTracker(found.tracking_uri, artifact_root=layout.home_mlflow_artifacts(found.home).as_uri())

    def registry(workspace: Workspace, model: str) -> ModelRegistry:
        from mtl.mlflow_backend.registry import MlflowRegistry
        from mtl.mlflow_backend.tracker import MlflowTracker

        tracking = workspace.tracker
        assert isinstance(tracking, MlflowTracker), "MLflow's registry belongs to MLflow's tracker"
        return MlflowRegistry(tracking, model)

    return Workspace(found, store or open_store(found.store), tracker, registry)
