"""The settings file of MTL_HOME: what it gives, and what it refuses."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from mtl.cli.main import run
from mtl.errors import InputError
from mtl.settings_file import apply_settings_file, read_settings
from tests.support.paths import ALL


def write(home: Path, text: str, *, mode: int = 0o600) -> Path:
    file = home / "settings.env"
    file.write_text(text)
    file.chmod(mode)
    return file


def test_the_environment_goes_before_the_file(tmp_path: Path) -> None:
    write(
        tmp_path,
        "# who is told\nMTL_NOTIFY_URL='https://example.org/a b'\nexport MTL_COST_PER_HOUR=2.5\nMTL_ACTOR=file\n",
    )
    environ = {"MTL_HOME": str(tmp_path), "MTL_ACTOR": "shell"}
    apply_settings_file(environ)
    assert environ == {
        "MTL_HOME": str(tmp_path),
        "MTL_ACTOR": "shell",
        "MTL_NOTIFY_URL": "https://example.org/a b",
        "MTL_COST_PER_HOUR": "2.5",
    }


def test_without_a_file_nothing_changes(tmp_path: Path) -> None:
    environ = {"MTL_HOME": str(tmp_path)}
    apply_settings_file(environ)
    assert environ == {"MTL_HOME": str(tmp_path)}


def test_values_are_taken_as_they_stand(tmp_path: Path) -> None:
    """A password with a dollar sign is no reference to another variable."""
    assert read_settings(write(tmp_path, "MTL_NOTIFY_SECRET='a${HOME}$b#c'\n")) == {"MTL_NOTIFY_SECRET": "a${HOME}$b#c"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("MTL_NOTIFY_EMIAL=a@example.org\n", "MTL_NOTIFY_EMIAL is no setting; did you mean 'MTL_NOTIFY_EMAIL'"),
        ("MTL_ACTOR\n", "'MTL_ACTOR' has no value"),
        ("MTL_HOME=/elsewhere\n", "MTL_HOME decides where this file is"),
    ],
)
def test_what_is_no_setting_is_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(InputError, match=r"settings\.env") as caught:
        read_settings(write(tmp_path, text))
    assert message in caught.value.message


def test_a_file_that_others_can_read_stops_every_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = write(tmp_path, "MTL_ACTOR=file\n", mode=0o644)
    monkeypatch.setenv("MTL_HOME", str(tmp_path))
    assert run(["status"]) == 2
    assert f"chmod 600 {file}" in capsys.readouterr().err


def test_the_command_that_closes_a_file_works_as_typed_in_a_home_of_any_name(tmp_path: Path) -> None:
    file = tmp_path / ALL / "settings.env"
    file.parent.mkdir()
    file.write_text("MTL_COST_PER_HOUR=1\n")
    file.chmod(0o644)
    with pytest.raises(InputError) as caught:
        read_settings(file)
    subprocess.run(["sh", "-c", str(caught.value.hint)], check=True)
    assert read_settings(file) == {"MTL_COST_PER_HOUR": "1"}
