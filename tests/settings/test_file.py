"""Settings from files: what the settings file of MTL_HOME and mounted secrets give, and what is refused."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

from mtl.cli.main import run
from mtl.errors import ConfigError, InputError
from mtl.settings.file import apply_settings_file, read_settings
from tests.support.accounts import as_nobody
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


def test_the_lines_of_the_how_to_on_certificates_are_taken(tmp_path: Path) -> None:
    page = Path(__file__).parents[2] / "docs" / "how-to" / "proxies-and-certificates.md"
    block = next(text for text in re.findall(r"```sh\n(.*?)```", page.read_text(), re.S) if "CA_BUNDLE" in text)
    lines = [line.removeprefix("export ") for line in block.splitlines() if line.startswith("export ")]
    given = read_settings(write(tmp_path, "\n".join(lines) + "\n"))
    assert given == dict.fromkeys(("AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE", "SSL_CERT_FILE"), "/etc/ssl/certs/inside.pem")


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
        ("MTL_NOTIFY_EMIAL=a@example.org\n", "Unknown setting MTL_NOTIFY_EMIAL; did you mean 'MTL_NOTIFY_EMAIL'"),
        ("MTL_ACTOR\n", "'MTL_ACTOR' has no value"),
        ("MTL_HOME=/elsewhere\n", "MTL_HOME decides where this file is"),
    ],
)
def test_what_is_no_setting_is_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(InputError, match=r"settings\.env") as caught:
        read_settings(write(tmp_path, text))
    assert message in caught.value.message


def test_all_faults_of_a_file_are_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"settings\.env: 2 faults") as caught:
        read_settings(write(tmp_path, "MTL_NOTIFY_EMIAL=a@example.org\nMTL_HOEM=/x\n"))
    assert [field for field, _ in caught.value.faults] == ["MTL_NOTIFY_EMIAL", "MTL_HOEM"]


def test_a_file_that_others_can_read_stops_every_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = write(tmp_path, "MTL_ACTOR=file\n", mode=0o644)
    monkeypatch.setenv("MTL_HOME", str(tmp_path))
    assert run(["status"]) == 2
    assert f"chmod 600 {file}" in capsys.readouterr().err


def test_mounted_secrets_go_before_the_settings_file_and_the_environment_before_both(tmp_path: Path) -> None:
    """Empty is unset, in a file as in the environment; compose passes on what is unset as an empty text."""
    secrets = tmp_path / "secrets"
    secrets.mkdir()
    for name, text in {
        "MTL_NOTIFY_SECRET": "mounted $x\n",
        "MTL_NOTIFY_SLACK": "",
        "MLFLOW_TRACKING_PASSWORD": "mounted",
        "AWS_SECRET_ACCESS_KEY": "mounted",
        "PGPASSWORD": "of another program",
    }.items():
        (secrets / name).write_text(text)
    write(tmp_path, "MTL_NOTIFY_SECRET=file\nMTL_NOTIFY_SLACK=https://file.example.org\n")
    given = {"MTL_HOME": str(tmp_path), "MTL_SECRETS": str(secrets)}
    environ = given | {"MLFLOW_TRACKING_PASSWORD": "environment", "AWS_SECRET_ACCESS_KEY": ""}
    apply_settings_file(environ)
    assert environ == given | {
        "MTL_NOTIFY_SECRET": "mounted $x",
        "MTL_NOTIFY_SLACK": "https://file.example.org",
        "MLFLOW_TRACKING_PASSWORD": "environment",
        "AWS_SECRET_ACCESS_KEY": "mounted",
    }


def test_a_secret_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "MTL_NOTIFY_SECRET").write_bytes(b"\xff")
    with pytest.raises(InputError, match=r"MTL_NOTIFY_SECRET cannot be read") as caught:
        apply_settings_file({"MTL_HOME": str(tmp_path), "MTL_SECRETS": str(tmp_path)})
    assert f"user {os.getuid()} may read" in (caught.value.hint or "")


def test_another_users_state_folder_is_named_with_what_to_do(tmp_path: Path) -> None:
    """The user may not even look whether there is a settings file."""
    code = "import sys; from mtl.cli.main import run; sys.exit(run(['status']))"
    home = tmp_path / "home"
    home.mkdir(mode=0o700)
    done = as_nobody(code, MTL_HOME=str(home))
    assert done.returncode == 1
    assert f"permission denied: {home}/settings.env" in done.stderr
    assert "set MTL_HOME and MTL_STORE to folders that it may write to" in done.stderr


def test_the_command_that_closes_a_file_works_as_typed_in_a_home_of_any_name(tmp_path: Path) -> None:
    file = tmp_path / ALL / "settings.env"
    file.parent.mkdir()
    file.write_text("MTL_COST_PER_HOUR=1\n")
    file.chmod(0o644)
    with pytest.raises(InputError) as caught:
        read_settings(file)
    subprocess.run(["sh", "-c", str(caught.value.hint)], check=True)
    assert read_settings(file) == {"MTL_COST_PER_HOUR": "1"}
