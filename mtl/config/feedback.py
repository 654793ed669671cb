"""How a configuration names what people said of answers: `uri: feedback`, or `feedback:MODEL` of another model."""

from __future__ import annotations

import re
from collections.abc import Mapping

FEEDBACK = "feedback"
_SHARE = re.compile(r"([1-9][0-9]?)%")


def is_feedback(uri: str) -> bool:
    """Whether a source is feedback. A folder of this name is `./feedback`."""
    return uri == FEEDBACK or uri.startswith(f"{FEEDBACK}:")


def model_of(uri: str) -> str:
    """The registered model whose answers people spoke of; empty for that of the configuration."""
    return uri.removeprefix(FEEDBACK).removeprefix(":")


def shares_of(files: Mapping[str, str]) -> dict[str, float]:
    """Split -> the share of what people said that `files` asks for; the rest is train. ValueError for what is none.

    {validation: feedback} asks for all of it, {validation: 20%} for the feedback on a fifth of the texts.
    """
    shares: dict[str, float] = {}
    for split, value in files.items():
        found = _SHARE.fullmatch(value)
        if split == "train" or (found is None and value != FEEDBACK):
            raise ValueError(
                f"files of feedback say how much of it is held out, such as {{validation: 20%}}, or {{validation: "
                f"{FEEDBACK}}} for all; got {{{split}: {value}}}"
            )
        shares[split] = int(found[1]) / 100 if found else 1.0
    if sum(shares.values()) > 1:
        raise ValueError(f"files of feedback ask for more than there is: {dict(files)}")
    return shares
