"""Progress where there is no terminal: a line for each tenth, none for every step."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path

import pytest

from mtl.cli import terminal
from mtl.cli.terminal import progress_bars
from mtl.errors import InputError
from mtl.progress import report


def test_pipes_get_a_line_a_tenth(capsys: pytest.CaptureFixture[str]) -> None:
    with progress_bars():
        for step in range(101):
            report("train", step, 100, f"loss {step}")
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 11
    assert lines[0] == "train: 0/100 loss 0"
    assert lines[-1] == "train: 100/100 loss 100"


def test_work_of_unknown_length_is_told_at_its_start_and_its_end(capsys: pytest.CaptureFixture[str]) -> None:
    with progress_bars():
        for rows in range(1, 50):
            report("prepare", rows, 0)
        report("prepare", 50, 50, "50 rows read")
    assert capsys.readouterr().err.splitlines() == ["prepare: 1/?", "prepare: 50/50 50 rows read"]


def test_nobody_listens_after_the_block(capsys: pytest.CaptureFixture[str]) -> None:
    with progress_bars():
        pass
    report("train", 1, 1)
    assert capsys.readouterr().err == ""


HOSTILE = "x\x1b[2J\x1b]0;owned\x07 \x9b31m\r \u202egnp.exe [bold red]loud[/] [/wrong]"


def test_nothing_acts_on_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    terminal.print_error(InputError(f"no file {HOSTILE!s}", field="file"), as_json=False)
    terminal.show({}, False, lambda _: f"line one\n\tline two {HOSTILE}")
    with progress_bars():
        report("pull", 1, 2, HOSTILE)
    shown = "".join(capsys.readouterr())
    assert not set(shown) & set("\x1b\x07\x9b\r\u202e")
    assert "line one\n\tline two x\\x1b[2J\\x1b]0;owned\\x07 \\x9b31m\\x0d \\u202egnp.exe" in shown


def test_json_means_the_same_and_acts_on_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    terminal.print_json({"name": HOSTILE, "half": "\ud800", "é": "日本"})
    printed = capsys.readouterr().out
    assert not set(printed) & set("\x1b\x07\x9b\r\u202e\ud800")
    assert "日本" in printed
    assert json.loads(printed) == {"name": HOSTILE, "half": "\ud800", "é": "日本"}


def test_a_bar_shows_what_looks_like_markup(monkeypatch: pytest.MonkeyPatch) -> None:
    written = io.StringIO()
    monkeypatch.setattr(written, "isatty", lambda: True)
    monkeypatch.setattr("sys.stderr", written)
    with progress_bars():
        report("pull", 1, 2, HOSTILE)
    assert "[bold red]loud[/]" in written.getvalue()
    assert not set(written.getvalue()) & set("\x07\x9b\u202e")


def test_a_file_name_cannot_act_on_the_terminal(tmp_path: Path) -> None:
    """The whole command: a configuration whose name holds escape sequences, and does not exist."""
    name = tmp_path / "conf\x1b[2J\x1b]0;owned\x07.yaml"
    done = subprocess.run([sys.executable, "-m", "mtl.cli", "prepare", "-c", str(name)], capture_output=True, text=True)
    assert done.returncode == 2
    assert "conf\\x1b[2J" in done.stderr
    assert not set(done.stdout + done.stderr) & set("\x1b\x07")
