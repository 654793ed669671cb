"""mtl init: a folder to start from, and nothing overwritten."""

from __future__ import annotations

import json
import stat
import subprocess
from pathlib import Path

import pytest

from mtl.cli.main import run
from mtl.config.retrain import load_config
from mtl.settings.file import read_settings
from tests.support.paths import ALL


def test_a_new_project_has_a_right_configuration_and_a_private_settings_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "news"
    assert run(["init", str(folder), "--json"]) == 0
    files = json.loads(capsys.readouterr().out.splitlines()[-1])["files"]
    assert {Path(file).relative_to(folder).as_posix() for file in files} == {
        "mine.yaml",
        "README.md",
        ".mtl/settings.env",
    }
    assert load_config(folder / "mine.yaml").name == "mine"
    assert stat.S_IMODE((folder / ".mtl" / "settings.env").stat().st_mode) == 0o600
    assert read_settings(folder / ".mtl" / "settings.env") == {}


def test_what_is_there_is_never_overwritten(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "README.md").write_text("mine")
    assert run(["init", str(tmp_path)]) == 2
    assert "README.md exists already, and nothing was written" in capsys.readouterr().err
    assert [file.name for file in tmp_path.iterdir()] == ["README.md"]
    (tmp_path / "mine.yaml").write_text("mine")
    assert run(["init", str(tmp_path)]) == 2
    assert "README.md exist already, and nothing was written" in capsys.readouterr().err


def test_the_next_command_works_as_typed_in_a_folder_of_any_name(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["init", str(tmp_path / ALL)]) == 0
    command = capsys.readouterr().out.splitlines()[-1].removeprefix("next: ").partition(" && mtl")[0]
    done = subprocess.run(["sh", "-c", f"{command} && ls"], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["README.md", "mine.yaml"]
