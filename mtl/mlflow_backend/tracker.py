"""MlflowTracker: the few things this project records in MLflow, each safe to do twice.

A retried or resumed retrain repeats its calls; MLflow itself would open a second run, double a metric's history and
refuse a parameter. Only `MlflowClient` is used, never the fluent API, whose active run and address are global.
"""

from __future__ import annotations

import json
import math
import time
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mlflow.entities import Dataset, DatasetInput, Experiment, InputTag, Metric, Param, Run, RunTag, ViewType
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from mtl.errors import PermanentError
from mtl.mlflow_backend.faults import PatientClient, mlflow_errors
from mtl.mlflow_backend.schema import make_database
from mtl.tracking.address import deleted_experiment, redact
from mtl.tracking.base import NOTE, Point, flatten

_PARAMS_A_CALL = 100
METRICS_A_CALL = 1000
_LONGEST_VALUE = 5000
_LONGEST_DIGEST = 36  # MLflow's column; the whole fingerprint stands in the source and in the run's tags


class MlflowTracker:
    """Runs of one MLflow server or database.

    uri: MLFLOW_TRACKING_URI. artifact_root: where new experiments keep artifacts when no server decides that
    (SQLite: MLflow would take ./mlruns of the working folder).
    Every method raises TransientError where trying again may help, else PermanentError or one of its kinds.
    """

    def __init__(self, uri: str, *, artifact_root: str | None = None) -> None:
        self.uri = uri
        self._artifact_root = None if uri.startswith(("http://", "https://")) else artifact_root
        with mlflow_errors(f"open {redact(uri)}"):
            make_database(uri)
            self.client: Any = PatientClient(MlflowClient(tracking_uri=uri, registry_uri=uri))

    def __repr__(self) -> str:
        return f"MlflowTracker({redact(self.uri)!r})"

    def experiment(self, name: str) -> str:
        """Id of the experiment, created if missing; safe when several processes do it at once."""
        with mlflow_errors(f"open experiment {name!r}"):
            found = self._experiment(name) or self._create_experiment(name)
            return str(found.experiment_id)

    def check_experiment(self, name: str) -> None:
        """Nothing is made. Errors: InputError, as of `experiment`, for one that was deleted."""
        with mlflow_errors(f"look for experiment {name!r}"):
            self._experiment(name)

    def _experiment(self, name: str) -> Experiment | None:
        found: Experiment | None = self.client.get_experiment_by_name(name)
        if found is not None and found.lifecycle_stage != "active":
            raise deleted_experiment(name, str(found.experiment_id), uri=self.uri)
        return found

    def _create_experiment(self, name: str) -> Experiment:
        root = f"{self._artifact_root.rstrip('/')}/{uuid.uuid4().hex}" if self._artifact_root else None
        try:
            made: Experiment = self.client.get_experiment(self.client.create_experiment(name, artifact_location=root))
            return made
        except MlflowException as error:
            winner: Experiment | None = self.client.get_experiment_by_name(name)
            if error.error_code != "RESOURCE_ALREADY_EXISTS" or winner is None:
                raise
            return winner

    def find_run(self, identity: str, *, experiment: str) -> str | None:
        """Id of the run with this identity: the oldest, so that all who look agree."""
        with mlflow_errors(f"look for run {identity[:12]}"):
            found = self.client.get_experiment_by_name(experiment)
            runs = self._runs(identity, str(found.experiment_id)) if found else []
            return str(runs[0].info.run_id) if runs else None

    def run_for(
        self, identity: str, *, experiment: str, name: str | None = None, tags: Mapping[str, str] | None = None
    ) -> str:
        """Id of the one run of `identity`, set to RUNNING: looked for first, created only if missing.

        Of runs created at once, or twice because an answer was lost, the oldest stays and one's own others go.
        """
        with mlflow_errors(f"open a run for {identity[:12]}"):
            experiment_id = self.experiment(experiment)
            runs = self._runs(identity, experiment_id) or self._create_run(identity, experiment_id, name=name)
            run = runs[0]
            if run.info.status != "RUNNING":
                self.client.update_run(run.info.run_id, status="RUNNING")
            described = {NOTE} & run.data.tags.keys()  # perhaps by a person
            self.set_tags(run.info.run_id, {name: its for name, its in (tags or {}).items() if name not in described})
            return str(run.info.run_id)

    def _create_run(self, identity: str, experiment_id: str, *, name: str | None) -> list[Run]:
        write_id = uuid.uuid4().hex
        tags = {"identity": identity, "write_id": write_id}
        self.client.create_run(experiment_id, tags=tags, run_name=name or f"retrain-{identity[:12]}")
        runs = self._runs(identity, experiment_id)
        for run in runs[1:]:
            if run.data.tags.get("write_id") == write_id:
                self.client.delete_run(run.info.run_id)
        return runs

    def _runs(self, identity: str, experiment_id: str) -> list[Run]:
        found = self.client.search_runs(
            [experiment_id],
            filter_string=f"tags.identity = '{_quotable(identity)}'",
            run_view_type=ViewType.ACTIVE_ONLY,
            max_results=50,
        )
        return sorted(found, key=lambda run: (run.info.start_time, run.info.run_id))

    def log_params(self, run_id: str, params: Mapping[str, Any]) -> list[str]:
        """Log the parameters (nested mappings become dotted names) that the run lacks.

        Returns the names whose recorded value differs: MLflow keeps the first value for ever, and so does this.
        """
        wanted = {name: _text(value) for name, value in flatten(params).items()}
        with mlflow_errors("log parameters"):
            known = self.client.get_run(run_id).data.params
            missing = [Param(name, value) for name, value in wanted.items() if name not in known]
            for start in range(0, len(missing), _PARAMS_A_CALL):
                self.client.log_batch(run_id, params=missing[start : start + _PARAMS_A_CALL])
        return sorted(name for name, value in wanted.items() if name in known and known[name] != value)

    def log_metrics(self, run_id: str, metrics: Mapping[str, float], *, step: int = 0) -> None:
        """Log values, nested names with `/`, except those whose newest value is the same already."""
        with mlflow_errors("log metrics"):
            known = self.client.get_run(run_id).data.metrics
            now = int(time.time() * 1000)
            new = [
                Point(name, float(value), now, step)
                for name, value in metrics.items()
                if not _same(known.get(name), float(value))
            ]
            self.log_points(run_id, new)

    def log_points(self, run_id: str, points: Sequence[Point]) -> None:
        """Log measured points as they are, a thousand a call. A point logged again with its own time is no new one."""
        metrics = [Metric(point.name, point.value, point.timestamp, point.step) for point in points]
        with mlflow_errors("log metrics"):
            for start in range(0, len(metrics), METRICS_A_CALL):
                self.client.log_batch(run_id, metrics=metrics[start : start + METRICS_A_CALL])

    def logged_steps(self, run_id: str, metric: str) -> set[int]:
        """Steps at which the run has a value of `metric`."""
        with mlflow_errors(f"read the history of {metric}"):
            return {point.step for point in self.client.get_metric_history(run_id, metric)}

    def history(self, run_id: str) -> dict[str, list[tuple[int, float]]]:
        """All values of each metric: (step, value), in order of steps."""
        with mlflow_errors("read the metrics"):
            names = self.client.get_run(run_id).data.metrics
            points = {name: self.client.get_metric_history(run_id, name) for name in names}
        return {name: sorted((point.step, point.value) for point in found) for name, found in points.items()}

    def log_dataset(
        self, run_id: str, *, name: str, fingerprint: str, uri: str, profile: Mapping[str, Any], context: str = "train"
    ) -> None:
        """Record the data set as the run's input: digest is the fingerprint (as much as MLflow holds of it)."""
        dataset = Dataset(
            name=name,
            digest=fingerprint[:_LONGEST_DIGEST],
            source_type="object_store",
            source=json.dumps({"uri": redact(uri), "fingerprint": fingerprint}),
            profile=json.dumps(profile, sort_keys=True),
        )
        with mlflow_errors("log the data set"):
            self.client.log_inputs(run_id, [DatasetInput(dataset, [InputTag("mlflow.data.context", context)])])

    def log_folder(self, run_id: str, folder: Path, path: str) -> None:
        """Upload all files of a folder to `path` among the run's artifacts (again: overwrites)."""
        with mlflow_errors(f"upload {path}"):
            self.client.log_artifacts(run_id, str(folder), path)

    def log_text(self, run_id: str, text: str, path: str) -> None:
        with mlflow_errors(f"upload {path}"):
            self.client.log_text(run_id, text, path)

    def set_tags(self, run_id: str, tags: Mapping[str, str]) -> None:
        with mlflow_errors("set tags"):
            kept = [RunTag(name, _text(value)) for name, value in tags.items() if value]
            if kept:
                self.client.log_batch(run_id, tags=kept)

    def run_tags(self, run_id: str) -> dict[str, str]:
        """Tags of a run, its description (`mlflow.note.content`) and its user (`mlflow.user`) among them."""
        with mlflow_errors("read the tags of a run"):
            return dict(self.client.get_run(run_id).data.tags)

    def experiment_of(self, run_id: str) -> str:
        """Id of the experiment that a run belongs to."""
        with mlflow_errors("look for the experiment of a run"):
            return str(self.client.get_run(run_id).info.experiment_id)

    def finish(self, run_id: str, *, status: str = "FINISHED") -> None:
        """Close the run: FINISHED, FAILED or KILLED. `run_for` opens it again."""
        with mlflow_errors("close the run"):
            self.client.set_terminated(run_id, status=status)


def _text(value: Any) -> str:
    """The value as MLflow keeps it: text, without credentials, no longer than its column."""
    text = value if isinstance(value, str) else json.dumps(value, sort_keys=True, default=str)
    return redact(text)[:_LONGEST_VALUE]


def _same(known: float | None, value: float) -> bool:
    return known is not None and (known == value or (math.isnan(known) and math.isnan(value)))


def _quotable(identity: str) -> str:
    if not identity.replace("-", "").isalnum():
        raise PermanentError(f"an identity is letters, digits and dashes, got {identity!r}")
    return identity
