"""Preparation alone: the data set of a configuration, and what is in it."""

from __future__ import annotations

from typing import Any

from prefect import flow

from flows import events
from mtl.config.retrain import RetrainConfig
from mtl.pipeline.prepare import prepare as prepare_dataset
from mtl.workspace import open_workspace


@flow(
    name="prepare",
    description="Prepare the data set.",
    validate_parameters=True,
    on_failure=[events.run_ended_badly],
    on_crashed=[events.run_ended_badly],
)
def prepare(config: RetrainConfig) -> dict[str, Any]:
    """The manifest of the data set; `run.engine` says where the work is done."""
    return prepare_dataset(open_workspace(), config).to_json()
