"""Recipe: all that decides a data set besides its rows. It goes into the fingerprint whole."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from mtl.config.data import DataConfig
from mtl.data.tokens import Encoder
from mtl.task import RenderOptions
from mtl.tasks.difficulty import SCHEMES
from mtl.tasks.table import get_task

FORMAT = 1
"""Of shards and manifest; raise it when the same rows shall give other files."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """Tasks in the order of their names, and the settings that examples depend on."""

    tasks: tuple[str, ...]
    seed: int
    scheme: str
    settings: dict[str, Any]
    holdout: dict[str, float]
    encoder: Encoder

    def document(self) -> dict[str, Any]:
        """Plain values, for the fingerprint and the manifest."""
        return {"format": FORMAT, "seed": self.seed, "scheme": self.scheme, "holdout": self.holdout, **self.settings}

    def versions(self) -> dict[str, int]:
        return {name: get_task(name).version for name in self.tasks}

    def options(self, split: str) -> RenderOptions:
        """How records of a split are rendered."""
        names = ("requests", "requests_per_passage", "evaluation_requests")
        return RenderOptions(
            seed=self.seed,
            training=split == "train",
            instruction_dropout=self.settings["instruction_dropout"],
            max_target_tokens=self.settings["max_target_tokens"],
            count=self.encoder.count,
            options={"scheme": self.scheme, **{name: self.settings[name] for name in names}},
        )


def recipe(config: DataConfig, seed: int, encoder: Encoder) -> Recipe:
    """The recipe of a configuration. NotFoundError for a task that nobody wrote."""
    tasks = tuple(sorted({get_task(source.task).name for source in config.sources}))
    names = {"instruction_dropout", "max_input_tokens", "max_target_tokens", "requests", "requests_per_passage"}
    settings = config.model_dump(mode="json", include=names | {"evaluation_requests", "shard_rows"})
    return Recipe(
        tasks, seed, _scheme(config.difficulty), settings, {str(k): v for k, v in config.holdout.items()}, encoder
    )


def _scheme(name: str) -> str:
    """The version in force of a named scheme."""
    return next(scheme for scheme in SCHEMES if scheme.rpartition("-")[0] == name)
