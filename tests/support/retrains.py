"""A retrain small enough for tests: the demo corpus, a random base of a few thousand weights, a handful of steps."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mtl.config.retrain import RetrainConfig, parse_config
from tests.support.bases import save_base


def small_values(base: Path, **train: Any) -> dict[str, Any]:
    """Plain values of the configuration; `train` replaces what its section says."""
    return {
        "name": "small",
        "seed": 3,
        "data": {
            "sources": [
                {"task": "summarize", "uri": "demo", "rows": {"train": 40, "validation": 4}},
                {"task": "mcq", "uri": "demo", "rows": {"train": 20, "validation": 4}},
            ],
            "max_input_tokens": 448,
            "max_target_tokens": 400,
            "instruction_dropout": 0.25,
        },
        "model": {"base": str(base)},
        "lora": {"r": 2, "alpha": 4, "dropout": 0.1, "target_modules": ["q", "v"]},
        "train": {
            "max_steps": 6,
            "max_tokens_per_batch": 3000,
            "gradient_accumulation_steps": 1,
            "save_steps": 2,
            "logging_steps": 1,
            "warmup_steps": 2,
            "threads": 1,
            "base_dropout": 0.1,
            "eval_share": 0.5,  # one passage of the four of each task
            **train,
        },
        "evaluate": {"max_examples": 4, "max_new_tokens": {"summarize": 16, "mcq": 16}},
        "gate": {"min_examples": 2},
    }


def small_config(folder: Path, **train: Any) -> RetrainConfig:
    """The configuration, its base saved under `folder`."""
    base = folder / "base"
    if not base.exists():
        save_base(base)
    return parse_config(small_values(base, **train))
