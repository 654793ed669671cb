"""`mlflow models serve`, as the documentation names it, with the package that is registered."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from mtl.mlflow_backend.package import packaged
from tests.support.trained import trained_model

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]
_SECONDS = 200


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("served")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with packaged(trained_model(folder)) as packed, (folder / "log").open("wb") as log:
        command = [sys.executable, "-m", "mlflow", "models", "serve", "-m", str(packed), "--env-manager", "local"]
        # MLflow finds the server's program on the path, which is that of an activated environment.
        environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
        process = subprocess.Popen(
            [*command, "-p", str(port)], cwd=folder, env=environment, stdout=log, stderr=log, start_new_session=True
        )
        try:
            deadline = time.monotonic() + _SECONDS
            while not _answers(f"http://127.0.0.1:{port}/ping"):
                assert process.poll() is None, (folder / "log").read_text()[-3000:]
                assert time.monotonic() < deadline, (folder / "log").read_text()[-3000:]
                time.sleep(0.2)
            yield f"http://127.0.0.1:{port}/invocations"
        finally:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=5).status_code == 200
    except httpx.HTTPError:
        return False


def test_a_text_is_answered(url: str) -> None:
    answer = httpx.post(url, json={"inputs": ["a passage"], "params": {"task": "mcq", "easy": 1}}, timeout=60)
    assert (answer.status_code, len(answer.json()["predictions"])) == (200, 1)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ({"inputs": ["a passage"], "params": {"task": "mqc"}}, "did you mean 'mcq'"),
        ({"inputs": ["a passage"], "params": {"task": "mcq", "easy": -1}}, "easy must be a whole number from 0 on"),
        ({"inputs": [""]}, "the article is empty"),
        ({"dataframe_records": [{"txt": "x"}]}, "Model is missing inputs ['text']"),
    ],
)
def test_a_bad_request_gets_400_and_the_reason(url: str, body: dict[str, Any], reason: str) -> None:
    answer = httpx.post(url, json=body, timeout=60)
    assert answer.status_code == 400
    assert reason in answer.text
