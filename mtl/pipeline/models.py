"""The models that the steps measure and release: that of a run, and the champion, as folders on this machine."""

from __future__ import annotations

import contextlib
from pathlib import Path

from mtl.config.retrain import RetrainConfig
from mtl.errors import TransientError
from mtl.pipeline.promote import follow_aliases
from mtl.release.journal import read_journal
from mtl.release.refs import resolve_ref
from mtl.tasks.table import in_order
from mtl.training.result import TrainedModel
from mtl.workspace import Workspace


def task_names(config: RetrainConfig) -> list[str]:
    """Names of the configuration's tasks in the order of data sets and tokens."""
    return in_order(source.task for source in config.data.sources)


def model_folder(workspace: Workspace, config: RetrainConfig, trained: TrainedModel) -> Path:
    """The model that a finished run made. Errors: as `mtl.training.export.export_model`."""
    from mtl.training.export import export_model  # torch takes seconds to import

    return export_model(
        config,
        task_names(config),
        workspace.store,
        identity=trained.identity,
        adapter_sha256=str(trained.adapter_sha256),
        cache=workspace.cache,
    )


def champion_version(workspace: Workspace, model: str) -> int | None:
    """The champion's version; None where there is none yet. An alias that a person moved counts."""
    with contextlib.suppress(TransientError):  # MLflow is away: the journal alone says who is champion
        follow_aliases(workspace, model)
    return read_journal(workspace.store, model).champion


def champion_model(workspace: Workspace, model: str) -> tuple[int, Path] | None:
    """(version, folder) of the champion; None where there is none yet."""
    version = champion_version(workspace, model)
    if version is None:
        return None
    found = resolve_ref(f"v{version}", store=workspace.store, model=model, cache=workspace.cache)
    return version, found.folder
