"""The API over real HTTP: answers, refusals, limits, the key, and the end of the server."""

from __future__ import annotations

import json
import re
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from mtl.errors import InputError
from mtl.ports import hold
from mtl.server.access import check_reach
from mtl.server.app import Hooks, Limits, make_app
from mtl.traffic.records import ServedAnswer
from tests.server.toy import LIMIT, Writer, echo, served
from tests.support.serving import serving_app

KEY = "a key of sixteen and more"
ROOT = Path(__file__).parents[2]
MARKER = "Zanzibar7"


@pytest.fixture
def writer() -> Writer:
    return Writer()


@pytest.fixture
def url(writer: Writer) -> Iterator[str]:
    with serving_app(make_app(served(writer), limits=Limits(waiting=4, texts=3, seconds=20))) as address:
        yield address
        writer.may.set()


def ask(url: str, text: str | None = None, *, timeout: float = 60, **more: Any) -> httpx.Response:
    given = {} if text is None else {"text": text}
    return httpx.post(f"{url}/v1/generate", json={"task": "summarize", **given, **more}, timeout=timeout)


def metric(url: str, name: str) -> float:
    lines = httpx.get(f"{url}/metrics").text.splitlines()
    return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(name))


def until(condition: Any) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_an_answer_and_its_record(writer: Writer) -> None:
    answered: list[ServedAnswer] = []
    refused: list[int | None] = []
    hooks = Hooks(on_answered=answered.append, on_refused=refused.append)
    with serving_app(make_app(served(writer), hooks=hooks)) as url:
        document = ask(url, texts=["the ferry left", "", "w " * LIMIT]).json()
    assert (document["model"], document["version"]) == ("toy", 7)
    first, empty, long = document["answers"]
    assert first == {
        "id": answered[0].id,
        "output": "left",
        "text": "Summary: left",
        "truncated": False,
        "usable": True,
    }
    assert set(empty) == {"id", "error"}
    assert empty["error"]["message"] == "text 2: the article is empty"
    assert f"the limit is {LIMIT}" in long["error"]["message"]
    (record,) = answered
    assert (record.task, record.text, record.answer) == ("summarize", "the ferry left", "Summary: left")
    assert (record.version, record.usable, record.request) == (7, True, {})
    assert record.decoding == {"num_beams": 1, "length_penalty": 1.0, "candidates": 1}
    assert refused == [7, 7]


def test_a_hook_that_fails_costs_the_caller_nothing(writer: Writer) -> None:
    def fail(answer: ServedAnswer) -> None:
        raise OSError("the disk is full")

    with serving_app(make_app(served(writer), hooks=Hooks(on_answered=fail))) as url:
        assert ask(url, "the ferry left").json()["answers"][0]["output"] == "left"


def test_callers_share_a_batch(url: str, writer: Writer) -> None:
    writer.may.clear()
    with ThreadPoolExecutor(4) as pool:
        first = pool.submit(ask, url, "text 0")
        assert writer.begun.wait(60)
        others = [pool.submit(ask, url, f"text {n}", truncate=n == 2) for n in (1, 2, 3)]
        until(lambda: metric(url, "mtl_serve_queue_texts") == 3)
        writer.may.set()
        found = [each.result().json()["answers"][0]["output"] for each in (first, *others)]
    assert found == ["0", "1", "2", "3"]
    assert [len(batch) for batch in writer.batches] == [1, 3]
    assert metric(url, "mtl_serve_batch_texts_sum") == 4
    assert metric(url, 'mtl_serve_requests_total{path="/v1/generate",status="200",task="summarize"}') == 4


def test_questions_of_different_requests_share_a_batch_and_other_limits_do_not(url: str, writer: Writer) -> None:
    writer.may.clear()
    with ThreadPoolExecutor(4) as pool:
        begun = [pool.submit(ask, url, "text 0")]
        assert writer.begun.wait(60)
        begun += [
            pool.submit(ask, url, "a passage", task="mcq", request={"easy": 1}),
            pool.submit(ask, url, "a passage", task="mcq", request={"hard": 2}),
            pool.submit(ask, url, "a passage", task="mcq", max_new_tokens=3),
        ]
        until(lambda: metric(url, "mtl_serve_queue_texts") == 3)
        writer.may.set()
        assert [each.result().status_code for each in begun] == [200] * 4
    sizes = sorted(len(batch) for batch in writer.batches)
    assert sizes == [1, 1, 2]


def test_a_full_queue_is_429_with_retry_after(url: str, writer: Writer) -> None:
    writer.may.clear()
    with ThreadPoolExecutor(5) as pool:
        begun = [pool.submit(ask, url, "text 0")]
        assert writer.begun.wait(60)
        begun += [pool.submit(ask, url, texts=["a", "b"]) for _ in range(2)]
        until(lambda: metric(url, "mtl_serve_queue_texts") == 4)
        refused = ask(url, "one more")
        scored = httpx.post(f"{url}/invocations", json={"inputs": ["one more"]}, timeout=60)
        writer.may.set()
        assert [each.result().status_code for each in begun] == [200] * 3
    assert (refused.status_code, refused.headers["retry-after"]) == (429, "1")
    assert refused.json()["error"]["kind"] == "queue_full"
    assert "4 texts wait to be answered, and at most 4 may" in refused.json()["error"]["message"]
    assert (scored.status_code, scored.headers["retry-after"]) == (429, "1")
    assert "4 texts wait" in scored.json()["message"]
    assert metric(url, 'mtl_serve_refused_total{reason="queue_full"}') == 2  # by the paths' own names


def test_who_waits_too_long_is_told_so_and_leaves_the_queue(writer: Writer) -> None:
    writer.may.clear()
    with serving_app(make_app(served(writer), limits=Limits(seconds=0.3))) as url, ThreadPoolExecutor(2) as pool:
        first = pool.submit(ask, url, "text 0")
        assert writer.begun.wait(60)
        second = ask(url, "text 1")
        assert metric(url, "mtl_serve_queue_texts") == 0
        writer.may.set()
        assert first.result().status_code == second.status_code == 503
        assert ask(url, "text 2").status_code == 200
    assert second.headers["retry-after"] == "1"
    assert "did not come within 0.3 seconds" in second.json()["error"]["message"]
    assert [batch[0].rpartition(" ")[2] for batch in writer.batches] == ["0", "2"]


def test_a_caller_that_went_away_costs_nothing_more(url: str, writer: Writer) -> None:
    writer.may.clear()
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(ask, url, "text 0")
        assert writer.begun.wait(60)
        with pytest.raises(httpx.ReadTimeout):
            ask(url, "text 1", timeout=0.5)
        until(lambda: metric(url, "mtl_serve_queue_texts") == 0)
        writer.may.set()
        assert first.result().status_code == 200
    assert ask(url, "text 2").status_code == 200
    assert [batch[0].rpartition(" ")[2] for batch in writer.batches] == ["0", "2"]
    assert metric(url, 'mtl_serve_requests_total{path="/v1/generate",status="499"') == 1


def test_a_text_that_the_model_cannot_take_fails_alone(url: str, writer: Writer) -> None:
    def write(inputs: Any) -> list[str]:
        if any("poison" in text for text in inputs):
            raise RuntimeError("no kernel for this")
        return echo(inputs)

    writer.write = write
    writer.may.clear()
    with ThreadPoolExecutor(4) as pool:
        first = pool.submit(ask, url, "text 0")
        assert writer.begun.wait(60)
        others = [pool.submit(ask, url, text) for text in ("a", "poison", "b")]
        until(lambda: metric(url, "mtl_serve_queue_texts") == 3)
        writer.may.set()
        codes = [each.result().status_code for each in (first, *others)]
    assert codes == [200, 200, 500, 200]
    assert others[1].result().json()["error"] == {
        "kind": "internal",
        "message": "the model could not answer",
        "field": None,
        "hint": "the server's log says why",
    }


def test_what_is_in_the_queue_is_answered_before_the_end(writer: Writer) -> None:
    writer.may.clear()
    with ThreadPoolExecutor(3) as pool:
        with serving_app(make_app(served(writer))) as url:
            begun = [pool.submit(ask, url, "text 0")]
            assert writer.begun.wait(60)
            begun.append(pool.submit(ask, url, "text 1"))
            until(lambda: metric(url, "mtl_serve_queue_texts") == 1)
            threading.Timer(0.3, writer.may.set).start()
        assert [each.result().json()["answers"][0]["output"] for each in begun] == ["0", "1"]
        with pytest.raises(httpx.ConnectError):
            ask(url, "text 2")


@pytest.mark.parametrize(
    ("body", "status", "reason", "field"),
    [
        ({"task": "mqc", "text": "x"}, 404, "no such task", "task"),
        ({"task": MARKER, "text": "x"}, 404, "no such task", "task"),
        ({"task": "summarize"}, 422, "give either text or texts", None),
        ({"task": "summarize", "text": "x", "texts": ["y"]}, 422, "give either text or texts", None),
        ({"task": "summarize", "texts": []}, 422, "at least 1 item", "texts"),
        ({"task": "summarize", "texts": ["x"] * 4}, 422, "at most 3 texts in one request, got 4", "texts"),
        ({"task": "summarize", "text": " "}, 422, "the text: the article is empty", "text"),
        ({"task": "summarize", "text": f"{MARKER} " * LIMIT}, 422, f"the limit is {LIMIT}", "text"),
        ({"task": "summarize", "text": 5}, 422, "valid string", "text"),
        ({"task": "summarize", "text": "x", MARKER: 1}, 422, "unknown field", None),
        ({"task": "mcq", "text": "x", "request": {MARKER: 1}}, 422, "unknown field in request", "request"),
        ({"task": "mcq", "text": "x", "request": {"easy": -1}}, 422, "greater than or equal to 0", "request.easy"),
        ({"task": "mcq", "text": "x", "request": {"easy": "1"}}, 422, "valid integer", "request.easy"),
        ({"task": "mcq", "text": "x", "request": {"easy": 21}}, 422, "asked for 21 questions", "easy"),
        ({"task": "summarize", "text": "x", "request": {"easy": 1}}, 422, "summarize takes no 'easy'", "easy"),
        ({"task": "summarize", "text": "x", "marks": True}, 422, "no questions that could be marked", "marks"),
        ({"task": "summarize", "text": "x", "candidates": 2}, 422, "candidates must be 1", "candidates"),
        ({"task": "mcq", "text": "x", "candidates": 2, "num_beams": 2}, 422, "exclude each other", "candidates"),
        ({"task": "summarize", "text": "x", "length_penalty": 2}, 422, "without beams it has no effect", None),
        ({"task": "summarize", "text": "x", "max_new_tokens": 0}, 422, "greater than or equal to 1", None),
        ('{"task": "summarize", "text": "x \\ud800"}', 422, "string", "text"),
        ([MARKER], 422, "the body is no JSON object", None),
        (b'{"task": "summarize", "text": "caf\xe9"}', 400, "the body is not UTF-8", None),
        ("[" * 200_000, 400, "the body is nested too deeply", None),
        (f'{{"task": "{MARKER}', 400, "the body is not valid JSON", None),
    ],
)
def test_bad_requests_get_the_reason_and_nothing_of_what_they_sent(
    url: str, body: Any, status: int, reason: str, field: str | None
) -> None:
    content = body if isinstance(body, str | bytes) else json.dumps(body)
    kind = {"content-type": "application/json"}
    answer = httpx.post(f"{url}/v1/generate", content=content, headers=kind, timeout=60)
    assert (answer.status_code, set(answer.json())) == (status, {"error"})
    assert reason in answer.json()["error"]["message"]
    assert field in (None, answer.json()["error"]["field"])
    assert MARKER not in answer.text


@pytest.mark.parametrize(
    ("body", "hint"),
    [
        ({"task": "summarize", "txt": "x"}, "did you mean 'text'?"),
        ({"task": "mcq", "text": "x", "request": {MARKER: 1}}, "known: easy, hard, medium"),
        ([], "send an object with the fields task, text, "),
        ({"task": "summarize", "text": ""}, "give a text that has words"),
    ],
)
def test_a_bad_request_hears_what_is_expected(url: str, body: Any, hint: str) -> None:
    assert httpx.post(f"{url}/v1/generate", json=body, timeout=60).json()["error"]["hint"].startswith(hint)


def test_another_method_and_a_slash_at_the_end(url: str) -> None:
    other = httpx.get(f"{url}/v1/generate")
    assert (other.status_code, other.headers["allow"]) == (405, "POST")
    error = other.json()["error"]
    assert (error["message"], error["hint"]) == ("GET is not possible here", "use POST")
    assert httpx.post(f"{url}/v1/generate/", json={}).status_code == 404


@pytest.mark.parametrize("kind", ["application/x-www-form-urlencoded", "text/plain", None])
def test_json_must_be_called_json(url: str, kind: str | None) -> None:
    """What `curl -d` sends is called a form."""
    headers = {} if kind is None else {"content-type": kind}
    content = f'{{"task": "summarize", "text": "{MARKER}"}}'
    answer = httpx.post(f"{url}/v1/generate", content=content.encode(), headers=headers, timeout=60)
    assert answer.status_code == 415
    error = answer.json()["error"]
    assert error["field"] == "Content-Type"
    assert "Content-Type: application/json" in error["hint"]
    assert MARKER not in answer.text
    empty = httpx.post(f"{url}/v1/generate", headers=headers, timeout=60)
    assert (empty.status_code, empty.json()["error"]["message"]) == (422, "the body is empty")


def test_a_body_that_is_too_large_gets_the_projects_error(writer: Writer) -> None:
    with serving_app(make_app(served(writer), limits=Limits(max_body=2000))) as url:
        answer = ask(url, "w " * 2000)
        assert answer.status_code == 413
        assert "at most 2,000 bytes" in answer.json()["error"]["message"]
        assert metric(url, 'mtl_serve_refused_total{reason="body"}') == 1


@pytest.mark.parametrize(
    ("given", "status"),
    [
        ({}, 401),
        ({"authorization": f"Bearer {KEY}"}, 200),
        ({"authorization": f"Bearer {KEY}x"}, 401),
        ({"authorization": f"Basic {KEY}"}, 401),
        ({"authorization": KEY}, 401),
    ],
)
def test_with_a_key_only_its_holders_are_answered(writer: Writer, given: dict[str, str], status: int) -> None:
    with serving_app(make_app(served(writer), key=SecretStr(KEY))) as url:
        bodies = {"/v1/generate": {"task": "summarize", "text": "x"}, "/invocations": {"inputs": ["x"]}}
        answers = [httpx.post(url + path, json=body, headers=given, timeout=60) for path, body in bodies.items()]
        assert [answer.status_code for answer in answers] == [status] * 2
        if status == 401:
            assert answers[0].headers["www-authenticate"] == "Bearer"
            assert answers[0].json()["error"]["kind"] == "unauthorised"
            assert KEY not in answers[0].text
            assert httpx.get(f"{url}/v1/anything", headers=given).status_code == 401
        assert [httpx.get(url + path).status_code for path in ("/health", "/metrics", "/openapi.json")] == [200] * 3


@pytest.mark.parametrize("host", ["rebound.example", "192.0.2.1:80", "localhost.example", ""])
def test_without_a_key_another_name_for_this_machine_is_refused(url: str, host: str) -> None:
    refused = httpx.get(f"{url}/health", headers={"host": host})
    assert refused.status_code == 403
    assert refused.json()["error"]["field"] == "Host"
    for own in ("localhost", "127.0.0.1:5002", "[::1]:5002"):
        assert httpx.get(f"{url}/health", headers={"host": own}).status_code == 200


@pytest.mark.parametrize("origin", ["https://evil.example", "http://localhost.example", "http://192.0.2.1:80", "null"])
def test_without_a_key_nothing_is_taken_from_a_page_of_another_address(url: str, writer: Writer, origin: str) -> None:
    body = json.dumps({"task": "summarize", "text": "x"})
    for path in ("/v1/generate", "/invocations"):
        refused = httpx.post(url + path, content=body, headers={"origin": origin, "content-type": "text/plain"})
        assert (refused.status_code, refused.json()["error"]["field"]) == (403, "Origin")
    assert writer.batches == []
    assert httpx.get(f"{url}/health", headers={"origin": origin}).status_code == 200
    for own in ("http://localhost:5002", url):
        headers = {"origin": own, "content-type": "application/json"}
        assert httpx.post(f"{url}/v1/generate", content=body, headers=headers).status_code == 200


@pytest.mark.parametrize(("host", "open_to_others"), [("127.0.0.1", False), ("localhost", False), ("0.0.0.0", True)])
def test_others_can_reach_the_server_only_if_there_is_a_key(host: str, open_to_others: bool) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with hold(host, port) as sockets:
        check_reach(host, sockets, key=SecretStr(KEY))
        if not open_to_others:
            check_reach(host, sockets, key=None)
            return
        with pytest.raises(InputError, match="can be reached by others, and MTL_SERVE_KEY is not set"):
            check_reach(host, sockets, key=None)


def test_a_parameter_that_mlflow_does_not_know_is_not_logged(url: str, capfd: pytest.CaptureFixture[str]) -> None:
    body = {"inputs": ["the ferry left"], "params": {"task": "summarize", MARKER: 1}}
    assert httpx.post(f"{url}/invocations", json=body, timeout=60).status_code == 200
    assert MARKER not in "".join(capfd.readouterr())


def test_health_and_mlflows_paths(url: str) -> None:
    health = httpx.get(f"{url}/health").json()
    since = "2026-11-27T00:00:00+00:00"
    assert health == {"model": "toy", "version": 7, "seq": 3, "since": since, "fault": None, "log": False}
    scored = httpx.post(f"{url}/invocations", json={"inputs": ["the ferry left"]}, timeout=60)
    assert scored.json() == {"predictions": [{"output": "left", "text": "Summary: left", "truncated": False}]}
    assert httpx.get(f"{url}/ping").status_code == httpx.get(f"{url}/version").status_code == 200
    assert metric(url, "mtl_serve_version") == 7
    nothing = httpx.get(f"{url}/{MARKER}")
    assert nothing.status_code == 404
    assert {"/v1/generate", "/openapi.json"} <= set(re.split(", | ", nothing.json()["error"]["hint"]))
    assert MARKER not in nothing.text


def test_the_page_of_the_api_needs_no_network(url: str) -> None:
    pytest.importorskip("fastapi_offline", reason="the page comes with the extra serve")
    page = httpx.get(f"{url}/docs").text
    assert "https://" not in page
    assert httpx.get(f"{url}/static-offline-docs/swagger-ui-bundle.js").status_code == 200


@pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")
def test_the_example_of_the_page(url: str) -> None:
    (example,) = re.findall(r"```sh\n(curl .*?)```", (ROOT / "docs" / "serving.md").read_text(), re.S)
    assert "http://127.0.0.1:5002/v1/generate" in example
    done = subprocess.run(
        ["sh", "-c", example.replace("http://127.0.0.1:5002", url)], capture_output=True, text=True, check=True
    )
    assert set(json.loads(done.stdout)) == {"model", "version", "answers"}, done.stdout


def test_without_the_extra_the_server_starts(writer: Writer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "fastapi_offline", None)  # as if it were not installed
    with serving_app(make_app(served(writer))) as url:
        assert httpx.get(f"{url}/docs").status_code == 404
        assert ask(url, "the ferry left").status_code == 200
