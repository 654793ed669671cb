"""The frozen base and its adapter."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from mtl.config.section import Section


class ModelConfig(Section):
    """Which T5 to start from."""

    base: str = Field("google/flan-t5-base", description="The base model: demo (shipped), a folder, or a Hub name.")
    revision: str | None = Field(None, description="Commit of the base. Required if it is a Hub name.")
    tokenizer: str | None = Field(
        None, description="Folder or Hub name of the tokenizer. If empty, the one beside the base."
    )


class LoraSection(Section):
    """LoRA (Hu et al. 2021) through peft; the two task tokens' embedding rows are trained beside it."""

    r: int = Field(
        8,
        ge=1,
        le=512,
        description="Rank of the adapter. 8 to 32 is usual; a higher rank learns more and needs more data.",
    )
    alpha: int = Field(
        16,
        ge=1,
        description="The adapter's output is scaled by alpha / r (alpha / sqrt(r) with rslora). Twice r is usual.",
    )
    dropout: float = Field(0.05, ge=0, lt=1, description="Dropout applied to the adapter's input.")
    target_modules: list[str] | Literal["all-linear"] = Field(
        default=["q", "v"], description="Names of the linear layers that get an adapter, or all-linear."
    )
    rslora: bool = Field(False, description="Rank-stabilized scale (Kalajdzievski 2023), for high ranks.")
    dora: bool = Field(
        False, description="Train magnitude and direction apart (DoRA, Liu et al. 2024). Each step takes longer."
    )
