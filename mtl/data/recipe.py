"""Recipe: all that decides a data set besides its rows. It goes into the fingerprint whole."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Any

from mtl.config.data import DataConfig
from mtl.task import RenderOptions
from mtl.tasks.table import OPTIONS_IN_EVERY_RECIPE, get_task

FORMAT = 2
"""Of shards and manifest; raise it when the same rows shall give other files."""

_SETTINGS = {"max_input_tokens", "max_target_tokens", "instruction_dropout", "shard_rows", "near_duplicates"}


@dataclass(frozen=True, slots=True)
class Recipe:
    """Tasks in the order of their names, and the settings that examples depend on. options: those of the tasks."""

    tasks: tuple[str, ...]
    seed: int
    options: dict[str, Any]
    settings: dict[str, Any]
    holdout: dict[str, float]

    def document(self) -> dict[str, Any]:
        """Plain values, for the fingerprint and the manifest."""
        held = {"holdout_by": "passage"} if self.holdout else {}  # it went by the seed once
        named = {"format": FORMAT, "seed": self.seed, "holdout": self.holdout}
        return {**named, **held, **self.options, **self.settings}

    @property
    def scheme(self) -> str:
        """Version of the rule by which questions get their difficulty, for the manifest."""
        return str(self.options.get("scheme", ""))

    def versions(self) -> dict[str, int]:
        return {name: get_task(name).version for name in self.tasks}

    def render_options(
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
            options={**self.options, "max_input_tokens": self.settings["max_input_tokens"]},
        )


def recipe(config: DataConfig, seed: int) -> Recipe:
    """The recipe of a configuration. NotFoundError for a task that nobody wrote."""
    tasks = tuple(sorted({get_task(source.task).name for source in config.sources}))
    values = config.model_dump(mode="json")
    options: dict[str, Any] = {}
    for task in map(get_task, dict.fromkeys([*OPTIONS_IN_EVERY_RECIPE, *tasks])):
        options |= task.settle({option.name: values[option.name] for option in task.options})
    settings = {name: values[name] for name in sorted(_SETTINGS)}
    return Recipe(tasks, seed, options, settings, {str(k): v for k, v in config.holdout.items()})
