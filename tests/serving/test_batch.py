"""Files of texts: every row gets its answer or its reason, and no row costs another anything."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mtl.cli.main import run
from mtl.decoding import Decoding
from mtl.errors import InputError, NotFoundError
from mtl.pipeline import generate as job
from mtl.serving.batch import Row, answer_rows, read_lines, read_rows, shards
from mtl.serving.generate import Generator, load_generator
from mtl.task import BadRequest
from mtl.workspace import open_workspace
from tests.support.trained import trained_model

LINES = [
    json.dumps({"id": "a", "text": "Ann came to the house."}),
    json.dumps("Bob had a long day."),
    "",
    "{not json",
    json.dumps({"id": "b"}),
    json.dumps({"id": "c", "text": 5}),
    json.dumps({"id": "d", "text": "w " * 900}),
    json.dumps({"id": "e", "text": "x \ud800"}),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return trained_model(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def generator(folder: Path) -> Generator:
    return load_generator(folder)


def test_each_row_is_answered_or_refused_by_itself(generator: Generator) -> None:
    rows = list(read_lines(io.StringIO("\n".join(LINES))))
    answers = answer_rows(generator, rows, "summarize")
    assert [(a["row"], a["id"]) for a in answers] == [
        (0, "a"),
        (1, "1"),
        (2, "2"),
        (3, "b"),
        (4, "c"),
        (5, "d"),
        (6, "e"),
    ]
    alone = generator.generate(["Ann came to the house.", "Bob had a long day."])
    assert [{k: a[k] for k in ("output", "text", "truncated")} for a in answers[:2]] == [a.to_dict() for a in alone]
    reasons = [answer["error"]["message"] for answer in answers[2:]]
    for reason, words in zip(
        reasons,
        ("not JSON", "no key 'text'", "must be a list of strings", "tokens long", "no valid Unicode"),
        strict=True,
    ):
        assert words in reason
    json.dumps(answers)


def test_a_long_text_is_cut_on_request(generator: Generator) -> None:
    (answer,) = answer_rows(generator, [Row(0, "0", "w " * 900)], "summarize", truncate=True)
    assert answer["truncated"] is True


def test_a_wrong_request_is_no_fault_of_the_rows(generator: Generator) -> None:
    with pytest.raises(BadRequest, match="asked for 21 questions"):
        answer_rows(generator, [Row(0, "0", "x")], "mcq", request={"easy": 21})
    with pytest.raises(NotFoundError, match="did you mean 'mcq'"):
        answer_rows(generator, [Row(0, "0", "x")], "mqc")


def test_jsonl_and_parquet_hold_the_same_rows(tmp_path: Path) -> None:
    texts = [f"text {n}" for n in range(5)]
    (tmp_path / "t.jsonl").write_text("\n".join(json.dumps({"id": f"i{n}", "text": t}) for n, t in enumerate(texts)))
    pq.write_table(pa.table({"text": texts, "id": [f"i{n}" for n in range(5)]}), tmp_path / "t.parquet")
    assert list(read_rows(tmp_path / "t.jsonl")) == list(read_rows(tmp_path / "t.parquet"))
    assert [len(shard) for shard in shards(read_rows(tmp_path / "t.jsonl"), 2)] == [2, 2, 1]


def test_other_files_are_refused(tmp_path: Path) -> None:
    pq.write_table(pa.table({"txt": ["a"]}), tmp_path / "t.parquet")
    (tmp_path / "bad.parquet").write_bytes(b"PAR1")
    (tmp_path / "t.docx").write_text("a")
    (tmp_path / "pointer.jsonl").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\n")
    (tmp_path / "array.jsonl").write_text('[\n{"text": "a"}\n]')
    for name, message in (
        ("t.parquet", "no column 'text'"),
        ("bad.parquet", "no parquet"),
        ("t.docx", "no table of texts by its name"),
        ("pointer.jsonl", "a Git LFS pointer"),
        ("array.jsonl", "a JSON array"),
    ):
        with pytest.raises(InputError, match=message):
            list(read_rows(tmp_path / name))
    with pytest.raises(NotFoundError):
        list(read_rows(tmp_path / "none.jsonl"))


def test_on_the_command_line_a_line_for_each_text(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MTL_HOME", str(tmp_path / "home"))
    (tmp_path / "t.jsonl").write_text("\n".join(LINES[:4]))
    assert run(["generate", str(tmp_path / "t.jsonl"), "--model", str(folder), "--json"]) == 0
    *answers, summary = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [answer["id"] for answer in answers] == ["a", "1", "2"]
    assert (summary["texts"], summary["refused"]) == (3, 1)
    monkeypatch.setattr("sys.stdin", io.StringIO(LINES[0] + "\n"))
    assert run(["generate", "--lines", "--model", str(folder)]) == 0
    (line,) = capsys.readouterr().out.splitlines()
    assert json.loads(line)["text"] == answers[0]["text"]


TEXT = "Ann came to the house."


def write_table(folder: Path, name: str, column: str) -> Path:
    path = folder / name
    if name.endswith(".parquet"):
        pq.write_table(pa.table({"id": ["a"], column: [TEXT]}), path)
    elif name.endswith(".csv"):
        path.write_text(f"id,{column}\na,{TEXT}\n")
    else:
        row = json.dumps({"id": "a", column: TEXT})
        path.write_text(f"[{row}]" if name.endswith(".json") else f"\ufeff{row}\n")
    return path


@pytest.mark.parametrize("column", ["text", "article"])
@pytest.mark.parametrize("name", ["t.jsonl", "t.json", "t.csv", "t.parquet"])
def test_a_table_of_any_kind_holds_texts_under_either_name(tmp_path: Path, name: str, column: str) -> None:
    assert list(read_rows(write_table(tmp_path, name, column))) == [Row(0, "a", TEXT)]


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        (
            "t.jsonl",
            b'{"body": "x"}\n',
            "all 1 texts of {file} were refused, the first one: the object has no key 'text'",
        ),
        ("t.jsonl", '{"text": "é"}\n'.encode("cp1252"), "the first one: not UTF-8: byte 0xe9"),
        ("t.jsonl", b"\n\n", "no texts in {file}"),
        ("t.jsonl", b"", "t.jsonl is an empty file"),
        ("t.csv", "text\né\n".encode("cp1252"), "the first one: not UTF-8: byte 0xe9"),
        ("t.csv", b"One long article, that goes on.\nAnd on.\n", "fewer fields than columns"),
        ("t.csv", b"text\n", "no texts in {file}"),
        ("t.txt", "He said: “No” – é".encode("cp1252"), "{file} is not UTF-8: byte 0x93 in line 1"),
        ("t.txt", "Hello there, all.".encode("utf-16"), "{file} is UTF-16 text, expected a text"),
        ("t.pdf", b"%PDF-1.7\n", "{file} is a PDF, expected a text"),
        ("t.docx", b"PK\x03\x04word/document.xml", "{file} is a zip file, expected a text"),
        ("t.txt", b"a\x00b", "{file} holds NUL bytes, so it is no text"),
        ("t.txt", b"", "{file} is an empty file, expected a text"),
        ("t.html", b"<!DOCTYPE html><p>x", "{file} is an HTML page"),
    ],
)
def test_what_cannot_be_read_ends_with_2_and_says_what_can(
    folder: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    *,
    name: str,
    content: bytes,
    said: str,
) -> None:
    monkeypatch.setenv("MTL_HOME", str(tmp_path / "home"))
    (tmp_path / name).write_bytes(content)
    assert run(["generate", str(tmp_path / name), "--model", str(folder), "--json"]) == 2
    error = json.loads(capsys.readouterr().out.splitlines()[-1])["error"]
    assert said.replace("{file}", str(tmp_path / name)) in error["message"]
    assert error["hint"]


def test_standard_input_is_read_as_a_file_is(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MTL_HOME", str(tmp_path / "home"))
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO("“No”".encode("cp1252"))))
    assert run(["generate", "--model", str(folder), "--json"]) == 2
    error = json.loads(capsys.readouterr().out)["error"]
    assert error["message"] == "standard input is not UTF-8: byte 0x93 in line 1"
    assert "iconv -f CP1252 -t UTF-8" in error["hint"] and "accepted are one text" in error["hint"]
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(f"\ufeff{TEXT}".encode())))
    assert run(["generate", "--model", str(folder), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["text"]


def test_a_job_is_written_in_parts_and_goes_on_after_the_last(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MTL_HOME", str(tmp_path / "home"))
    source, out = tmp_path / "t.jsonl", tmp_path / "out"
    source.write_text("\n".join(json.dumps({"text": f"Boat {n} came."}) for n in range(5)) + "\n{bad\n")
    options = {"task": "mcq", "request": {"easy": 1}, "model": "toy", "ref": str(folder), "truncate": True}
    plan = job.plan(open_workspace(), source, shard_rows=2, **options)  # type: ignore[arg-type]
    assert (plan.rows, plan.shards) == (6, 3)
    job.run_shard(plan, 0, out)
    first = (out / "part-00000.parquet").stat().st_mtime_ns
    done = [job.run_shard(plan, n, out) for n in range(3)]
    assert (out / "part-00000.parquet").stat().st_mtime_ns == first
    assert [(part.rows, part.refused) for part in done] == [(2, 0), (2, 0), (2, 1)]
    table = pq.read_table(out)
    assert table["row"].to_pylist() == list(range(6))
    assert table["error"].to_pylist()[:5] == [None] * 5 and "not JSON" in table["error"].to_pylist()[5]
    other = job.plan(open_workspace(), source, shard_rows=2, **{**options, "request": {"easy": 2}})  # type: ignore[arg-type]
    with pytest.raises(InputError, match="part of another job"):
        job.run_shard(other, 0, out)


def test_a_job_with_candidates_is_another_job_and_says_what_is_missing(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MTL_HOME", str(tmp_path / "home"))
    source, out = tmp_path / "t.jsonl", tmp_path / "out"
    source.write_text(json.dumps({"text": TEXT}) + "\n{bad\n")
    options = {"task": "mcq", "request": {"easy": 1}, "model": "toy", "ref": str(folder), "truncate": True}
    greedy, chosen = (
        job.plan(open_workspace(), source, shard_rows=2, **options, decoding=decoding)  # type: ignore[arg-type]
        for decoding in (Decoding(), Decoding(candidates=2))
    )
    assert greedy.id != chosen.id
    job.run_shard(chosen, 0, out)
    table = pq.read_table(out)
    assert table["missing"].to_pylist() == [json.dumps({"easy": 1}), None]
    assert table["output"].to_pylist() == ["[]", None]
    with pytest.raises(InputError, match="part of another job"):
        job.run_shard(greedy, 0, out)


def test_on_the_command_line_the_answer_says_what_could_not_be_found(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MTL_HOME", str(tmp_path / "home"))
    (tmp_path / "t.txt").write_text(TEXT)
    asked = ["generate", str(tmp_path / "t.txt"), "--model", str(folder), "--task", "mcq", "--hard", "1"]
    assert run([*asked, "--candidates", "2"]) == 0
    assert capsys.readouterr().out.startswith("missing: 1 hard; no candidate had more questions")
    assert run([*asked, "--candidates", "17", "--json"]) == 2
    assert "candidates must be a whole number from 1 to 16, got 17" in capsys.readouterr().out
