"""The page on own tasks works as it is written: one file and two lines of the table go the whole way to an answer."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import httpx
import pyarrow.parquet as pq
import pytest
import yaml

from mtl.serving.generate import Generator
from mtl.task import BadRequest, Task
from mtl.tasks import table
from mtl.tasks.checks import table as checked
from mtl.tasks.text import passage_key
from tests.support.bases import save_base
from tests.support.retrains import small_values
from tests.support.rows import write_jsonl
from tests.support.third_task import Program, block, program
from tests.support.tiny_model import plain_tokenizer

_SECONDS = 120


@pytest.fixture
def title(monkeypatch: pytest.MonkeyPatch) -> Task:
    """The task of the page, in the table of this process."""
    module = ModuleType("mtl.tasks.title")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    exec(compile(block("python"), "own-task.md", "exec"), module.__dict__)
    task: Task = module.__dict__["TASK"]
    monkeypatch.setitem(table.TASKS, "title", task)
    return checked(table.TASKS.values())["title"]


def test_it_answers_and_reads(title: Task) -> None:
    inputs = title.prompt("A  text.", title.complete({"words": 3}))
    assert inputs == "<title> Write a title (3 words): A text."
    assert title.bare(inputs) == "<title> (3 words): A text."
    with pytest.raises(BadRequest, match="title takes no 'easy'"):
        title.complete({"easy": 1})
    with pytest.raises(BadRequest, match="words must be a whole number from 1 to 20, got 21"):
        title.complete({"words": 21})
    record = title.read({"body": "Some text.", "title": "New school"})
    assert title.load(title.dump(record)) == record
    assert title.parse("no title") is None


def test_a_request_reaches_the_model(title: Task) -> None:
    def echo(inputs: Sequence[str], *, max_new_tokens: int) -> list[str]:
        return list(inputs)

    generator = Generator(echo, plain_tokenizer(), max_input_tokens=200, max_new_tokens={"title": 8})
    asked, usual = (generator.generate(["A text."], "title", request=request)[0] for request in ({"words": 3}, None))
    assert asked.text == "<title> Write a title (3 words): A text."
    assert usual.text == "<title> Write a title (5 words): A text."


def rows(first: int, count: int) -> list[Any]:
    """Titles of 2 to 6 words."""
    words = ["a", "quiet", "town", "opens", "one", "school"]
    return [
        {"body": f"Body number {n} tells it.", "title": " ".join(words[: 2 + n % 5])}
        for n in range(first, first + count)
    ]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Program, dict[str, Any]]:
    """The program, and what `mtl retrain` said of a configuration with the task."""
    its = program(tmp_path_factory.mktemp("third"))
    long = {"body": "A body that is too much.", "title": "one " * 13}
    write_jsonl(its.folder / "notes" / "train.jsonl", [*rows(0, 30), long, {"body": "", "title": "x"}, b"{"])
    write_jsonl(its.folder / "notes" / "dev.jsonl", rows(100, 6))
    values = small_values(save_base(its.folder / "base"), max_steps=4, save_steps=2, warmup_steps=1)
    values["data"]["sources"].append({"task": "title", "uri": "notes"})
    values["data"] |= {"title_words": 5, "near_duplicates": None, "max_bad_share": 0.5}
    values["data"]["mixture"] = {"kind": "explicit", "rates": {"summarize": 1.0, "mcq": 1.0, "title": 40.0}}
    values["evaluate"]["max_new_tokens"]["title"] = 8
    (its.folder / "own.yaml").write_text(yaml.safe_dump(values))
    return its, its.mtl("retrain", "-c", "own.yaml")


whole_way = [pytest.mark.slow, pytest.mark.timeout(600)]


class TestTheWholeWay:
    pytestmark = whole_way

    def test_it_is_prepared_by_its_own_options(self, made: tuple[Program, dict[str, Any]]) -> None:
        its, result = made
        counts = result["dataset"]["counts"]["title"]
        assert (counts["train"]["kept"], counts["validation"]["kept"]) == (24, 5)
        assert result["dataset"]["quarantine"]["title over title_words"] == 6 + 1 + 1
        explained = its.mtl("prepare", "--explain", result["dataset"]["fingerprint"])["text"]
        assert "an example of title, short" in explained

    def test_its_examples_name_their_passage_although_the_task_does_not(
        self, made: tuple[Program, dict[str, Any]]
    ) -> None:
        """By which those that choose the checkpoint are told from those that judge."""
        its, result = made
        folder = its.folder / "home" / "store" / "datasets" / result["dataset"]["fingerprint"]
        (bodies, meta) = (pq.read_table(folder / "title-validation-0.parquet")[name] for name in ("inputs", "meta"))
        found = [json.loads(text)["passage"] for text in meta.to_pylist()]
        assert found == [passage_key(text.partition(": ")[2])[:16] for text in bodies.to_pylist()]

    def test_it_is_trained_evaluated_gated_and_released(self, made: tuple[Program, dict[str, Any]]) -> None:
        its, result = made
        assert "title" in result["train"]["loss"]
        report = result["evaluate"]
        assert set(report["candidate"]["title"]) == {"title_rougeL", "words_obeyed"}
        assert list(report["candidate"]["by_difficulty"]["title"]) == ["long", "short"]
        assert report["groups"]["title"] == {"kind": "length", "names": ["short", "long"]}
        assert "title: words_obeyed is 0.0000, under its floor of 0.5000." in result["decision"]["reasons"]
        (version,) = its.mtl("models")["versions"]
        assert version["version"] == result["version"] == 1

    def test_report_and_card_show_it(self, made: tuple[Program, dict[str, Any]]) -> None:
        its, _ = made
        its.mtl("pull", "v1", "pulled")
        report, page, card = (
            (its.folder / "pulled" / name).read_text() for name in ("report.md", "report.html", "README.md")
        )
        assert "### By length" in report
        assert re.findall(r"\| words_obeyed \| (\w+) \|", report) == ["short", "long"]
        assert "By length: short (" in page and "&lt;title&gt; Write a title (" in page
        assert "title (`<title>`)" in card

    def test_a_request_may_name_its_parameter(self, made: tuple[Program, dict[str, Any]]) -> None:
        its, _ = made
        (its.folder / "text.txt").write_text("Body number 3 tells it.")
        asked = ("generate", "--task", "title", "--model", "candidate", "text.txt")
        assert its.mtl(*asked, "--words", "3")["task"] == "title"
        assert "words" in its.mtl(*asked, "--words", "21")["error"]["message"]
        assert "takes no 'easy'" in its.mtl(*asked, "--easy", "1")["error"]["message"]

    def test_the_served_model_takes_it(self, made: tuple[Program, dict[str, Any]]) -> None:
        its, _ = made
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        command = [sys.executable, "-m", "mtl.cli", "serve", "candidate", "--port", str(port)]
        with (its.folder / "log").open("wb") as log:
            server = subprocess.Popen(
                command, cwd=its.folder, env=its.environment, stdout=log, stderr=log, start_new_session=True
            )
        try:
            _wait_for(f"http://127.0.0.1:{port}/ping", server, its.folder / "log")

            def ask(**params: Any) -> httpx.Response:
                body = {"inputs": ["Body number 3 tells it."], "params": {"task": "title", **params}}
                return httpx.post(f"http://127.0.0.1:{port}/invocations", json=body, timeout=60)

            assert len(ask(words=3).json()["predictions"]) == 1
            refused = ask(words=21)
            assert (refused.status_code, refused.json()["field"]) == (400, "words")
            assert "words must be a whole number from 1 to 20" in refused.json()["message"]
        finally:
            os.killpg(server.pid, signal.SIGKILL)
            server.wait()

    def test_the_batch_flow_takes_it(self, made: tuple[Program, dict[str, Any]]) -> None:
        its, _ = made
        write_jsonl(its.folder / "texts.jsonl", [{"text": "Body number 3 tells it."}])
        code = (
            "import os; os.environ['PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS'] = '180'; "  # of a busy machine
            "from flows.generate import generate, Request; "
            "print(Request.model_json_schema()['properties']['words']); "
            "generate('texts.jsonl', 'out', task='title', request={'words': 3}, model='candidate')"
        )
        done = its.python("-c", code)
        assert done.returncode == 0, done.stderr[-3000:]
        assert "title: words of the title" in done.stdout
        assert pq.read_table(its.folder / "out")["error"].to_pylist() == [None]


def _wait_for(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + _SECONDS
    while True:
        assert process.poll() is None and time.monotonic() < deadline, log.read_text()[-3000:]
        try:
            if httpx.get(url, timeout=5).status_code == 200:
                return
        except httpx.HTTPError:
            time.sleep(0.2)
