"""`mtl doctor` as a user runs it: settings, all checks together, exit codes, JSON, and no secret anywhere."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from mtl.cli.main import run
from mtl.doctor.variables import variables
from tests.support.s3 import aws, bucket, s3_client, s3_endpoint

__all__ = ["aws", "bucket", "s3_client", "s3_endpoint"]


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in list(os.environ):
        if name.startswith(("MTL_", "PREFECT_", "MLFLOW_", "AWS_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("MTL_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def doctor(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, Any]:
    code = run(["doctor", *arguments, "--json"])
    return code, json.loads(capsys.readouterr().out.splitlines()[-1])


def by_check(document: Any, level: str) -> dict[str, Any]:
    return {item["check"]: item for item in document["findings"] if item["level"] == level}


def test_the_embedded_default_has_no_faults_and_nothing_is_left_behind(
    capsys: pytest.CaptureFixture[str], home: Path
) -> None:
    code, document = doctor(capsys)
    assert code == 0, document
    checks = {item["check"] for item in document["findings"]}
    assert checks >= {"settings", "versions", "state", "disk", "memory", "prefect", "mlflow", "store", "device", "base"}
    assert [path for path in home.rglob("*") if path.is_file()] == []


@pytest.mark.parametrize(
    ("row", "more", "level", "said", "do"),
    [
        (
            {"level": "high"},
            "",
            "fault",
            "no validation examples of mcq, which a retrain evaluates on",
            "data: {holdout: {validation: 0.1}}",
        ),
        ({"level": "high"}, ", holdout: {validation: 0.1}", "ok", "mine: 1 sources, tasks mcq", None),
        (
            {},
            ", holdout: {validation: 0.1}",
            "fault",
            "2 of the first 2 rows are bad: no level 2\n  no level: first in questions.jsonl:1, field level",
            "by `add: {level: high}` beside its uri",
        ),
        (
            {"level": "high", "answer": "no letter"},
            ", holdout: {validation: 0.1}",
            "fault",
            "outside A-D: first in questions.jsonl:1, field answer: got 'no letter', expected A, B, C or D",
            "`columns: {answer: answer}`",
        ),
    ],
)
def test_what_a_retrain_would_stumble_over_in_own_files_is_a_fault(
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    row: dict[str, str],
    more: str,
    level: str,
    said: str,
    do: str | None,
) -> None:
    good = {"article": "Ann has a cat.", "question": "What has Ann?", "options": ["a", "b", "c", "d"], "answer": "A"}
    (tmp_path / "questions.jsonl").write_text(2 * (json.dumps(good | row) + "\n"))
    conf = tmp_path / "c.yaml"
    sources = f"[{{task: mcq, uri: {tmp_path}/questions.jsonl}}]"
    conf.write_text(f"name: mine\nmodel: {{base: demo}}\ndata: {{sources: {sources}{more}}}\n")
    code, document = doctor(capsys, "-c", str(conf))
    found = by_check(document, level)["data"]
    assert (code, said in found["detail"]) == (int(level == "fault"), True), found
    assert found["do"] is None if do is None else do in found["do"]


def test_what_is_left_out_of_a_source_is_named(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    good = {"article": "Ann has a cat.", "question": "What has Ann?", "options": ["a", "b", "c", "d"], "answer": "A"}
    folder = tmp_path / "news: race"
    folder.mkdir()
    for name in ("a", "b"):
        (folder / f"{name}.jsonl").write_text(json.dumps(good | {"level": "high", "article": name}) + "\n")
    (folder / "c.jsonl.bz2").touch()
    (folder / "linked").symlink_to(tmp_path)
    (folder / "README.md").touch()
    conf = tmp_path / "c.yaml"
    data = f"{{sources: [{{task: mcq, uri: '{folder}'}}], holdout: {{validation: 0.1}}}}"
    conf.write_text(f"name: mine\nmodel: {{base: demo}}\ndata: {data}\n")
    code, document = doctor(capsys, "-c", str(conf))
    told = {
        item["detail"].removeprefix(f"{folder}: "): (item["level"], item["do"])
        for item in document["findings"]
        if item["check"] == "data"
    }
    do = "if it is data, unpack or convert it, or name it as a source"
    assert code == 0 and told == {
        "no name tells a split, so all 2 files are taken as train: a.jsonl, b.jsonl": (
            "warning",
            "name them under `files`",
        ),
        "left out c.jsonl.bz2: not a data file by its name": ("warning", do),
        "left out linked/: a linked folder: name it as a source of its own": ("warning", do),
        "left out README.md: about data, by its name": ("ok", None),
        "mine: 1 sources, tasks mcq": ("ok", None),
    }


def test_a_validation_that_never_comes_is_told(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    conf = tmp_path / "c.yaml"
    train = "train: {max_steps: 60, eval_steps: 100}"
    conf.write_text(f"model: {{base: demo}}\ndata: {{sources: [{{task: mcq, uri: demo}}]}}\n{train}\n")
    code, document = doctor(capsys, "-c", str(conf))
    assert code == 0
    assert "eval_steps 100 is over max_steps 60" in by_check(document, "warning")["train"]["detail"]


@pytest.mark.parametrize(("train", "level"), [("", "ok"), ("train: {eval_steps: 10}\n", "fault")])
def test_rows_that_choose_the_checkpoint_are_not_counted_as_judging(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, train: str, level: str
) -> None:
    conf = tmp_path / "c.yaml"
    source = "{task: summarize, uri: demo, rows: {train: 100, validation: 30}}"
    conf.write_text(f"name: mine\nmodel: {{base: demo}}\ndata: {{sources: [{source}]}}\n{train}")
    code, document = doctor(capsys, "-c", str(conf))
    found = by_check(document, level)["data"]
    assert code == int(level == "fault"), found
    if level == "fault":
        assert "because 23 validation examples are evaluated, beside the 25% of the passages" in found["detail"]
        assert "more rows for validation" in found["do"]


def test_a_rotation_that_has_nothing_to_rotate_is_told(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    conf = tmp_path / "c.yaml"
    source = "{task: summarize, uri: demo, rows: {train: 100, validation: 100}}"
    gate = "gate: {rotate: weekly}\nevaluate: {max_examples: 100}"
    conf.write_text(f"name: mine\nmodel: {{base: demo}}\ndata: {{sources: [{source}]}}\n{gate}\n")
    code, document = doctor(capsys, "-c", str(conf))
    found = by_check(document, "warning")["data"]
    assert code == 0
    assert found["detail"].startswith("mine: summarize: gate.rotate is weekly, and the same examples judge each week")
    assert found["do"].startswith("set evaluate.max_examples to fewer than may judge")


def test_every_fault_is_told_at_once_with_what_to_do_and_no_secret(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    secrets = {"MLFLOW_TRACKING_PASSWORD": "pw-of-mlflow", "AWS_SECRET_ACCESS_KEY": "s3-secret-key"}
    for name, value in secrets.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("PREFECT_API_URL", "http://me:pw-in-url@127.0.0.1:9/api")
    monkeypatch.setenv("PREFECT_API_AUTH_STRING", "admin:pw-of-prefect")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://someone:pw-of-uri@127.0.0.1:9")
    monkeypatch.setenv("MTL_STORE", "s3n://bucket/pw-of-mlflow")
    monkeypatch.setenv("MTL_STROE", "s3://typo")
    monkeypatch.setenv("MTL_STORE_PATIENCE", "long")
    conf = tmp_path / "c.yaml"
    conf.write_text("model: {base: /nowhere}\ndata: {sources: [{task: mcq, uri: demo}]}\n")
    code, document = doctor(capsys, "-c", str(conf))
    assert (code, document["ok"]) == (1, False)
    faults = by_check(document, "fault")
    assert set(faults) >= {"settings", "prefect", "mlflow", "store", "base"}
    assert all(item["do"] for item in faults.values())
    assert "did you mean 's3'?" in faults["store"]["detail"]
    assert by_check(document, "warning")["settings"]["do"] == "did you mean 'MTL_STORE'?"
    run(["doctor", "-c", str(conf)])
    text = capsys.readouterr()
    for secret in (*secrets.values(), "pw-in-url", "pw-of-prefect", "pw-of-uri"):
        assert secret not in json.dumps(document) + text.out + text.err
    assert "FAULT   store" in text.out
    assert "-> give a folder, file:///folder, or s3://bucket/prefix" in text.out


def test_a_bucket_that_is_not_there_and_one_that_is(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, aws: str, bucket: str
) -> None:
    monkeypatch.setenv("MTL_STORE", "s3://no-such-bucket/mtl")
    code, document = doctor(capsys)
    assert code == 1
    fault = by_check(document, "fault")["store"]
    assert "there is no such bucket (NoSuchBucket)" in fault["detail"]
    assert fault["do"].startswith("create it")
    monkeypatch.setenv("MTL_STORE", f"s3://{bucket}/mtl")
    code, document = doctor(capsys)
    assert code == 0, document
    assert "conditional put" in by_check(document, "ok")["store"]["detail"]
    assert "S3's" in by_check(document, "ok")["clock"]["detail"]


@pytest.mark.parametrize(
    ("environ", "detail"),
    [
        ({"AWS_ACCESS_KEY_ID": "x"}, "AWS_ACCESS_KEY_ID is set, AWS_SECRET_ACCESS_KEY is not"),
        ({"MTL_TRAINER_PROCESSES": "0"}, "MTL_TRAINER_PROCESSES is '0', no positive number"),
        ({"PREFECT_API_URL": "http://127.0.0.1:4200"}, "PREFECT_API_URL does not end with /api"),
        ({"MTL_NOTIFY_URL": "https://example.org/x"}, "MTL_NOTIFY_URL is set, MTL_NOTIFY_SECRET is not"),
        ({"MTL_NOTIFY_EVENTS": "run.faild"}, "MTL_NOTIFY_EVENTS names 'run.faild'; did you mean 'run.failed'?"),
        ({"MTL_NOTIFY_SMTP": "mail.example.org"}, "MTL_NOTIFY_SMTP is no address"),
        ({"MTL_WEBHOOK_SECRET": "short"}, "MTL_WEBHOOK_SECRET is shorter than 16 characters"),
        ({"MTL_WEBHOOK_ON_DATA": "check-data"}, "MTL_WEBHOOK_ON_DATA is 'check-data', no deployment"),
    ],
)
def test_settings_that_cannot_work(environ: dict[str, str], detail: str) -> None:
    (found,) = variables(environ)
    assert (found.level, found.detail) == ("fault", detail)
    assert found.do


def test_doctor_says_before_the_training_that_no_version_could_be_promoted(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """At first as far as the configuration tells, after mtl prepare by what was counted."""
    conf = tmp_path / "c.yaml"
    source = "{task: summarize, uri: demo, rows: {train: 8, validation: 40}}"
    text = f"name: mine\nmodel: {{base: demo}}\ndata: {{sources: [{source}]}}\ngate: {{min_examples: MIN}}\n"
    conf.write_text(text.replace("MIN", "41"))
    code, document = doctor(capsys, "-c", str(conf))
    found = by_check(document, "fault")["data"]["detail"]
    assert (code, "because 40 validation examples are evaluated and the gate needs 41" in found) == (1, True), found
    conf.write_text(text.replace("MIN", "40"))
    code, document = doctor(capsys, "-c", str(conf))
    assert code == 0
    assert run(["prepare", "-c", str(conf)]) == 0
    assert "WARNING" not in capsys.readouterr().out
    conf.write_text(text.replace("MIN", "45") + "evaluate: {max_examples: 35}\n")
    assert run(["prepare", "-c", str(conf)]) == 0
    said = capsys.readouterr().out
    assert "WARNING: summarize: no version can be promoted, because 35 validation examples are evaluated" in said
    code, document = doctor(capsys, "-c", str(conf))
    assert code == 1
    assert "because 35 validation examples" in by_check(document, "fault")["data"]["detail"]


@pytest.mark.parametrize(
    ("margin", "level", "do"),
    [
        (0.03, "warning", "evaluate 137 examples (more rows, evaluate.max_examples), or set gate: {margins: "),
        (0.0, "warning", "set gate: {margins: {summarize: {rougeLsum: 0.056}}}"),
        (0.06, "ok", None),
    ],
)
def test_doctor_says_what_difference_the_examples_can_show(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, margin: float, level: str, do: str | None
) -> None:
    conf = tmp_path / "c.yaml"
    source = "{task: summarize, uri: demo, rows: {train: 8, validation: 40}}"
    gate = f"{{margins: {{summarize: {{rougeLsum: {margin}}}}}}}"
    conf.write_text(f"name: mine\nmodel: {{base: demo}}\ndata: {{sources: [{source}]}}\ngate: {gate}\n")
    code, document = doctor(capsys, "-c", str(conf))
    found = by_check(document, level)["gate"]
    assert code == 0
    assert found["detail"].startswith(
        "mine: summarize: 40 examples show a difference in rougeLsum of 0.0393 or more in 80% of cases (usual standard"
    )
    assert ("is often refused" in found["detail"]) == (level == "warning")
    assert found["do"] is None if do is None else found["do"].startswith(do) and "rougeLsum: 0.056" in found["do"]
