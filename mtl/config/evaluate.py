"""How models are measured."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from mtl.config.section import Section


class EvaluateConfig(Section):
    """Greedy generation on a held-out split."""

    split: Literal["validation", "test"] = Field(
        "validation", description="The held-out split that versions are evaluated on."
    )
    max_examples: int | None = Field(
        None, ge=1, description="Number of examples of each task: a seeded sample. If empty, the whole split."
    )
    max_new_tokens: dict[str, int] = Field(
        default_factory=dict, description="Longest answer in tokens, by task. The default is data.max_target_tokens."
    )
    batch_tokens: int = Field(
        8192, ge=64, description="Source tokens of one batch, padding included. Lower it if memory runs out."
    )
    precision: Literal["auto", "fp32", "bf16", "int8"] = Field(
        "auto",
        description="Number format of generation, for all models of a report. int8 needs the engine ctranslate2.",
    )
    engine: Literal["auto", "torch", "ctranslate2"] = Field(
        "auto",
        description="What generates the answers. auto is CTranslate2 where it is installed (the extra `fast`) and "
        "writes the same as transformers, else torch.",
    )
    reader: str = Field(
        "base",
        min_length=1,
        description="The model that answers the generated questions, to see whether their keys are right: base (the "
        "model without its adapter), candidate (with it), none, or a folder or Hub name of a T5 or of a model with a "
        "multiple-choice head.",
    )
    reader_revision: str | None = Field(None, description="Commit of the reader. Required if it is a Hub name.")
    reader_examples: int | None = Field(
        None,
        ge=1,
        description="Number of examples of each task whose questions are answered by the reader: a seeded sample. If "
        "empty, all that are evaluated.",
    )
