"""The command line: help at once, errors as text or JSON with the right exit code, nothing changed by bad input."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from mtl.cli.main import run
from tests.support.rows import write_jsonl


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MTL_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("MTL_STORE", raising=False)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return tmp_path / "home"


def answer(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, Any]:
    code = run([*arguments, "--json"])
    return code, json.loads(capsys.readouterr().out.splitlines()[-1])


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys; from mtl.cli.main import run; run(['--help']);"
        "print([m for m in ('torch', 'prefect', 'mlflow', 'transformers', 'pydantic') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "retrain" in done.stdout
    assert done.stdout.splitlines()[-1] == "[]"


def test_an_unknown_key_is_a_configuration_error(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, home: Path
) -> None:
    conf = tmp_path / "c.yaml"
    conf.write_text("data: {sources: [{task: mcq, uri: demo}]}\ntrian: {}\n")
    code, document = answer(capsys, "retrain", "-c", str(conf))
    assert code == 2
    assert document["error"]["kind"] == "config"
    assert document["error"]["field"] == "trian"
    assert "did you mean 'train'?" in document["error"]["message"]
    assert not home.exists()


def test_an_unknown_option_is_bad_input(capsys: pytest.CaptureFixture[str]) -> None:
    code, document = answer(capsys, "pull", "champion", "somewhere", "--forse")
    assert code == 2
    assert "No such option: --forse" in document["error"]["message"]


def test_a_release_that_does_not_exist(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    code, document = answer(capsys, "pull", "v7", str(tmp_path / "dest"))
    assert code == 2
    assert document["error"]["kind"] == "not_found"
    assert "no release v7 of mtl-flan-t5" in document["error"]["message"]
    assert not (tmp_path / "dest").exists()


def test_a_misspelt_release_gets_a_suggestion(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    code, document = answer(capsys, "pull", "champoin", str(tmp_path / "dest"))
    assert code == 2
    assert "did you mean 'champion'?" in document["error"]["message"]


def test_errors_for_people_go_to_standard_error(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert run(["pull", "champion", str(tmp_path / "dest")]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("error: mtl-flan-t5 has no champion yet")


def test_a_data_file_without_a_column_is_refused(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, home: Path
) -> None:
    (tmp_path / "train.jsonl").write_text('{"article": "A long enough text here.", "question": "Why?"}\n')
    conf = tmp_path / "c.yaml"
    conf.write_text(f"model: {{base: demo}}\ndata: {{sources: [{{task: mcq, uri: '{tmp_path}/train.jsonl'}}]}}\n")
    code, document = answer(capsys, "prepare", "-c", str(conf))
    assert code == 2
    assert document["error"]["kind"] == "data"
    assert "options" in document["error"]["message"]
    assert not list((home / "store").glob("datasets/*")) if (home / "store").exists() else True


def test_an_empty_data_set_is_refused(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "train.jsonl").write_text("")
    conf = tmp_path / "c.yaml"
    conf.write_text(f"model: {{base: demo}}\ndata: {{sources: [{{task: mcq, uri: '{tmp_path}/train.jsonl'}}]}}\n")
    code, document = answer(capsys, "prepare", "-c", str(conf))
    assert code == 2
    assert document["error"]["kind"] == "data"


def test_prepare_names_what_it_leaves_out_and_how_splits_were_told_apart(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    folder = tmp_path / "d"
    rows = [{"article": f"Town {n} opened a school on Monday.", "highlights": f"Town {n} opens"} for n in range(4)]
    write_jsonl(folder / "a.jsonl", rows[:2])
    write_jsonl(folder / "b.ndjson", rows[2:])
    (folder / "c.xlsx").touch()
    (folder / "linked").symlink_to(tmp_path)
    conf = tmp_path / "c.yaml"
    conf.write_text(f"model: {{base: demo}}\ndata: {{sources: [{{task: summarize, uri: '{folder}'}}]}}\n")
    for _ in ("made", "found"):
        code, document = answer(capsys, "prepare", "-c", str(conf))
        assert code == 0
        assert [(note["name"], note["usual"]) for note in document["notes"]] == [
            ("", False),
            ("c.xlsx", False),
            ("linked/", False),
        ]
    assert run(["prepare", "-c", str(conf)]) == 0
    text = capsys.readouterr().out
    said = f"note: {folder} of summarize: "
    assert f"{said}no name tells a split, so all 2 files are taken as train: a.jsonl, b.ndjson" in text
    assert f"{said}left out c.xlsx: not a data file by its name" in text
    assert f"{said}left out linked/: a linked folder" in text


def test_a_refusal_of_the_data_names_what_was_left_out(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "validation.jsonl").write_text('{"article": "A long enough text.", "highlights": "Text"}\n')
    (tmp_path / "d" / "train.jsonl.bz2").touch()
    conf = tmp_path / "c.yaml"
    conf.write_text(f"model: {{base: demo}}\ndata: {{sources: [{{task: summarize, uri: '{tmp_path}/d'}}]}}\n")
    code, document = answer(capsys, "prepare", "-c", str(conf))
    assert code == 2 and "no training example" in document["error"]["message"]
    assert "of summarize: left out train.jsonl.bz2: not a data file by its name" in document["error"]["hint"]


def test_a_base_that_is_no_t5_is_refused(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "bert").mkdir()
    (tmp_path / "bert" / "config.json").write_text('{"model_type": "bert"}')
    conf = tmp_path / "c.yaml"
    conf.write_text(f"model: {{base: '{tmp_path}/bert'}}\ndata: {{sources: [{{task: mcq, uri: demo}}]}}\n")
    code, document = answer(capsys, "prepare", "-c", str(conf))
    assert code == 2
    assert document["error"]["kind"] == "model"
    assert "is of type 'bert', not of the T5 family" in document["error"]["message"]
