"""--version, and that the commands of operations import nothing heavy before they run."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from mtl.cli.main import run


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
