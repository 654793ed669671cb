"""A thousand requests and more, made from the API's own OpenAPI document: no 5xx, and none that hangs."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from mtl.server.app import make_app
from mtl.server.served import OneModel, ServedModel
from mtl.serving.generate import load_generator
from tests.support.serving import serving_app
from tests.support.trained import trained_model

SECONDS = 120
"""Longest answer on a busy machine; the test fails if one takes longer."""
EACH = 600
"""Requests that follow the document, and as many that do not."""


@pytest.mark.slow
@pytest.mark.timeout(3000)
def test_requests_that_follow_the_document_and_requests_that_do_not(tmp_path: Path) -> None:
    schemathesis: Any = pytest.importorskip("schemathesis", reason="the extra dev installs schemathesis")
    folder = trained_model(tmp_path)
    model = ServedModel("m", None, None, "", folder, load_generator(folder, engine="auto"))
    seen: Counter[int] = Counter()
    with serving_app(make_app(OneModel(model))) as url:
        operation = schemathesis.openapi.from_url(f"{url}/openapi.json")["/v1/generate"]["POST"]
        for mode in schemathesis.GenerationMode:
            _send(operation.as_strategy(generation_mode=mode), seen)
    assert sum(seen.values()) >= 2 * EACH * 0.9, "hypothesis runs out of different requests late"
    assert all(status < 500 for status in seen), seen
    assert seen[200] and seen[422], seen


def _send(requests: Any, seen: Counter[int]) -> None:
    @settings(
        max_examples=EACH, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck)
    )
    @given(requests)
    def send(case: Any) -> None:
        answer = case.call(timeout=SECONDS)
        seen[answer.status_code] += 1
        assert answer.status_code < 500, (case.body, answer.text)
        if answer.status_code >= 400:
            assert set(answer.json()) >= {"error"}

    send()
