"""A real `mtl serve` that logs: what a kill costs is bounded and told, and no secret that was sent stays anywhere."""

from __future__ import annotations

import gzip
import io
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pyarrow.parquet as pq
import pytest

from mtl.store.folder import FolderStore
from mtl.traffic.store import read_answers, read_feedback
from tests.support.trained import trained_model

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

SECRETS = {
    "email": "anna.planted@example.org",
    "phone": "+49 151 23456789",
    "iban": "DE89370400440532013000",
    "card": "4111111111111111",
    "address": "192.0.2.77",
    "aws": "AKIAIOSFODNN7PLANTED",
    "bearer": "planted0token1planted2",
    "password": "pl4nted-hunter2",
    "setting": "planted-value-of-a-setting",
}
TEXT = (
    "Ann came to the house. Mail {email}, call {phone}, pay {iban} or {card} from {address}. {aws} "
    "Authorization: Bearer {bearer} password={password} and {setting}."
).format(**SECRETS)


@contextmanager
def serving(
    folder: Path, model: Path, output: Path, *, share: str = "1"
) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    environment = {
        **os.environ,
        "MTL_HOME": str(folder / "home"),
        "MTL_STORE": str(folder / "store"),
        "MTL_TRAFFIC_LOG": share,
        "MTL_NOTIFY_SECRET": SECRETS["setting"],
    }
    command = [sys.executable, "-m", "mtl.cli", "serve", str(model), "--port", str(port)]
    with output.open("ab") as file:
        process = subprocess.Popen(command, cwd=folder, env=environment, stdout=file, stderr=file)
    try:
        deadline = time.monotonic() + 200
        while not _healthy(port):
            assert process.poll() is None and time.monotonic() < deadline, output.read_text()[-3000:]
            time.sleep(0.1)
        yield f"http://127.0.0.1:{port}", process
    finally:
        process.kill()
        process.wait()


def _healthy(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/health", timeout=5).status_code == 200
    except httpx.HTTPError:
        return False


def ask(url: str, texts: list[str]) -> list[str]:
    body = {"task": "summarize", "texts": texts, "max_new_tokens": 2, "truncate": True}
    answer = httpx.post(f"{url}/v1/generate", json=body, timeout=120)
    assert answer.status_code == 200 and "error" not in answer.text, answer.text
    return [one["id"] for one in answer.json()["answers"]]


def test_a_kill_costs_what_was_not_written_and_no_secret_stays(tmp_path: Path) -> None:
    model, output = trained_model(tmp_path / "model"), tmp_path / "output"
    store = FolderStore(tmp_path / "store")
    with serving(tmp_path, model, output) as (url, process):
        ids = ask(url, [TEXT] * 30)
        _until(lambda: len(list(read_answers(store, "mtl-flan-t5"))) == 30)  # a minute later
        ask(url, [TEXT] * 12)
        given = {"id": ids[0], "verdict": "corrected", "correction": f"It is so: {TEXT}"}
        assert httpx.post(f"{url}/v1/feedback", json=given, timeout=60).status_code == 201
        httpx.post(f"{url}/v1/feedback", json=given | {"correction": [TEXT], TEXT: TEXT}, timeout=60)
        httpx.post(f"{url}/v1/generate", json={"task": TEXT, "text": TEXT}, timeout=60)
        httpx.post(f"{url}/v1/generate", content=TEXT, timeout=60)
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert {answer.id for answer in read_answers(store, "mtl-flan-t5")} == set(ids)
    assert [kept.id for kept in read_feedback(store, "mtl-flan-t5")] == [ids[0]]

    with serving(tmp_path, model, output) as (url, process):
        metrics = httpx.get(f"{url}/metrics").text
        assert "mtl_serve_log_lost_total 12.0" in metrics
        last = ask(url, [TEXT])
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 143
    said = output.read_text()
    assert "its request log lost the 12 answers it had not written" in said
    assert said.endswith("stopped\n") and "error: " not in said.rpartition("lost the 12")[2]
    assert last[0] in {answer.id for answer in read_answers(store, "mtl-flan-t5")}
    assert list((tmp_path / "home" / "serving").iterdir()) == []

    found = {name for name, secret in SECRETS.items() for data in _everything(tmp_path) if secret.encode() in data}
    assert found == set()
    assert "[email]" in next(read_answers(store, "mtl-flan-t5")).text


def _everything(folder: Path) -> Iterator[bytes]:
    """The bytes of every file, and what is compressed in them."""
    for path in folder.rglob("*"):
        if path.is_file():
            data = path.read_bytes()
            yield data
            if path.suffix == ".parquet":
                yield str(pq.read_table(io.BytesIO(data)).to_pylist()).encode()
            if path.suffix == ".gz":
                yield gzip.decompress(data)


def _until(true: object) -> None:
    deadline = time.monotonic() + 120
    while not true():  # type: ignore[operator]
        assert time.monotonic() < deadline
        time.sleep(0.05)
