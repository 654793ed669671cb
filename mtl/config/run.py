"""Where the work of the steps is done."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from mtl.config.section import Section


class RunConfig(Section):
    """Where the work is done. What comes out is the same, so it is part of no identity."""

    engine: Literal["local", "ray"] = Field(
        "local",
        description="Who does the work of the steps: local (this machine) or ray (the Ray cluster of RAY_ADDRESS).",
    )
