"""The OpenLineage events of a retrain: inputs are its sources and its base, the output is the version that it made.

The identifiers in other systems are facets of the run: `prefect` and `mlflow`. What the retrain knows of a data set or
version beyond the standard facets is in a facet `mtl`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import attr
from openlineage.client.event_v2 import InputDataset, Job, OutputDataset, Run, RunEvent, RunState, set_producer
from openlineage.client.facet_v2 import (
    DatasetFacet,
    InputDatasetFacet,
    RunFacet,
    dataset_version_dataset,
    error_message_run,
    input_statistics_input_dataset,
    job_type_job,
)

from mtl.layout import model_prefix
from mtl.redact import clean
from mtl.registry.code_version import package_version
from mtl.service.lineage import RunName

_HUB = "hub:"
set_producer(f"urn:mtl-retrain:{package_version()}")  # of every event and facet


@attr.define
class PrefectRunFacet(RunFacet):
    """The flow run."""

    flowRunId: str  # noqa: N815  # the case of OpenLineage's fields
    flowRunName: str | None = None  # noqa: N815
    url: str | None = None


@attr.define
class MlflowRunFacet(RunFacet):
    """The run in MLflow that holds metrics and parameters."""

    runId: str  # noqa: N815
    url: str | None = None


@attr.define
class DataFacet(DatasetFacet):
    """What a data set or version is to mtl: its task, hashes, licence."""

    values: dict[str, Any] = attr.field(factory=dict)


def source(*, task: str, uri: str, version: str | None = None, rows: int | None = None) -> InputDataset:
    """A source of rows. version: hash of its content, or the revision on the Hub."""
    space, name = place(uri)
    facets: dict[str, DatasetFacet] = {"mtl": DataFacet(values={"task": task})}
    if version:
        facets["version"] = dataset_version_dataset.DatasetVersionDatasetFacet(version)
    counted: dict[str, InputDatasetFacet] = {}
    if rows is not None:
        counted["inputStatistics"] = input_statistics_input_dataset.InputStatisticsInputDatasetFacet(rowCount=rows)
    return InputDataset(space, name, facets=facets, inputFacets=counted)


def base(*, name: str, version: str | None) -> InputDataset:
    """The base model. version: its revision on the Hub or the hash of its weights."""
    space, its = place(name if name == "demo" or Path(name).is_absolute() or version is None else f"{_HUB}{name}")
    facets: dict[str, DatasetFacet] = {"mtl": DataFacet(values={"kind": "base model"})}
    if version:
        facets["version"] = dataset_version_dataset.DatasetVersionDatasetFacet(version)
    return InputDataset(space, its, facets=facets)


def release(*, store: str, model: str, version: int, values: Mapping[str, Any]) -> OutputDataset:
    """The version. store: URI of the object store. values: what else is known of it, such as the decision."""
    space, name = place(f"{store}/{model_prefix(model)}")
    return OutputDataset(
        space,
        name,
        facets={
            "version": dataset_version_dataset.DatasetVersionDatasetFacet(f"v{version}"),
            "mtl": DataFacet(values={"kind": "release", **values}),
        },
    )


def place(uri: str) -> tuple[str, str]:
    """(namespace, name) of a source by OpenLineage's rules of naming; without passwords."""
    text = clean(uri)
    if text.startswith(_HUB):
        return "https://huggingface.co", text.removeprefix(_HUB)
    scheme, _, rest = text.partition("://")
    if scheme == "file":
        return "file", rest
    if rest:
        bucket, _, key = rest.partition("/")
        return f"{scheme}://{bucket}", key or "/"
    return ("mtl", text) if text == "demo" else ("file", str(Path(text).expanduser().absolute()))


def run_event(
    state: str,
    name: RunName,
    *,
    prefect: Mapping[str, str | None],
    mlflow: Mapping[str, str | None] | None = None,
    inputs: Sequence[InputDataset] = (),
    outputs: Sequence[OutputDataset] = (),
    error: str | None = None,
) -> RunEvent:
    """One event. state: START, RUNNING, COMPLETE or FAIL. prefect, mlflow: fields of their facets."""
    facets: dict[str, RunFacet] = {"prefect": PrefectRunFacet(**prefect)}  # type: ignore[arg-type]
    if mlflow is not None:
        facets["mlflow"] = MlflowRunFacet(**mlflow)  # type: ignore[arg-type]
    if error is not None:
        facets["errorMessage"] = error_message_run.ErrorMessageRunFacet(clean(error), "Python")
    kind = job_type_job.JobTypeJobFacet(processingType="BATCH", integration="MTL", jobType="TRAINING")
    return RunEvent(
        eventType=RunState[state],
        eventTime=datetime.now(UTC).isoformat(),
        run=Run(name.run, facets=facets),
        job=Job(name.namespace, name.job, facets={"jobType": kind}),
        inputs=list(inputs),
        outputs=list(outputs),
    )
