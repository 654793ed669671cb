"""With --json every error of every command is one JSON document, last on standard output."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from mtl.cli.main import app, run


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MTL_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("MTL_STORE", raising=False)
    return tmp_path / "home"


def commands(found: Any, names: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for name, command in getattr(found, "commands", {}).items():
        yield (*names, name)
        yield from commands(command, (*names, name))


COMMANDS = list(commands(typer.main.get_command(app)))


@pytest.mark.parametrize("names", COMMANDS, ids=" ".join)
def test_a_wrong_command_line_is_an_error_document(names: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    assert run([*names, "--no-such-option", "--json"]) == 2
    document = json.loads(capsys.readouterr().out)
    assert document["error"]["kind"] == "input"
    assert "No such option" in document["error"]["message"]
    assert "mtl --help" in document["error"]["hint"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["train"], "Missing option '--config'"),
        (["promote"], "Missing argument 'version'"),
        (["nosuch"], "No such command 'nosuch'"),
        (["generate", "--easy", "-1"], "Invalid value for '--easy'"),
        (["serve", "--port", "x"], "Invalid value for '--port'"),
        (["checkpoints", "lst"], "No such command 'lst'"),
    ],
)
def test_what_is_missing_or_wrong_is_said(arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run([*arguments, "--json"]) == 2
    assert said in json.loads(capsys.readouterr().out)["error"]["message"]


def test_an_unforeseen_error_is_a_document_without_secrets_and_its_traceback_goes_to_standard_error(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "pw-of-mlflow")

    def broken(name: str) -> None:
        raise RuntimeError(f"{name} pw-of-mlflow caf\udce9")

    monkeypatch.setattr("mtl.cli.releases.models", broken)
    assert run(["models", "--json"]) == 1
    captured = capsys.readouterr()
    (line,) = captured.out.splitlines()
    error = json.loads(line)["error"]
    assert (error["kind"], error["field"]) == ("internal", None)
    assert error["message"] == "RuntimeError: mtl-flan-t5 *** caf\udce9"
    assert "Traceback (most recent call last)" in captured.err and "in broken" in captured.err
    assert "pw-of-mlflow" not in captured.out + captured.err
    assert run(["models"]) == 1
    captured = capsys.readouterr()
    assert captured.out == "" and "error: RuntimeError: mtl-flan-t5" in captured.err


def test_a_result_that_is_no_json_is_an_error_document(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mtl.cli.releases.models", lambda name: {"versions": [float("nan")]})
    assert run(["models", "--json"]) == 1
    (line,) = capsys.readouterr().out.splitlines()
    assert json.loads(line)["error"]["kind"] == "internal"


@pytest.mark.parametrize("stop", [KeyboardInterrupt(), SystemExit("a library gave up")], ids=["interrupt", "exit"])
def test_what_ends_a_command_from_within_is_an_error_document(
    stop: BaseException, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopped(name: str) -> None:
        raise stop

    monkeypatch.setattr("mtl.cli.releases.models", stopped)
    interrupted = isinstance(stop, KeyboardInterrupt)
    assert run(["models", "--json"]) == (130 if interrupted else 1)
    error = json.loads(capsys.readouterr().out)["error"]
    assert error["kind"] == ("interrupted" if interrupted else "internal")


def mtl(*arguments: str, **environment: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "mtl.cli", *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=os.environ | environment,
    )


def test_ctrl_c_of_a_command_that_runs_is_an_error_document(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.yaml")
    usual = signal.signal(signal.SIGINT, signal.default_int_handler)  # in a shell's background it is ignored, inherited
    command = mtl("prepare", "-c", str(tmp_path / "pipe.yaml"), "--json")
    signal.signal(signal.SIGINT, usual)
    try:
        with (tmp_path / "pipe.yaml").open("wb"):  # opens once the command reads it, and so waits
            time.sleep(0.2)
            command.send_signal(signal.SIGINT)
            out, _ = command.communicate(timeout=60)
    finally:
        command.kill()
        command.wait()
    assert command.returncode == 130
    assert json.loads(out)["error"]["kind"] == "interrupted"


@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
def test_names_that_are_not_utf8_and_narrow_terminals_break_no_document(tmp_path: Path, encoding: str) -> None:
    command = mtl("pull", "champion", "--json", "--name", "caf\udce9 é", PYTHONIOENCODING=encoding)
    out, _ = command.communicate(timeout=60)
    assert json.loads(out)["error"]["kind"] == "input"
    command = mtl("train", "-c", f"{tmp_path}/caf\udce9 é.yaml", "--json", PYTHONIOENCODING=encoding)
    out, _ = command.communicate(timeout=60)
    assert (command.returncode, json.loads(out)["error"]["kind"]) == (2, "not_found")
    assert "caf\udce9 é.yaml" in json.loads(out)["error"]["message"]


def test_a_reader_that_goes_away_sees_no_traceback() -> None:
    command = mtl("status", "--json")
    assert command.stdout is not None and command.stderr is not None
    command.stdout.close()
    err = command.stderr.read()
    command.wait(timeout=120)
    assert command.returncode == 1
    assert b"Traceback" not in err and b"BrokenPipe" not in err
