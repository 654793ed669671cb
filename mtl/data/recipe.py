"""Recipe: all that decides a data set besides its rows. It goes into the fingerprint whole."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Any

from mtl.config.data import DataConfig
from mtl.task import RenderOptions
from mtl.tasks.difficulty import SCHEMES
from mtl.tasks.table import get_task

FORMAT = 2
"""Of shards and manifest; raise it when the same rows shall give other files."""

_RENDERING = (
    "requests",
    "requests_per_passage",
    "evaluation_requests",
    "long_inputs",
    "windows",
    "lead_share",
    "max_input_tokens",
)
_SETTINGS = {*_RENDERING, "instruction_dropout", "max_target_tokens", "shard_rows", "near_duplicates"}


@dataclass(frozen=True, slots=True)
class Recipe:
    """Tasks in the order of their names, and the settings that examples depend on."""

    tasks: tuple[str, ...]
    seed: int
    scheme: str
    settings: dict[str, Any]
    holdout: dict[str, float]

    def document(self) -> dict[str, Any]:
        """Plain values, for the fingerprint and the manifest."""
        held = {"holdout_by": "passage"} if self.holdout else {}  # it went by the seed once
        named = {"format": FORMAT, "seed": self.seed, "scheme": self.scheme, "holdout": self.holdout}
        return {**named, **held, **self.settings}

    def versions(self) -> dict[str, int]:
        return {name: get_task(name).version for name in self.tasks}

    def options(
        self, split: str, count: Callable[[str], int], tokens: Callable[[str], Hashable] = str
    ) -> RenderOptions:
        """How records of a split are rendered."""
        return RenderOptions(
            seed=self.seed,
            training=split == "train",
            instruction_dropout=self.settings["instruction_dropout"],
            max_target_tokens=self.settings["max_target_tokens"],
            count=count,
            tokens=tokens,
            options={"scheme": self.scheme, **{name: self.settings[name] for name in _RENDERING}},
        )


def recipe(config: DataConfig, seed: int) -> Recipe:
    """The recipe of a configuration. NotFoundError for a task that nobody wrote."""
    tasks = tuple(sorted({get_task(source.task).name for source in config.sources}))
    settings = config.model_dump(mode="json", include=_SETTINGS)
    return Recipe(tasks, seed, _scheme(config.difficulty), settings, {str(k): v for k, v in config.holdout.items()})


def _scheme(name: str) -> str:
    """The version in force of a named scheme."""
    return next(scheme for scheme in SCHEMES if scheme.rpartition("-")[0] == name)
