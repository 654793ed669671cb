"""RetrainConfig and how it is read from YAML."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError, model_validator

from mtl.config.data import DataConfig
from mtl.config.document import read_document
from mtl.config.evaluate import EvaluateConfig
from mtl.config.gate import RENAMED as RENAMED_OF_GATE
from mtl.config.gate import GateConfig
from mtl.config.model import LoraSection, ModelConfig
from mtl.config.register import RegisterConfig
from mtl.config.run import RunConfig
from mtl.config.section import Section
from mtl.config.shipped import find_config
from mtl.config.train import RENAMED as RENAMED_OF_TRAIN
from mtl.config.train import TrainConfig
from mtl.config.watch import WatchConfig
from mtl.errors import ConfigError, did_you_mean

_RENAMED = {"gate": RENAMED_OF_GATE, "train": RENAMED_OF_TRAIN}
"""Section -> former names of its fields."""
_LONGEST = 100
"""Characters of a value in an error."""


class RetrainConfig(Section):
    """Everything a retrain depends on; also the parameter of the deployed flow."""

    name: str = Field(
        "retrain",
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$",
        description="Name of this configuration, by which people find its runs.",
    )
    seed: int = Field(17, ge=0, lt=2**31, description="Seed of sampling, rendering, initialization and dropout.")
    data: DataConfig = Field(description="Sources of the rows, and how they become examples.")
    model: ModelConfig = Field(ModelConfig(), description="The frozen base model.")
    lora: LoraSection = Field(LoraSection(), description="The LoRA adapter.")
    train: TrainConfig = Field(TrainConfig(), description="How the adapter is trained.")
    evaluate: EvaluateConfig = Field(EvaluateConfig(), description="How a version is measured.")
    gate: GateConfig = Field(GateConfig(), description="When a version becomes champion.")
    register_: RegisterConfig = Field(RegisterConfig(), alias="register", description="Where versions are recorded.")
    run: RunConfig = Field(RunConfig(), description="Where the work is done.")
    watch: WatchConfig = Field(WatchConfig(), description="What is watched after a promotion.")

    @model_validator(mode="before")
    @classmethod
    def _gate_of_its_tasks(cls, values: Any) -> Any:
        """The default of gate.metrics names tasks that a version must be judged on: only those that have a source."""
        gate = values.get("gate", {}) if isinstance(values, dict) else None
        if not isinstance(gate, dict) or "metrics" in gate:
            return values
        tasks, default = _tasks_of(values.get("data")), GateConfig().metrics
        kept = {task: metric for task, metric in default.items() if task in tasks}
        return values if not tasks or kept == default else values | {"gate": gate | {"metrics": kept}}

    @model_validator(mode="after")
    def _check(self) -> RetrainConfig:
        if self.train.save_steps > self.train.max_steps:
            raise ValueError(f"train.save_steps {self.train.save_steps} is over train.max_steps {self.train.max_steps}")
        if self.train.early_stopping_patience is not None and self.train.eval_steps is None:
            raise ValueError(
                "train.early_stopping_patience needs train.eval_steps: nothing is measured that could get worse"
            )
        if any(self.gate.traffic_guard.values()) and not self.evaluate.traffic_examples:
            raise ValueError(
                "gate.traffic_guard needs evaluate.traffic_examples: no logged text is evaluated that could guard"
            )
        task = self.train.metric_for_best_model.removeprefix("loss").removeprefix("/")
        if task and task not in (known := sorted({source.task for source in self.data.sources})):
            metric = self.train.metric_for_best_model
            raise ValueError(f"train.metric_for_best_model {metric} is of no task; {did_you_mean(task, known)}")
        return self

    @model_validator(mode="after")
    def _own_feedback(self) -> RetrainConfig:
        """`uri: feedback` means what people said of this configuration's model, which only the whole knows."""
        object.__setattr__(self, "data", self.data.with_model(self.register_.model))
        return self


def _tasks_of(data: Any) -> set[str]:
    """Tasks of the sources in plain values, however wrong these are."""
    if isinstance(data, DataConfig):
        return {source.task for source in data.sources}
    sources = data.get("sources") if isinstance(data, dict) else None
    found = [source.get("task") for source in sources if isinstance(source, dict)] if isinstance(sources, list) else []
    return {task for task in found if isinstance(task, str)}


def load_config(path: Path) -> RetrainConfig:
    """The configuration in a YAML file, or the shipped one of that name.

    All faults are reported at once, each with its field and the value got.
    """
    path = find_config(path)
    return parse_config(read_document(path), source=str(path))


def parse_config(values: Any, *, source: str = "configuration") -> RetrainConfig:
    """RetrainConfig from plain values (mapping of sections)."""
    if not isinstance(values, dict):
        raise ConfigError(source, [("(file)", f"expected a mapping of sections, got {type(values).__name__}")])
    try:
        return RetrainConfig.model_validate(values)
    except ValidationError as error:
        raise ConfigError(source, [_fault(item) for item in error.errors()]) from None


def _fault(item: Any) -> tuple[str, str]:
    """(field, problem) of one pydantic error, with a suggestion for an unknown key."""
    location = tuple(item["loc"])
    name = ".".join(str(part) for part in location) or "(configuration)"
    if item["type"] == "extra_forbidden":
        former = _RENAMED.get(location[0], {}) if len(location) == 2 else {}
        if location[-1] in former:
            return name, f"this key is now called {former[location[-1]]}"
        return name, f"unknown key; {did_you_mean(str(location[-1]), _keys_at(location[:-1]))}"
    message = item["msg"].removeprefix("Value error, ")
    got = "" if item["type"] in ("missing", "value_error") else f", got {_shown(item['input'])}"
    quotes = "; put it in quotes" if item["type"] == "string_type" and isinstance(item["input"], (int, float)) else ""
    return name, message[:1].lower() + message[1:] + got + quotes


def _shown(value: Any) -> str:
    """A value in an error, cut where it is long."""
    try:
        text = repr(value)
    except (ValueError, RecursionError):
        text = f"a {type(value).__name__} that is too large to print"
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."


def _keys_at(location: tuple[Any, ...]) -> list[str]:
    """Known keys of the section at `location`."""
    section: Any = RetrainConfig
    for part in location:
        if isinstance(part, int):
            continue
        fields = {info.alias or name: info for name, info in section.model_fields.items()}
        annotation = fields[part].annotation
        arguments = getattr(annotation, "__args__", ())
        section = next((a for a in arguments if isinstance(a, type) and issubclass(a, Section)), annotation)
    return [info.alias or name for name, info in section.model_fields.items()]
