"""Where a model is recorded."""

from __future__ import annotations

from pydantic import Field

from mtl.config.section import Section


class RegisterConfig(Section):
    """Where the model is recorded."""

    model: str = Field("mtl-flan-t5", pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", description="registered model")
    experiment: str = Field("mtl-retrain", min_length=1, description="MLflow experiment")
    merged: bool = Field(
        False, description="add the merged model to each release (merged/), for consumers without peft; large"
    )
    licences: dict[str, str] = Field(
        default_factory=dict, description="base or source uri -> its licence, for the model card; some are known"
    )
