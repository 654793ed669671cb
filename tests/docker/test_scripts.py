"""The scripts that the containers start with, run here: secrets from files, and a worker that is stopped."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

SCRIPTS = Path("docker").resolve()


def with_secrets(folder: Path, *command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    env = {"PATH": os.environ["PATH"], "MTL_SECRETS": str(folder), **environment}
    return subprocess.run(
        [str(SCRIPTS / "with-secrets.sh"), *command], env=env, capture_output=True, text=True, check=False
    )


def test_files_become_variables_unless_those_are_set(tmp_path: Path) -> None:
    values = {
        "PGPASSWORD": "a'b $HOME `id`\n",
        "AWS_SECRET_ACCESS_KEY": "file",
        "MTL_NOTIFY_SLACK": "",
        "SET_EMPTY": "x",
    }
    for name, text in values.items():
        (tmp_path / name).write_text(text)
    for other in ("ca.pem", "lower", "A;id"):
        (tmp_path / other).write_text("no variable")
    (tmp_path / "KUBERNETES").mkdir()
    done = with_secrets(tmp_path, "env", AWS_SECRET_ACCESS_KEY="environment", SET_EMPTY="")
    assert done.stderr == ""
    found = dict(line.split("=", 1) for line in done.stdout.splitlines())
    assert {name: found.get(name) for name in values} == {
        "PGPASSWORD": "a'b $HOME `id`",
        "AWS_SECRET_ACCESS_KEY": "environment",
        "MTL_NOTIFY_SLACK": None,
        "SET_EMPTY": "x",
    }
    assert not {"lower", "KUBERNETES", "ca.pem"} & set(found)


def test_without_secrets_the_program_starts_all_the_same(tmp_path: Path) -> None:
    assert with_secrets(tmp_path / "none", "echo", "started").stdout == "started\n"
    assert with_secrets(tmp_path, "sh", "-c", "exit 7").returncode == 7


RUN = """#!/bin/sh
trap 'sleep 1; echo saved >> log; exit 143' TERM
echo running >> log
while :; do sleep 0.1; done
"""
PREFECT = """#!/bin/sh
echo "prefect $*" >> log
trap 'echo worker ended >> log; exit' TERM INT
./run &
./run &
while wait; do :; done
"""


@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGINT])
def test_a_worker_that_is_stopped_ends_after_its_runs_have_saved(tmp_path: Path, stop: signal.Signals) -> None:
    """`mtl` and `prefect` are stand-ins here; docs/log.md has the figures of real containers."""
    for name, text in {"mtl": '#!/bin/sh\necho "mtl $*" >> log\n', "prefect": PREFECT, "run": RUN}.items():
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    log = tmp_path / "log"
    environment = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "MTL_WORKER_NAME": "worker"}
    worker = subprocess.Popen([str(SCRIPTS / "worker.sh")], cwd=tmp_path, env=environment, stdout=subprocess.PIPE)
    deadline = time.monotonic() + 20
    while not log.exists() or log.read_text().count("running") < 2:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    worker.send_signal(stop)
    output, _ = worker.communicate(timeout=30)
    assert worker.returncode == 143
    assert b"2 processes of runs" in output
    lines = log.read_text().splitlines()
    assert lines[:2] == ["mtl doctor", "mtl deploy"]
    assert lines[2] == "prefect worker start --pool mtl --type process --name worker --with-healthcheck"
    assert lines[3:] == ["running", "running", "saved", "saved"]


def test_a_worker_does_not_start_while_there_is_a_fault(tmp_path: Path) -> None:
    for name, text in {"mtl": "#!/bin/sh\nexit 1\n", "prefect": "#!/bin/sh\necho started\n"}.items():
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    done = subprocess.run(
        [str(SCRIPTS / "worker.sh")], env={"PATH": f"{tmp_path}:{os.environ['PATH']}"}, capture_output=True, check=False
    )
    assert (done.returncode, done.stdout) == (1, b"")
