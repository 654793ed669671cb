"""Two of the same at once, from nothing: one embedded database, one training, one version."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from mtl.errors import PermanentError
from mtl.mlflow_backend.schema import make_database, schema
from mtl.mlflow_backend.tracker import MlflowTracker
from mtl.store.scratch import scratch
from tests.support.bases import save_base
from tests.support.retrains import small_values

pytestmark = pytest.mark.timeout(400)
MAKE = (
    "import sys; from mtl.mlflow_backend.schema import make_database\n"
    "print('ready', flush=True); make_database(sys.argv[1])"
)


def start(command: list[str], home: Path) -> subprocess.Popen[str]:
    """A process with a home of its own and no server."""
    other = ("MTL_", "PREFECT_", "MLFLOW_", "AWS_")
    plain = {name: value for name, value in os.environ.items() if not name.startswith(other)}
    environment = {**plain, "MTL_HOME": str(home), "OMP_NUM_THREADS": "1"}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen([sys.executable, *command], env=environment, text=True, **pipes)  # type: ignore[call-overload]


def ended(process: subprocess.Popen[str]) -> tuple[int, dict[str, Any]]:
    """Exit code and document."""
    said, complaints = process.communicate(timeout=300)
    assert said, complaints[-3000:]
    return process.returncode, json.loads(said.splitlines()[-1])


@pytest.mark.slow
def test_two_retrains_of_one_configuration_make_one_version(tmp_path: Path) -> None:
    save_base(tmp_path / "base")
    conf = tmp_path / "conf.yaml"
    conf.write_text(yaml.safe_dump(small_values(tmp_path / "base", max_steps=12)))
    command = ["-m", "mtl.cli", "retrain", "-c", str(conf), "--json"]
    both = [start(command, tmp_path / "home") for _ in range(2)]
    results = sorted((ended(process) for process in both), key=lambda result: result[0])
    (code, first), (other, second) = results
    assert (code, first["version"]) == (0, 1)
    if other:  # it was training too when the first one took the run over
        assert (other, second["error"]["kind"]) == (75, "fenced")
    else:  # it came when the training was done
        assert second["train"]["adapter_sha256"] == first["train"]["adapter_sha256"]
    _, listed = ended(start(["-m", "mtl.cli", "models", "--json"], tmp_path / "home"))
    assert [version["version"] for version in listed["versions"]] == [1]


@pytest.mark.slow
def test_the_embedded_database_is_whole_or_not_there(tmp_path: Path) -> None:
    """Made by three processes at once, one of them killed before it is done."""
    path = tmp_path / "mlflow.db"
    makers = [start(["-c", MAKE, f"sqlite:///{path}"], tmp_path) for _ in range(3)]
    victim = makers[0]
    assert victim.stdout is not None
    victim.stdout.readline()
    while not list(tmp_path.glob(".mlflow.db.*")):
        time.sleep(0.01)
    victim.kill()
    assert [maker.wait(timeout=200) for maker in makers[1:]] == [0, 0]
    found, expected = schema(f"sqlite:///{path}")
    assert found == expected
    assert MlflowTracker(f"sqlite:///{path}", artifact_root=str(tmp_path)).experiment("one") == "1"


def test_what_a_killed_maker_left_is_cleared_away_and_a_living_ones_is_not(tmp_path: Path) -> None:
    """However old a clock says that it is."""
    made = tmp_path / ".mlflow.db.made"
    with scratch(made) as living:
        abandoned = made / "work-0123"
        abandoned.mkdir()
        os.utime(living, (0, 0))
        make_database(f"sqlite:///{tmp_path / 'mlflow.db'}")
        assert not abandoned.exists()
        assert living.exists()


def test_a_file_that_is_no_database_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "mlflow.db"
    path.write_bytes(b"somebody's")
    with pytest.raises(PermanentError, match="file is not a database"):
        MlflowTracker(f"sqlite:///{path}")
    assert path.read_bytes() == b"somebody's"
    assert list(tmp_path.iterdir()) == [path]
