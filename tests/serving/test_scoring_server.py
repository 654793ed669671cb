"""The model behind MLflow's own scoring server: every bad request is a 4xx with its reason, never a 5xx."""

from __future__ import annotations

import json
from typing import Any

import mlflow
import pytest
from fastapi.testclient import TestClient

from mtl.errors import PermanentError
from mtl.mlflow_backend.package import packaged
from mtl.mlflow_backend.server import delegating_model, scoring_app
from mtl.serving.generate import load_generator
from tests.support.trained import trained_model


@pytest.fixture(scope="module", params=["registered", "served"])
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> TestClient:
    """The registered model, and the one that `mtl serve` has in memory, of which MLflow knows the signature alone."""
    folder = trained_model(tmp_path_factory.mktemp("model"))
    if request.param == "served":
        model = delegating_model(load_generator(folder, engine="auto").generate)
        return TestClient(scoring_app(model), raise_server_exceptions=False)
    with packaged(folder) as packed:
        return TestClient(scoring_app(mlflow.pyfunc.load_model(str(packed))), raise_server_exceptions=False)


def post(server: TestClient, body: Any) -> tuple[int, dict[str, Any]]:
    content = body if isinstance(body, bytes) else json.dumps(body)
    answer = server.post("/invocations", content=content, headers={"content-type": "application/json"})
    return answer.status_code, answer.json()


@pytest.mark.parametrize(
    ("body", "answers"),
    [
        ({"inputs": ["a text"]}, 1),
        ({"dataframe_split": {"columns": ["text"], "data": [["x"], ["y"]]}, "params": {"task": "mcq", "easy": 1}}, 2),
        ({"dataframe_records": [{"text": "w " * 500}], "params": {"truncate": True, "max_new_tokens": 3}}, 1),
        ({"dataframe_records": [{"text": "\x00x"}]}, 1),
    ],
)
def test_answers(server: TestClient, body: Any, answers: int) -> None:
    status, document = post(server, body)
    assert (status, len(document["predictions"])) == (200, answers)


def record(text: Any, **params: Any) -> dict[str, Any]:
    return {"dataframe_records": [{"text": text}], "params": params}


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (record("x", task="mqc"), "did you mean 'mcq'"),
        (record("x", task=None), "task must be a name"),
        (record("x", easy=1), "summarize takes no 'easy'"),
        (record("x", easy="a"), "easy"),
        (record("x", task="mcq", easy=2**70), "asked for 1180591620717411303424 questions"),
        (record("x", max_new_tokens=-1), "max_new_tokens must be 1 to 4096"),
        (record("w " * 500), "tokens long with its instruction, the limit is 200"),
        (record(5), "texts must be a list of strings"),
        (record(None), "texts must be a list of strings"),
        (record(["x"]), "texts must be a list of strings"),
        (record(" "), "the article is empty"),
        ({"inputs": ["x \ud800"]}, "surrogates not allowed"),
        ({"inputs": [["a", "b"]]}, "texts must be a list of strings"),
        ({"inputs": 5}, "Model is missing inputs"),
        ({"dataframe_records": [{"txt": "x"}]}, "Model is missing inputs"),
        ({"dataframe_records": []}, "Model is missing inputs"),
        ({"dataframe_records": [{"text": "x"}], "params": [1]}, "Parameters must be a dictionary"),
        ({}, "exactly one of the input fields"),
        ([1], "exactly one of the input fields"),
        (None, "exactly one of the input fields"),
        (b"[", "valid JSON"),
        (b"\xff\xfe", "valid JSON"),
    ],
)
def test_bad_requests(server: TestClient, body: Any, reason: str) -> None:
    status, document = post(server, body)
    assert status == 400
    assert reason in document["message"]


MARKER = "Zanzibar7"


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (f'{{"inputs": ["{MARKER}', "application/json"),
        (f'["{MARKER}"]', "application/json"),
        (json.dumps({MARKER: 1}), "application/json"),
        (json.dumps({"inputs": [MARKER], MARKER: MARKER}), "application/json"),
        (json.dumps({"inputs": {MARKER: [MARKER]}}), "application/json"),
        (json.dumps({"inputs": [[MARKER]]}), "application/json"),
        (json.dumps({"inputs": [f"{MARKER} \ud800"]}), "application/json"),
        (json.dumps({"dataframe_records": [{MARKER: MARKER}]}), "application/json"),
        (json.dumps({"dataframe_records": [{"text": {MARKER: MARKER}}]}), "application/json"),
        (json.dumps({"dataframe_split": {"columns": [[MARKER]], "data": [[MARKER]]}}), "application/json"),
        (json.dumps({"instances": {MARKER: MARKER}}), "application/json"),
        (json.dumps({"messages": [{"role": MARKER, "content": MARKER}]}), "application/json"),
        (json.dumps(record(f"{MARKER} " * 500)), "application/json"),
        (json.dumps(record("x", task=MARKER)), "application/json"),
        (json.dumps(record("x", task=[MARKER])), "application/json"),
        (json.dumps(record("x", easy=MARKER)), "application/json"),
        (json.dumps(record("x", task="mcq", easy=int("8" * 4000))), "application/json"),
        (json.dumps(record("x", max_new_tokens=int("8" * 4000))), "application/json"),
        (json.dumps(record("x", truncate=MARKER)), "application/json"),
        (json.dumps({**record("x"), "params": {MARKER: {MARKER: 1}}}), "application/json"),
        (json.dumps({**record("x"), "params": MARKER}), "application/json"),
        (f"{MARKER},b\n1", "text/csv"),
        (f'"{MARKER}', "text/csv"),
        (MARKER, "application/x-parquet"),
        (MARKER, "application/vnd.apache.parquet"),
        ('{"inputs": ["x"]}', f"application/{MARKER}"),
        ('{"inputs": ["x"]}', f"application/json; {MARKER}={MARKER}"),
        ('{"inputs": ["x"]}', f"application/json; charset={MARKER}"),
    ],
)
def test_no_answer_repeats_what_was_sent(server: TestClient, content: str, kind: str) -> None:
    answer = server.post("/invocations", content=content.encode(), headers={"content-type": kind})
    said = answer.text + str(answer.headers)
    assert MARKER.lower() not in said.lower()
    assert "8" * 30 not in said
    assert len(said) < 2000
    if answer.status_code != 200:  # an unknown parameter is left out by MLflow
        assert 400 <= answer.status_code < 500
        assert answer.json()["message"]


@pytest.mark.parametrize("method", ["GET", "PUT", "POST"])
def test_other_addresses_repeat_nothing_either(server: TestClient, method: str) -> None:
    answer = server.request(method, f"/{MARKER}?{MARKER}={MARKER}", headers={MARKER: MARKER})
    assert answer.status_code == 404
    assert MARKER not in answer.text + str(answer.headers)
    assert "POST /invocations" in answer.json()["message"]


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b'{"dataframe_split": {"columns": [null, []], "data": [[1, 2]]}}', "application/json"),
        (b'{"inputs": ["a text"]}', None),
    ],
)
def test_what_mlflow_cannot_read_is_the_callers_fault(server: TestClient, content: bytes, kind: str | None) -> None:
    answer = server.post("/invocations", content=content, headers={"content-type": kind} if kind else {})
    assert answer.status_code == 400
    assert "the request could not be read" in answer.json()["message"]


@pytest.mark.parametrize("error", [PermanentError("a shard is missing"), ValueError("no kernel for Zanzibar7")])
def test_a_model_that_fails_leaves_no_text_in_the_log(error: Exception, caplog: pytest.LogCaptureFixture) -> None:
    def fail(texts: list[str], task: str, **options: Any) -> list[Any]:
        raise error

    failing = TestClient(scoring_app(delegating_model(fail)), raise_server_exceptions=False)
    status, document = post(failing, {"inputs": ["a text about Zanzibar7"]})
    assert status >= 400
    assert "the server's log says why" in document["message"]
    assert "Zanzibar7" not in caplog.text + str(document)
    assert ("a shard is missing" if isinstance(error, PermanentError) else "test_scoring_server.py") in caplog.text
