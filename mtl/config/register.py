"""Where a model is recorded."""

from __future__ import annotations

from pydantic import Field

from mtl.config.section import Section


class RegisterConfig(Section):
    """Where the model is recorded."""

    model: str = Field(
        "mtl-flan-t5", pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", description="Name of the registered model."
    )
    experiment: str = Field("mtl-retrain", min_length=1, description="MLflow experiment of the runs.")
    merged: bool = Field(
        False,
        description="Add the merged model, as large as the base, to each release, for consumers without peft.",
    )
    require_signature: bool = Field(
        False,
        description="Refuse to publish a release without a signing key, and to promote one without a valid signature.",
    )
    licences: dict[str, str] = Field(
        default_factory=dict,
        description="Licence of the base or of a source, by its uri, for the model card. Some are built in.",
    )
