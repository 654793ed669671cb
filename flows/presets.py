"""Presets: configurations as parameters of deployments. A build step of flows/prefect.yaml."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mtl.config.document import read_document
from mtl.config.retrain import load_config, parse_config
from mtl.config.shipped import find_config

Values = dict[str, Any]


def presets(demo: str, chosen: str) -> dict[str, Any]:
    """demo and chosen as they stand in their files; `full` trains twice as long, `examined` measures the test split.

    rolls_back: whether the policy of a rollback is switched on.
    """
    values, config = file_values(chosen), load_config(Path(chosen))
    return {
        "demo": file_values(demo),
        "chosen": values,
        "full": _with(values, "train", max_steps=2 * config.train.max_steps),
        "examined": _with(values, "evaluate", split="test"),
        "rolls_back": config.watch.rollback.enabled,
    }


def file_values(path: str) -> Values:
    """What the file says, once it is known to be right."""
    load_config(Path(path))
    values: Values = read_document(find_config(Path(path)))
    return values


def _with(values: Values, section: str, **changes: Any) -> Values:
    changed = {**values, section: {**values.get(section, {}), **changes}}
    parse_config(changed)
    return changed
