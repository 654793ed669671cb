"""MetricBuffer: metrics of a training run on disk first, in MLflow when it answers.

Training must not stop because MLflow did, and a resumed run measures steps again that are already logged. So each
step is a line of JSON in the run's work folder, and `flush` sends only what MLflow lacks. A line carries a check; one
that rotted is left out, with a warning.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Mapping
from pathlib import Path

from mtl.errors import DamageError
from mtl.seal import seal, unseal
from mtl.tracking.base import Point, Tracker

_log = logging.getLogger(__name__)


class MetricBuffer:
    """Metrics by step, kept in one append-only file (`path`); a last line cut off by a kill is dropped."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._points: dict[tuple[str, int], Point] = {}
        self._sent: set[tuple[str, int]] = set()
        self._asked: set[str] = set()
        self._run = ""
        self._read()

    def __len__(self) -> int:
        return len(self._points)

    def append(self, step: int, values: Mapping[str, float]) -> None:
        """Keep the values of `step`; a (step, name) that is here already keeps its first value and time."""
        now = int(time.time() * 1000)
        new = {name: float(value) for name, value in values.items() if (name, step) not in self._points}
        if not new:
            return
        # NaN is no JSON: it is written as text, and comes back as NaN
        line = {"step": step, "time": now, "values": {k: v if math.isfinite(v) else str(v) for k, v in new.items()}}
        with self._path.open("ab") as file:
            file.write(seal(line) + b"\n")
        self._add(step, now, new)

    def flush(self, tracker: Tracker, run_id: str) -> int:
        """Send what the run lacks, in order of steps; how many values that was. Another run than last time lacks all.

        Raises TransientError while MLflow is away; the values stay here. A batch whose answer was lost is sent again
        with the same times, which MLflow's database takes as the same points.
        """
        if run_id != self._run:
            self._run, self._sent, self._asked = run_id, set(), set()
        for name in {name for name, _ in self._points} - self._asked:
            self._sent.update((name, step) for step in tracker.logged_steps(run_id, name))
            self._asked.add(name)
        due = {key: point for key, point in self._points.items() if key not in self._sent}
        points = sorted(due.values(), key=lambda point: (point.step, point.name))
        tracker.log_points(run_id, points)
        self._sent.update(due)
        return len(points)

    def discard(self) -> None:
        """Forget the file: MLflow has all of it, and the run is over."""
        self._path.unlink(missing_ok=True)

    def _add(self, step: int, now: int, values: Mapping[str, float]) -> None:
        for name, value in values.items():
            self._points.setdefault((name, step), Point(name, value, now, step))

    def _read(self) -> None:
        if not self._path.exists():
            self._path.parent.mkdir(parents=True, exist_ok=True)
            return
        data = self._path.read_bytes()
        whole = data[: data.rfind(b"\n") + 1]
        if len(whole) < len(data):
            with self._path.open("r+b") as file:
                file.truncate(len(whole))
        for number, line in enumerate(whole.split(b"\n")[:-1], start=1):
            try:
                entry = unseal(line, f"line {number} of {self._path}", hint="these metrics are lost", unsealed=True)
                values = {name: float(value) for name, value in entry["values"].items()}
                self._add(int(entry["step"]), int(entry["time"]), values)
            except (DamageError, KeyError, ValueError, TypeError, AttributeError) as error:
                _log.warning("metrics of a step are left out: %s", error)
