"""Example: one (inputs, targets) pair of text, as a model sees it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Example:
    """One training or evaluation pair.

    `uid` is unique within a data set and a function of the content alone; `meta` holds JSON values that metrics
    need and the model does not see (the request, the references).
    """

    inputs: str
    targets: str
    task: str
    uid: str
    meta: Mapping[str, Any] = field(default_factory=dict)
