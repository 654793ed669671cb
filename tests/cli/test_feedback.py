"""mtl feedback: a summary, and Label Studio's files in both directions."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from mtl.cli.main import run
from mtl.store.folder import FolderStore
from mtl.traffic.label_studio import CONFIGURATION
from mtl.traffic.redaction import Redaction
from mtl.traffic.writer import RequestLog
from tests.server.test_feedback import SUMMARY
from tests.traffic.test_label_studio import TWO, annotated


@pytest.fixture
def logged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MTL_STORE", str(tmp_path / "store"))
    log = RequestLog(FolderStore(tmp_path / "store"), "mtl-flan-t5", Redaction(), share=1)
    now = datetime.now(UTC).isoformat(timespec="seconds")
    for answer in (TWO, SUMMARY, replace(SUMMARY, id="2" * 32, at="2020-01-01T00:00:00+00:00")):
        log.offer(answer if answer.at < "2021" else replace(answer, at=now))
    log.close()
    return tmp_path


def test_answers_go_out_and_annotations_come_back(logged: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = logged / "out" / "tasks.json"
    assert run(["feedback", "export", str(file)]) == 0
    assert "3 tasks of 2 logged answers" in capsys.readouterr().out
    assert file.with_suffix(".xml").read_text() == CONFIGURATION
    tasks = json.loads(file.read_text())
    exported = [annotated(tasks[0]["data"], "good"), {"data": {}, "annotations": 1}]
    done = logged / "export.json"
    done.write_text(json.dumps(exported))
    assert run(["feedback", "import", str(file)]) == 2, "the wrong one of the two files"
    assert "no task with annotations" in capsys.readouterr().err
    assert run(["feedback", "import", str(done)]) == 0
    said = capsys.readouterr().out
    assert "1 new, 0 kept before" in said
    assert "task 2 is left out" in said
    assert run(["feedback", "list"]) == 0
    assert "v3       good     label-studio  1" in capsys.readouterr().out
    assert run(["feedback", "export", str(file), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["tasks"] == 2


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["export"], "give a file or --project"),
        (["import", "a", "--project", "1"], "give a file or --project"),
        (["import", "nowhere.json"], "cannot read nowhere.json"),
        (["import", "--project", "1"], "no Label Studio server is named"),
    ],
)
def test_what_is_wrong_is_said(
    arguments: list[str], said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("LABEL_STUDIO_URL", raising=False)
    assert run(["feedback", *arguments, "--json"]) == 2
    error: dict[str, Any] = json.loads(capsys.readouterr().out)["error"]
    assert said in error["message"]


def test_nobody_said_anything(logged: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["feedback", "list"]) == 0
    assert "no feedback of mtl-flan-t5 yet" in capsys.readouterr().out
