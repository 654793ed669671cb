"""How a configuration names what people said of answers: `uri: feedback`, or `feedback:MODEL` of another model."""

from __future__ import annotations

FEEDBACK = "feedback"


def is_feedback(uri: str) -> bool:
    """Whether a source is feedback. A folder of this name is `./feedback`."""
    return uri == FEEDBACK or uri.startswith(f"{FEEDBACK}:")


def model_of(uri: str) -> str:
    """The registered model whose answers people spoke of; empty for that of the configuration."""
    return uri.removeprefix(FEEDBACK).removeprefix(":")
