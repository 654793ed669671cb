"""Progress where there is no terminal: a line for each tenth, none for every step."""

from __future__ import annotations

import pytest

from mtl.cli.terminal import progress_bars
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
