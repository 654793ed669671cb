"""A server that others can reach, under callers that never finish what they began: real sockets, a real process."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn

from mtl import connections
from mtl.connections import MOST_CONNECTIONS, REQUEST_SECONDS, bounded
from mtl.service.signing import sign

KEY = "a key of sixteen and more"
HALF_HEAD = b"POST /data HTTP/1.1\r\nhost: x\r\n"
HALF_BODY = HALF_HEAD + b"content-length: 100\r\n\r\nhalf"


@dataclass
class Receiver:
    port: int
    log: Path

    def connect(self, sent: bytes) -> socket.socket:
        connection = socket.create_connection(("127.0.0.1", self.port), timeout=REQUEST_SECONDS + 20)
        connection.sendall(sent)
        return connection

    def health(self) -> httpx.Response:
        return httpx.get(f"http://127.0.0.1:{self.port}/health", timeout=5)


@pytest.fixture(scope="module")
def receiver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Receiver]:
    """`mtl webhooks` itself, with as many file descriptors as some systems give."""
    folder = tmp_path_factory.mktemp("receiver")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    environment = {**os.environ, "MTL_HOME": str(folder), "MTL_WEBHOOK_SECRET": KEY}
    environment["PREFECT_API_URL"] = "http://127.0.0.1:9/api"
    command = f"ulimit -n 256; exec {sys.executable} -m mtl.cli webhooks --port {port}"
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(["sh", "-c", command], env=environment, stdout=log, stderr=log)
    made = Receiver(port, folder / "log")
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        try:
            made.health()
            break
        except httpx.HTTPError:
            time.sleep(0.1)
    yield made
    process.terminate()
    process.wait()


@pytest.mark.slow
@pytest.mark.parametrize(
    "sent",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(HALF_HEAD, id="half a head"),
        pytest.param(HALF_BODY, id="half a body"),
    ],
)
def test_three_hundred_half_open_connections_do_not_keep_others_out(receiver: Receiver, sent: bytes) -> None:
    with ExitStack() as open_until_the_end:
        for _ in range(300):
            open_until_the_end.enter_context(receiver.connect(sent))
        started = time.monotonic()
        assert receiver.health().json() == {"ok": True}
        body, now = b"{}", int(time.time())
        headers = {"webhook-id": "m", "webhook-timestamp": str(now), "webhook-signature": sign(KEY, "m", now, body)}
        answer = httpx.post(f"http://127.0.0.1:{receiver.port}/data", content=body, headers=headers, timeout=20)
        assert answer.status_code == 503  # Prefect is away; the post itself was read and believed
        assert time.monotonic() - started < REQUEST_SECONDS
        assert MOST_CONNECTIONS < 300
    assert "Traceback" not in receiver.log.read_text()


@pytest.mark.slow
@pytest.mark.parametrize("sent", [b"", HALF_HEAD, HALF_BODY], ids=["nothing", "half a head", "half a body"])
def test_a_request_that_does_not_arrive_is_given_up_however_slowly_it_goes_on(receiver: Receiver, sent: bytes) -> None:
    started = time.monotonic()
    with receiver.connect(sent) as connection:
        connection.settimeout(1)
        while time.monotonic() - started < REQUEST_SECONDS + 10:
            try:
                connection.sendall(b"x")
                if not connection.recv(1000):
                    break
            except TimeoutError:
                continue
            except OSError:
                break
        assert REQUEST_SECONDS - 2 < time.monotonic() - started < REQUEST_SECONDS + 5


def test_callers_that_go_away_in_mid_request_leave_no_traceback(receiver: Receiver) -> None:
    for sent in (b"", HALF_HEAD, HALF_BODY):
        for _ in range(5):
            receiver.connect(sent).close()
    time.sleep(0.3)
    assert receiver.health().json() == {"ok": True}
    assert "Traceback" not in receiver.log.read_text()


def test_a_connection_carries_one_request(receiver: Receiver) -> None:
    with receiver.connect(b"GET /health HTTP/1.1\r\nhost: x\r\n\r\n") as connection:
        answer = b""
        while part := connection.recv(1000):
            answer += part
    head, _, body = answer.partition(b"\r\n\r\n")
    assert json.loads(body) == {"ok": True}
    assert b"connection: close" in head.lower()


async def slow_reader(scope: Any, receive: Any, send: Any) -> None:
    """An app that lets a body wait for its turn, as `mtl serve` does with large ones."""
    await asyncio.sleep(1)
    size, more = 0, True
    while more:
        message = await receive()
        size, more = size + len(message["body"]), message["more_body"]
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": str(size).encode()})


def test_a_body_that_the_app_lets_wait_is_not_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "REQUEST_SECONDS", 0.3)
    config = uvicorn.Config(slow_reader, **bounded(), host="127.0.0.1", port=0, log_level="error", lifespan="off")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        while not server.started:
            time.sleep(0.01)
        port = server.servers[0].sockets[0].getsockname()[1]
        assert httpx.post(f"http://127.0.0.1:{port}", content=bytes(16 << 20)).text == str(16 << 20)
    finally:
        server.should_exit = True
        thread.join()
