"""The short form of a retrain, for every day: a configuration by its name, and the few things that people change.

python -m flows.short demo
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any, Literal

from prefect import flow
from pydantic import Field

from flows import events, lineage
from flows.presets import file_values
from flows.retrain import run_retrain
from mtl.config.retrain import RetrainConfig, parse_config

Approval = Literal["as configured", "auto", "manual"]


@flow(
    name="retrain",
    description="Retrain, evaluate and release the multitask model.",
    validate_parameters=True,
    on_failure=[events.run_ended_badly, lineage.failed],
    on_crashed=[events.run_ended_badly, lineage.failed],
)
def retrain_short(
    configuration: Annotated[
        str,
        Field(
            description="Configuration to train: the name of a shipped one, or a file of the project.",
            json_schema_extra={"position": 0},
        ),
    ],
    steps: Annotated[
        int | None,
        Field(
            ge=1,
            description="Optimizer steps. If empty, as many as the configuration says.",
            json_schema_extra={"position": 1},
        ),
    ] = None,
    learning_rate: Annotated[
        float | None,
        Field(
            gt=0,
            le=1,
            description="Peak learning rate after warm-up. If empty, the rate that the configuration says.",
            json_schema_extra={"position": 2},
        ),
    ] = None,
    approval: Annotated[
        Approval,
        Field(
            description="auto: the gate alone decides. manual: a version that passes it waits for a person's approval.",
            json_schema_extra={"position": 3},
        ),
    ] = "as configured",
    reason: Annotated[
        str,
        Field(
            max_length=2000,
            description="Why you start this run. It is recorded with the version and shown to its approver.",
            json_schema_extra={"position": 4},
        ),
    ] = "",
) -> dict[str, Any]:
    """One retrain from data to release; the document of `mtl retrain --json`."""
    config = chosen(configuration, steps=steps, learning_rate=learning_rate, approval=approval)
    return run_retrain(config, reason=reason.strip())


def chosen(
    configuration: str,
    *,
    steps: int | None = None,
    learning_rate: float | None = None,
    approval: Approval = "as configured",
) -> RetrainConfig:
    """The configuration of that name with what the form changes in it."""
    values = file_values(configuration)
    train = dict(values.get("train") or {})
    if steps is not None:
        before = parse_config(values).train.save_steps
        train |= {"max_steps": steps, "save_steps": min(steps, before)}
    if learning_rate is not None:
        train |= {"learning_rate": learning_rate}
    gate = dict(values.get("gate") or {}) | ({} if approval == "as configured" else {"approval": approval})
    return parse_config(values | {"train": train, "gate": gate}, source=configuration)


def configurations(folder: Path, deployed: str) -> list[str]:
    """What the form offers: the deployed configuration, those of the project's folder, and the shipped ones."""
    from mtl.config.retrain import load_config
    from mtl.config.shipped import shipped
    from mtl.errors import MtlError

    def is_one(file: Path) -> bool:
        try:
            load_config(file)
        except MtlError:
            return False
        return True

    own = [file.name for file in sorted(folder.glob("*.yaml")) if is_one(file)]
    return list(dict.fromkeys([deployed, *own, *shipped()]))


if __name__ == "__main__":
    retrain_short(sys.argv[1])
