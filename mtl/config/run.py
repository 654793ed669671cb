"""Where the work of the steps is done."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from mtl.config.section import Section


class RunConfig(Section):
    """Where the work is done. What comes out is the same for the same train.threads, number of trainers and kind of
    device, which the identity of a training has."""

    engine: Literal["local", "ray"] = Field(
        "local",
        description="Who does the work of the steps: local (this machine) or ray (the Ray cluster of RAY_ADDRESS).",
    )
    trainers: int = Field(
        1,
        ge=1,
        description="Processes of one training on the Ray cluster, spread over its nodes. Each takes train.threads "
        "CPUs, or 1. On one machine, MTL_TRAINER_PROCESSES says how many there are.",
    )
    gpu: bool = Field(
        False,
        description="Whether each trainer and each worker of the evaluation on the Ray cluster takes a GPU; else they "
        "see none.",
    )
