"""MemoryTracker: the tracker for tests and for steps without a server, in dicts; the same contract as MLflow's."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mtl.errors import NotFoundError
from mtl.tracking.base import NOTE, Point, flatten


@dataclass
class _Run:
    experiment: str
    status: str = "RUNNING"
    params: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    points: dict[str, list[Point]] = field(default_factory=dict)
    artifacts: dict[str, bytes] = field(default_factory=dict)
    datasets: list[str] = field(default_factory=list)


class MemoryTracker:
    """Runs in dicts. Tests look into `runs`: run id -> run."""

    def __init__(self) -> None:
        self.runs: dict[str, _Run] = {}

    def experiment(self, name: str) -> str:
        return name

    def check_experiment(self, name: str) -> None:
        """No experiment of this tracker was ever deleted."""

    def find_run(self, identity: str, *, experiment: str) -> str | None:
        for run_id, run in self.runs.items():
            if (run.tags["identity"], run.experiment) == (identity, experiment):
                return run_id
        return None

    def run_for(
        self, identity: str, *, experiment: str, name: str | None = None, tags: Mapping[str, str] | None = None
    ) -> str:
        run_id = self.find_run(identity, experiment=experiment)
        if run_id is None:
            run_id = f"run-{len(self.runs) + 1}"
            self.runs[run_id] = _Run(experiment, tags={"identity": identity})
        run = self._get(run_id)
        run.status = "RUNNING"
        described = {NOTE} & run.tags.keys()  # perhaps by a person
        self.set_tags(run_id, {name: its for name, its in (tags or {}).items() if name not in described})
        return run_id

    def log_params(self, run_id: str, params: Mapping[str, Any]) -> list[str]:
        known = self._get(run_id).params
        wanted = {name: _text(value) for name, value in flatten(params).items()}
        return sorted(name for name, value in wanted.items() if known.setdefault(name, value) != value)

    def log_metrics(self, run_id: str, metrics: Mapping[str, float], *, step: int = 0) -> None:
        points, now = self._get(run_id).points, int(time.time() * 1000)
        new = [Point(name, float(value), now, step) for name, value in metrics.items()]
        self.log_points(run_id, [p for p in new if p.name not in points or points[p.name][-1].value != p.value])

    def log_points(self, run_id: str, points: Sequence[Point]) -> None:
        known = self._get(run_id).points
        for point in points:
            its = known.setdefault(point.name, [])
            if point not in its:
                its.append(point)

    def logged_steps(self, run_id: str, metric: str) -> set[int]:
        return {point.step for point in self._get(run_id).points.get(metric, ())}

    def history(self, run_id: str) -> dict[str, list[tuple[int, float]]]:
        found = self._get(run_id).points
        return {name: sorted((point.step, point.value) for point in points) for name, points in found.items()}

    def log_dataset(
        self, run_id: str, *, name: str, fingerprint: str, uri: str, profile: Mapping[str, Any], context: str = "train"
    ) -> None:
        known = self._get(run_id).datasets
        if fingerprint not in known:
            known.append(fingerprint)

    def log_folder(self, run_id: str, folder: Path, path: str) -> None:
        files = {file.relative_to(folder).as_posix(): file for file in folder.rglob("*") if file.is_file()}
        self._get(run_id).artifacts |= {f"{path}/{name}": file.read_bytes() for name, file in files.items()}

    def log_text(self, run_id: str, text: str, path: str) -> None:
        self._get(run_id).artifacts[path] = text.encode()

    def set_tags(self, run_id: str, tags: Mapping[str, str]) -> None:
        self._get(run_id).tags |= {name: value for name, value in tags.items() if value}

    def run_tags(self, run_id: str) -> dict[str, str]:
        return dict(self._get(run_id).tags)

    def experiment_of(self, run_id: str) -> str:
        return self._get(run_id).experiment

    def finish(self, run_id: str, *, status: str = "FINISHED") -> None:
        self._get(run_id).status = status

    def _get(self, run_id: str) -> _Run:
        try:
            return self.runs[run_id]
        except KeyError:
            raise NotFoundError(f"there is no run {run_id!r} in memory") from None


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, sort_keys=True, default=str)
