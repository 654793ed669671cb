"""What an answer of MLflow that breaks off becomes."""

from __future__ import annotations

from urllib.parse import urlsplit

import pytest
import requests

from mtl.errors import TransientError
from mtl.tracking.faults import mlflow_errors
from tests.support.http import Answer, serving
from tests.support.proxy import FaultProxy


@pytest.mark.parametrize("kind", ["cut_body", "end_body", "stall_body"])
def test_a_body_that_breaks_can_be_tried_again(kind: str) -> None:
    """As MLflow downloads: it translates what happens up to the answer's head, and nothing behind it."""
    with serving({"*": Answer(body=bytes(10_000))}) as server:
        target = urlsplit(server.url)
        with FaultProxy(str(target.hostname), int(target.port or 0)) as proxy:
            proxy.fail(kind, after=100)
            with (
                pytest.raises(TransientError, match="could not download an artifact"),
                mlflow_errors("download an artifact"),
                requests.get(proxy.url, stream=True, timeout=0.5) as answer,
            ):
                list(answer.iter_content(1000))
