"""What a tracker of runs must do: `mtl.mlflow_backend.tracker` does it with MLflow, `mtl.tracking.memory` in memory.

Every method may be repeated: a retried or resumed retrain repeats its calls. One contract suite runs on both
(tests/tracking/test_contract.py).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

NOTE = "mlflow.note.content"
"""Tag of a run that MLflow's page shows as its description, which is Markdown."""


@dataclass(frozen=True, slots=True)
class Point:
    """One measured value. timestamp: milliseconds since 1970."""

    name: str
    value: float
    timestamp: int
    step: int


class Tracker(Protocol):
    """Runs with their parameters, metrics, tags and artifacts.

    Errors of all methods: TransientError where trying again may help, else PermanentError or one of its kinds.
    """

    def experiment(self, name: str) -> str:
        """Id of the experiment, created if missing."""

    def check_experiment(self, name: str) -> None:
        """Nothing is made. Errors: InputError, as of `experiment`, for one that was deleted."""

    def find_run(self, identity: str, *, experiment: str) -> str | None:
        """Id of the run with this identity; None if there is none."""

    def run_for(
        self, identity: str, *, experiment: str, name: str | None = None, tags: Mapping[str, str] | None = None
    ) -> str:
        """Id of the one run of `identity`, which is RUNNING afterwards: looked for first, created only if missing."""

    def log_params(self, run_id: str, params: Mapping[str, Any]) -> list[str]:
        """Log the parameters (nested mappings become dotted names) that the run lacks; names whose value differs."""

    def log_metrics(self, run_id: str, metrics: Mapping[str, float], *, step: int = 0) -> None:
        """Log values, except those whose newest value is the same already."""

    def log_points(self, run_id: str, points: Sequence[Point]) -> None:
        """Log measured points as they are. A point logged again with its own time is no new one."""

    def logged_steps(self, run_id: str, metric: str) -> set[int]:
        """Steps at which the run has a value of `metric`."""

    def history(self, run_id: str) -> dict[str, list[tuple[int, float]]]:
        """All values of each metric: (step, value), in order of steps."""

    def log_dataset(
        self, run_id: str, *, name: str, fingerprint: str, uri: str, profile: Mapping[str, Any], context: str = "train"
    ) -> None:
        """Record the data set as the run's input."""

    def log_folder(self, run_id: str, folder: Path, path: str) -> None:
        """Upload all files of a folder to `path` among the run's artifacts (again: overwrites)."""

    def log_text(self, run_id: str, text: str, path: str) -> None:
        """Upload `text` as the file `path` among the run's artifacts (again: overwrites)."""

    def set_tags(self, run_id: str, tags: Mapping[str, str]) -> None:
        """Set the tags that have a value."""

    def run_tags(self, run_id: str) -> dict[str, str]:
        """Tags of a run, its description (`mlflow.note.content`) and its user (`mlflow.user`) among them."""

    def experiment_of(self, run_id: str) -> str:
        """Id of the experiment that a run belongs to."""

    def finish(self, run_id: str, *, status: str = "FINISHED") -> None:
        """Close the run: FINISHED, FAILED or KILLED. `run_for` opens it again."""


def flatten(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """{"a": {"b": 1}} -> {"a.b": 1}; lists stay whole."""
    flat: dict[str, Any] = {}
    for name, value in values.items():
        path = f"{prefix}{name}"
        if isinstance(value, Mapping) and value:
            flat.update(flatten(value, f"{path}."))
        else:
            flat[path] = value
    return flat
