"""A thousand requests that nobody would send: the served model answers each with 200 or a 4xx, in bounded time."""

from __future__ import annotations

import json
import time

import mlflow
import pytest
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mtl.mlflow_backend.package import packaged
from mtl.mlflow_backend.server import scoring_app
from tests.support.trained import trained_model

SECONDS = 20.0
"""Longest answer on a busy machine: a text of this model takes milliseconds."""

ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=40),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)
TEXT = st.text(max_size=300) | st.sampled_from(["w " * 2000, "\x00", "\ud800", "<mcq>", "</s>" * 50, "٣" * 99, ""])
TASK = st.sampled_from(["summarize", "mcq", "mqc", "", "../mcq", None]) | ANY
COUNT = st.integers(-3, 30) | st.sampled_from([2**31, 2**63, -(2**70), 1e300]) | ANY
PARAMS = st.fixed_dictionaries(
    {},
    optional={
        "task": TASK,
        "easy": COUNT,
        "medium": COUNT,
        "hard": COUNT,
        "truncate": st.booleans() | ANY,
        "max_new_tokens": st.integers(-2, 40) | ANY,
        "unknown": ANY,
    },
)
ROWS = st.lists(st.fixed_dictionaries({}, optional={"text": TEXT | ANY, "other": ANY}) | ANY, max_size=5)
BODY = st.one_of(
    ANY,
    st.fixed_dictionaries({"dataframe_records": ROWS}, optional={"params": PARAMS | ANY}),
    st.fixed_dictionaries({"inputs": st.lists(TEXT | ANY, max_size=5) | ANY}, optional={"params": PARAMS}),
    st.fixed_dictionaries({"instances": ANY}, optional={"params": PARAMS}),
    st.fixed_dictionaries(
        {
            "dataframe_split": st.fixed_dictionaries(
                {
                    "columns": st.just(["text"]) | ANY,
                    "data": st.lists(st.lists(TEXT | ANY, max_size=2), max_size=4) | ANY,
                }
            )
        },
        optional={"params": PARAMS},
    ),
)
CONTENT = BODY.map(lambda value: json.dumps(value).encode()) | st.binary(max_size=80)
KIND = st.sampled_from(["application/json"] * 8 + ["text/csv", "application/json; charset=utf-16", "image/png", ""])


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> TestClient:
    with packaged(trained_model(tmp_path_factory.mktemp("model"))) as packed:
        return TestClient(scoring_app(mlflow.pyfunc.load_model(str(packed))), raise_server_exceptions=False)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_thousand_requests(server: TestClient) -> None:
    seen: dict[int, int] = {}

    @settings(
        max_examples=1000, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck)
    )
    @given(CONTENT, KIND)
    def check(content: bytes, kind: str) -> None:
        begun = time.monotonic()
        answer = server.post("/invocations", content=content, headers={"content-type": kind} if kind else {})
        assert time.monotonic() - begun < SECONDS
        seen[answer.status_code] = seen.get(answer.status_code, 0) + 1
        assert answer.status_code == 200 or 400 <= answer.status_code < 500, answer.text
        assert answer.status_code != 200 or "predictions" in answer.json()
        assert answer.text, "a refusal has its reason"

    check()
    assert sum(seen.values()) >= 1000
    assert seen[200] > 20, "some of them are requests that can be served"
