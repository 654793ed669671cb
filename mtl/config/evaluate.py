"""How models are measured."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from mtl.config.section import Section


class EvaluateConfig(Section):
    """Greedy generation on a held-out split."""

    split: Literal["validation", "test"] = Field("validation", description="held-out split")
    max_examples: int | None = Field(None, ge=1, description="per task: a seeded sample; empty: the whole split")
    max_new_tokens: dict[str, int] = Field(
        default_factory=dict, description="task -> limit; default data.max_target_tokens"
    )
    batch_tokens: int = Field(8192, ge=64, description="padded source tokens of one batch")
    precision: Literal["auto", "fp32", "bf16", "int8"] = Field(
        "auto", description="of generation; equal for all sides of a report; int8 with the engine ctranslate2 only"
    )
    engine: Literal["auto", "torch", "ctranslate2"] = Field(
        "auto",
        description="auto: CTranslate2 where it is installed (extra fast) and writes what transformers writes",
    )
    reader: str = Field(
        "base",
        min_length=1,
        description="who answers the questions that were written: base (the model itself, its adapter off), candidate "
        "(adapter on), none, or a folder or Hub name of a T5 or of a model with a multiple-choice head",
    )
    reader_revision: str | None = Field(None, description="commit of the reader, for a Hub name")
    reader_examples: int = Field(100, ge=1, description="examples whose questions are read, of each task that asks any")
