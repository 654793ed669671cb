"""The wheel alone, in an environment and a folder outside the clone: what a user without the repository has."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[1]
Mtl = Callable[..., dict[str, Any]]


PIP = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    subprocess.run([*PIP, "wheel", "--no-deps", "--wheel-dir", str(folder), str(ROOT)], check=True)
    return next(folder.glob("*.whl"))


@pytest.fixture(scope="module")
def mtl(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Mtl:
    """Runs a command of the installed wheel in an empty folder; its document."""
    home = tmp_path_factory.mktemp("wheel")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(home / "venv")], check=True)
    python = home / "venv" / "bin" / "python"
    subprocess.run([*PIP, "--python", str(python), "install", "--no-deps", str(wheel)], check=True)
    # The other packages are those of this environment; as a plain path, so that its editable install is not seen.
    packages = Path(sysconfig.get_path("purelib", vars={"base": str(home / "venv"), "platbase": str(home / "venv")}))
    (packages / "other.pth").write_text(sysconfig.get_path("purelib") + "\n")
    work = home / "work"
    work.mkdir()
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("MTL_", "PREFECT_", "PYTHON"))}

    def run(*arguments: str) -> dict[str, Any]:
        command = [str(python.with_name("mtl")), *arguments, "--json"]
        done = subprocess.run(command, cwd=work, env=clean, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
        document: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        return document | {"cwd": work}

    where = subprocess.run(
        [str(python), "-c", "import mtl; print(mtl.__file__)"], cwd=work, env=clean, capture_output=True, text=True
    )
    assert where.stdout.startswith(str(home)), "the clone is tested instead of the wheel"
    return run


def test_a_project_is_written_and_the_demo_prepared(mtl: Mtl) -> None:
    written = mtl("init", "news")
    assert {Path(file).name for file in written["files"]} == {"mine.yaml", "README.md", "settings.env"}
    assert mtl("prepare", "-c", "demo")["counts"]["mcq"]["train"]["examples"] > 0
    assert mtl("doctor", "-c", "demo")["ok"] is True


def test_it_carries_its_licence_and_its_types(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        (metadata,) = (archive.read(name).decode() for name in names if name.endswith(".dist-info/METADATA"))
    assert {"mtl/py.typed", "flows/py.typed"} <= set(names)
    assert any(name.endswith("licenses/LICENSE") for name in names)
    assert "License-Expression: Apache-2.0" in metadata.splitlines()
