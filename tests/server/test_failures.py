"""What fails is counted for the version that failed, and only where it is at fault; /invocations counts too."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest

from mtl.server.app import Hooks, Limits, make_app
from mtl.server.batching import Batcher, Wanted
from mtl.traffic.records import ServedAnswer
from tests.server.test_api import MARKER, ask, metric, until
from tests.server.test_batching import Exchanged
from tests.server.toy import Writer, echo, served
from tests.support.serving import serving_app


@dataclass
class Told:
    answered: list[ServedAnswer] = field(default_factory=list)
    scored: list[ServedAnswer] = field(default_factory=list)
    refused: list[int | None] = field(default_factory=list)
    failed: list[int | None] = field(default_factory=list)

    @property
    def hooks(self) -> Hooks:
        return Hooks(self.answered.append, self.scored.append, self.refused.append, self.failed.append)


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture
def writer() -> Writer:
    return Writer()


@pytest.fixture
def url(writer: Writer, told: Told) -> Iterator[str]:
    with serving_app(make_app(served(writer), limits=Limits(texts=3, seconds=20), hooks=told.hooks)) as address:
        yield address
        writer.may.set()


def score(url: str, texts: Sequence[str], *, timeout: float = 60, **params: Any) -> httpx.Response:
    return httpx.post(f"{url}/invocations", json={"inputs": list(texts), "params": params}, timeout=timeout)


class Panic(BaseException):
    """What a library in Rust raises when it panics is no Exception."""


def fail_at_poison(inputs: Sequence[str]) -> list[str]:
    if any("poison" in text for text in inputs):
        raise Panic("index out of bounds")
    return echo(inputs)


def test_a_failure_is_that_of_the_version_that_wrote_though_another_one_answers_now(writer: Writer, told: Told) -> None:
    writer.write = fail_at_poison
    writer.may.clear()
    models = Exchanged(served(writer, version=1).current())
    with serving_app(make_app(models, hooks=told.hooks)) as url, ThreadPoolExecutor(1) as pool:
        failing = pool.submit(ask, url, texts=["poison", "a"])
        assert writer.begun.wait(60)
        models.model = served(Writer(), version=2).current()
        writer.may.set()
        assert failing.result().status_code == 500
        assert ask(url, "a").json()["version"] == 2
    assert told.failed == [1, 1]


def test_a_version_that_does_not_answer_in_time_failed(writer: Writer, told: Told) -> None:
    writer.may.clear()
    with serving_app(make_app(served(writer), limits=Limits(seconds=0.3), hooks=told.hooks)) as url:
        assert ask(url, "text 0").status_code == 503
        assert told.failed == [7]
        assert ask(url, "text 1").status_code == 503  # it waits for the batch that hangs
        assert told.failed == [7, 7]
        writer.may.set()


def test_who_waits_behind_others_is_no_failure_of_the_version() -> None:
    turns = threading.Semaphore(0)

    def write(inputs: Sequence[str]) -> list[str]:
        assert turns.acquire(timeout=60)
        return echo(inputs)

    writer = Writer(write)
    batcher = Batcher(served(writer))
    first, second, third = (batcher.submit(Wanted("summarize", ("a b",), max_new_tokens=n)) for n in (1, 2, 3))
    turns.release()
    until(lambda: len(writer.batches) == 2)
    assert batcher.waits_for(second) == 7
    assert batcher.waits_for(third) is None, "the batch before it began after it came"
    turns.release(2)
    assert first.future.result(60).model.version == third.future.result(60).model.version == 7
    batcher.close()


def test_a_version_that_lacks_a_task_refuses_its_texts(writer: Writer, told: Told) -> None:
    with serving_app(make_app(served(writer, tasks=["summarize"]), hooks=told.hooks)) as url:
        answer = ask(url, texts=["a", "b"], task="mcq")
        assert (answer.status_code, answer.json()["error"]["message"]) == (404, "this model was not trained on mcq")
        assert score(url, ["a"], task="mcq").status_code == 400
        assert ask(url, "a", task="mqc").status_code == 404  # no task of anybody
    assert (told.refused, told.failed) == ([7, 7, 7], [])


def test_a_panic_spoils_its_own_answer_alone(url: str, writer: Writer) -> None:
    writer.write = fail_at_poison
    writer.may.clear()
    with ThreadPoolExecutor(3) as pool:
        first = pool.submit(ask, url, "text 0")
        assert writer.begun.wait(60)
        others = [pool.submit(ask, url, text) for text in ("poison", "b")]
        until(lambda: metric(url, "mtl_serve_queue_texts") == 2)
        writer.may.set()
        assert [each.result().status_code for each in (first, *others)] == [200, 500, 200]
    assert httpx.get(f"{url}/health").status_code == 200


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")  # the fault that is caused here
def test_a_server_whose_thread_has_ended_says_so(writer: Writer) -> None:
    def end(record: logging.LogRecord) -> bool:
        raise RuntimeError("from where nothing is expected")

    writer.write = fail_at_poison
    log = logging.getLogger("mtl.server.batching")
    log.addFilter(end)
    try:
        with serving_app(make_app(served(writer), limits=Limits(seconds=1))) as url:
            assert ask(url, "poison").status_code == 503
            health = httpx.get(f"{url}/health")
    finally:
        log.removeFilter(end)
    assert health.status_code == 503
    assert health.json()["fault"]["message"] == "the thread that answers has ended"


def test_a_table_is_answered_in_parts_and_counted(url: str, writer: Writer, told: Told) -> None:
    writer.may.clear()
    with ThreadPoolExecutor(2) as pool:
        table = pool.submit(score, url, [f"text {n}" for n in range(70)])
        assert writer.begun.wait(60)
        other = pool.submit(ask, url, "text other")
        until(lambda: metric(url, "mtl_serve_queue_texts") == 1)
        writer.may.set()
        assert [found["output"] for found in table.result().json()["predictions"]] == [str(n) for n in range(70)]
        assert other.result().status_code == 200
    assert [len(batch) for batch in writer.batches] == [32, 1, 32, 6], "the other caller had its turn"
    assert [(record.text, record.version) for record in told.scored] == [(f"text {n}", 7) for n in range(70)]
    assert len(told.answered) == 1, "the table is in no log"


def test_a_table_with_a_bad_row_is_refused_and_its_number_said(url: str, told: Told) -> None:
    answer = score(url, ["a"] * 32 + [""])
    assert (answer.status_code, answer.json()["message"]) == (
        400,
        "text 33: the article is empty\n  give a text that has words",
    )
    assert (len(told.scored), told.refused) == (32, [7])
    answer = score(url, ["a"] * 10_001)
    assert answer.status_code == 400
    assert "at most 10,000 texts in one request, got 10,001" in answer.json()["message"]


def test_a_failure_of_invocations_is_counted_and_the_log_repeats_nothing(
    url: str, writer: Writer, told: Told, caplog: pytest.LogCaptureFixture
) -> None:
    writer.write = fail_at_poison
    assert score(url, [f"{MARKER} poison", "b"]).status_code == 500
    assert told.failed == [7, 7]
    assert "index out of bounds" in caplog.text
    assert MARKER not in caplog.text


def test_a_caller_of_invocations_that_went_away_costs_nothing_more(url: str, writer: Writer) -> None:
    writer.may.clear()
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(ask, url, "text 0")
        assert writer.begun.wait(60)
        with pytest.raises(httpx.ReadTimeout):
            score(url, ["text 1"], timeout=0.5)
        until(lambda: metric(url, "mtl_serve_queue_texts") == 0)
        writer.may.set()
        assert first.result().status_code == 200
    assert ask(url, "text 2").status_code == 200
    assert [batch[0].rpartition(" ")[2] for batch in writer.batches] == ["0", "2"]
