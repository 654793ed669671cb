"""--version, and that the commands of operations import nothing heavy before they run."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from mtl.cli.main import run
from tests.support.http import Answer, serving


def test_version_is_that_of_the_package(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--version"]) == 0
    project = tomllib.loads(Path("pyproject.toml").read_text())["project"]
    assert capsys.readouterr().out == f"mtl {project['version']}\n"


def test_status_needs_neither_prefect_nor_mlflow_nor_torch(tmp_path: Path) -> None:
    code = (
        "import os, sys; os.environ['MTL_HOME'] = sys.argv[1]; from mtl.cli.main import run; run(['status', '--json']);"
        "print([m for m in ('torch', 'prefect', 'mlflow', 'transformers') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize("command", [["deploy"], ["retrain", "-c", "demo"]], ids=" ".join)
def test_a_prefect_login_that_is_refused_is_named_before_anything_is_done(
    command: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with serving({"*": Answer(user="Basic nobody-has-it")}) as server:
        monkeypatch.setenv("MTL_HOME", str(tmp_path))
        monkeypatch.setenv("PREFECT_API_URL", f"{server.url}/api")
        monkeypatch.setenv("PREFECT_API_AUTH_STRING", "admin:battery-staple")
        assert run(command) == 1
    said = capsys.readouterr().err
    assert said.startswith("error: Prefect refuses the credentials at http://127.0.0.1")
    assert "set PREFECT_API_AUTH_STRING to user:password of the server" in said
    assert "battery-staple" not in said and "bug in mtl" not in said
