"""Modes of what commands leave on the disk."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.disks import mounted

WRITE = (
    "from mtl.cli import private; private.begin(); from pathlib import Path; Path('made').touch(); Path('dir').mkdir()"
)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def begin(home: Path, code: str, folder: Path) -> None:
    environment = {**os.environ, "MTL_HOME": str(home)}
    subprocess.run([sys.executable, "-c", code], env=environment, cwd=folder, check=True, umask=0o022)


def test_files_are_made_for_their_user_alone_and_a_fresh_home_is_closed(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir(mode=0o755)
    begin(home, WRITE, tmp_path)
    assert (mode(tmp_path / "made"), mode(tmp_path / "dir"), mode(home)) == (0o600, 0o700, 0o700)


def test_a_home_of_an_earlier_version_is_closed_and_one_with_a_stack_can_be_passed(tmp_path: Path) -> None:
    home = tmp_path / ".mtl"
    (home / "store").mkdir(parents=True)
    home.chmod(0o755)
    begin(home, WRITE, tmp_path)
    assert mode(home) == 0o700
    (home / "stack").mkdir()
    home.chmod(0o755)
    begin(home, WRITE, tmp_path / ".mtl")
    assert mode(home) == 0o711


@pytest.mark.parametrize("own", [0o755, 0o1777])
def test_a_folder_that_holds_other_things_keeps_its_mode(tmp_path: Path, own: int) -> None:
    home = tmp_path / "shared"
    home.mkdir()
    (home / "somebody's").touch()
    home.chmod(own)
    begin(home, WRITE, tmp_path)
    assert mode(home) == own


def test_what_a_person_asks_for_by_name_has_the_modes_of_that_persons_files(tmp_path: Path) -> None:
    begin(
        tmp_path / "home",
        "from mtl.cli import private; from pathlib import Path; private.begin()\n"
        "with private.usual_modes(): Path('pulled').touch()\n"
        "Path('private').touch()",
        tmp_path,
    )
    assert (mode(tmp_path / "pulled"), mode(tmp_path / "private")) == (0o644, 0o600)


COMMANDS = ["prepare -c conf/demo.yaml", "models", "promote 1", "rollback", "reconcile", "stack up"]


@pytest.mark.slow
@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_says_within_seconds_that_its_home_is_read_only(tmp_path: Path, command: str) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PREFECT_", "MLFLOW_"))}
    with mounted(tmp_path / "disk", "size=1m,ro") as disk:
        done = subprocess.run(
            [sys.executable, "-m", "mtl.cli", *command.split(), "--json"],
            env={**environment, "MTL_HOME": str(disk / "home")},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert done.returncode == 1
    assert "the file system is read-only" in done.stdout.splitlines()[-1]
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("name", [b"two\nlines", b"latin \xe4"], ids=["control", "latin-1"])
def test_a_home_that_is_refused_ends_a_command_with_words(tmp_path: Path, name: bytes) -> None:
    environment = {**os.environb, b"MTL_HOME": bytes(tmp_path) + b"/" + name}
    done = subprocess.run(
        [sys.executable, "-m", "mtl.cli", "status"], env=environment, cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 2
    assert done.stderr.startswith("error: the state folder")
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []
