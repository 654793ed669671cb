"""How models are measured."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from mtl.config.section import Section
from mtl.decoding import MOST_BEAMS, MOST_CANDIDATES, MOST_PENALTY, Decoding
from mtl.errors import InputError


class EvaluateConfig(Section):
    """Generation on a held-out split, greedy unless beams or candidates are asked for."""

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
        description="What generates the answers. auto is CTranslate2 on a CPU where it is installed and "
        "writes the same as transformers, else torch.",
    )
    candidates: int = Field(
        1,
        ge=1,
        le=MOST_CANDIDATES,
        description="Number of answers to draw for each text of a task with questions. The answer that is measured "
        "consists of the questions whose key the base confirms. Above 1, reader must be another model or none.",
    )
    num_beams: int = Field(1, ge=1, le=MOST_BEAMS, description="Number of beams of beam search. 1 is greedy decoding.")
    length_penalty: float = Field(
        1.0,
        ge=-MOST_PENALTY,
        le=MOST_PENALTY,
        description="With beam search, the score of a beam is divided by its length to this power.",
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

    traffic_examples: int | None = Field(
        None,
        ge=0,
        description="Number of logged texts of each task that candidate and champion answer too: a seeded sample of "
        "the request log of mtl serve. They have no references, so only metrics that need none are measured. If empty "
        "or 0, none.",
    )
    traffic_days: int = Field(
        7, ge=1, le=366, description="With traffic_examples, the days before the evaluation whose texts are taken."
    )

    def decoding(self) -> Decoding:
        """How the answers are generated."""
        return Decoding(num_beams=self.num_beams, length_penalty=self.length_penalty, candidates=self.candidates)

    @model_validator(mode="after")
    def _check(self) -> EvaluateConfig:
        try:
            self.decoding()
        except InputError as error:
            raise ValueError(f"{error.message}; {error.hint}" if error.hint else error.message) from None
        if self.candidates > 1 and self.reader in _CHOOSING:
            raise ValueError(
                f"evaluate.candidates is {self.candidates} and evaluate.reader is {self.reader}: the base chooses the "
                "questions, so measuring them with the same weights proves nothing; set evaluate.reader to another "
                "model (a folder or a Hub name) or to none, or leave evaluate.candidates at 1"
            )
        return self


_CHOOSING = ("base", "candidate")
"""Readers whose weights are those of the reader that chooses among candidates."""
