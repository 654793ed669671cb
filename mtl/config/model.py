"""The frozen base and its adapter."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from mtl.config.section import Section


class ModelConfig(Section):
    """Which T5 to start from."""

    base: str = Field("google/flan-t5-base", description="demo (shipped), a folder, or a Hub name")
    revision: str | None = Field(None, description="commit of a Hub name; required for Hub names")
    tokenizer: str | None = Field(None, description="folder or Hub name of the tokenizer, if it is not beside the base")


class LoraSection(Section):
    """LoRA (Hu et al. 2021) through peft; the two task tokens' embedding rows are trained beside it."""

    r: int = Field(8, ge=1, le=512, description="rank")
    alpha: int = Field(16, ge=1, description="scale is alpha / r (alpha / sqrt(r) with rslora)")
    dropout: float = Field(0.05, ge=0, lt=1, description="on the adapter's input")
    target_modules: list[str] | Literal["all-linear"] = Field(
        default=["q", "v"], description="names of the linear layers that get an adapter, or all-linear"
    )
    rslora: bool = Field(False, description="rank-stabilised scale (Kalajdzievski 2023)")
    dora: bool = Field(False, description="learn magnitude and direction apart (Liu et al. 2024); a step costs more")
