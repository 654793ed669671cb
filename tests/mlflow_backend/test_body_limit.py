"""Bodies that are too large, on a real socket: with a length, in chunks, one after the other and many at once."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import httpx
import pytest
import uvicorn

from mtl.errors import InputError
from mtl.mlflow_backend.body_limit import SMALL, BodyLimit
from mtl.settings.service import serve_settings

MOST = 4 * SMALL


class Counting:
    """An app that answers with the length of the body, and notes how many bodies it is given at a time."""

    def __init__(self) -> None:
        self.calls = self.now = self.most_large = 0

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        import asyncio

        message = await receive()
        assert not message.get("more_body")
        large = len(message["body"]) > SMALL
        self.calls += 1
        self.now += large
        self.most_large = max(self.most_large, self.now)
        await asyncio.sleep(0.05 if large else 0)
        self.now -= large
        content = str(len(message["body"])).encode()
        await send(
            {"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(content))]}
        )
        await send({"type": "http.response.body", "body": content})


@contextmanager
def running(app: Any) -> Iterator[str]:
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=0, log_level="error", lifespan="off"))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        while not server.started:
            time.sleep(0.01)
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()


@pytest.fixture
def app() -> Counting:
    return Counting()


@pytest.fixture
def address(app: Counting) -> Iterator[str]:
    with running(BodyLimit(app, most=MOST, seconds=1.0)) as found:
        yield found


def chunks(total: int, size: int = 50_000) -> Iterator[bytes]:
    for start in range(0, total, size):
        yield b"x" * min(size, total - start)


@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize("size", [0, 1, SMALL - 1, SMALL, SMALL + 1, MOST - 1, MOST])
def test_what_is_within_the_limit_arrives_whole(address: str, size: int, chunked: bool) -> None:
    answer = httpx.post(address, content=chunks(size) if chunked else b"x" * size)
    assert (answer.status_code, answer.text) == (200, str(size))


@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize("size", [MOST + 1, 40 * MOST])
def test_what_is_over_it_is_413_and_never_reaches_the_app(
    address: str, app: Counting, size: int, chunked: bool
) -> None:
    answer = httpx.post(address, content=chunks(size) if chunked else b"x" * size)
    assert answer.status_code == 413
    reason = "the body is larger than this server takes: at most 262,144 bytes"
    hint = "send fewer texts at a time, or raise MTL_SERVE_MAX_BODY"
    assert answer.json() == {
        "error": {"kind": "input", "message": reason, "field": None, "hint": hint},
        "error_code": "REQUEST_LIMIT_EXCEEDED",  # with message, as MLflow has it
        "message": f"{reason}\n  {hint}",
    }
    assert app.calls == 0
    assert httpx.post(address, content=b"xy").text == "2"


def test_a_length_over_the_limit_is_answered_before_anything_is_sent(address: str) -> None:
    with raw(address, b"Content-Length: 300000000\r\nExpect: 100-continue\r\n\r\n") as connection:
        answer = everything(connection)
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b"100 Continue" not in answer


def test_many_at_once_are_each_refused(address: str, app: Counting) -> None:
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda _: httpx.post(address, content=chunks(8 * MOST)).status_code, range(32)))
    assert answers == [413] * 32
    assert app.calls == 0


def test_large_ones_are_answered_two_at_a_time_and_small_ones_do_not_wait(address: str, app: Counting) -> None:
    with ThreadPoolExecutor(8) as pool:
        large = [pool.submit(httpx.post, address, content=b"x" * MOST) for _ in range(8)]
        assert httpx.post(address, content=b"x").text == "1"
        assert [future.result().status_code for future in large] == [200] * 8
    assert app.most_large == 2


def test_a_body_that_does_not_come_is_408_and_others_are_served_meanwhile(address: str) -> None:
    head = b"Content-Length: 200000\r\n\r\n" + b"x" * (SMALL + 10)
    with raw(address, head) as one, raw(address, head) as other:
        assert httpx.post(address, content=b"abc").text == "3"
        third = httpx.post(address, content=b"x" * MOST, timeout=20)  # waits for a turn, for a second
        assert third.status_code in (200, 503)
        for slow in (one, other):
            assert everything(slow).startswith(b"HTTP/1.1 408 ")
    assert httpx.post(address, content=b"x" * MOST).status_code == 200


def test_a_caller_who_goes_away_leaves_its_turn(address: str) -> None:
    for _ in range(4):
        with raw(address, b"Content-Length: 200000\r\n\r\n" + b"x" * (SMALL + 10)):
            pass
    assert httpx.post(address, content=b"x" * MOST).status_code == 200


@contextmanager
def raw(address: str, rest: bytes) -> Iterator[socket.socket]:
    """A connection on which a POST has begun."""
    host, port = address.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=20) as connection:
        connection.sendall(b"POST / HTTP/1.1\r\nHost: here\r\n" + rest)
        yield connection


def everything(connection: socket.socket) -> bytes:
    connection.shutdown(socket.SHUT_WR)
    found = b""
    while data := connection.recv(65536):
        found += data
    return found


def test_the_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    assert serve_settings({}).max_body == 8 * 2**20
    assert serve_settings({"MTL_SERVE_MAX_BODY": "5000"}).max_body == 5000
    for wrong in ("5MB", "-1", "0", "1023", "1e6"):
        with pytest.raises(InputError, match=r"MTL_SERVE_MAX_BODY is '.*', no number of bytes from 1,024 on"):
            serve_settings({"MTL_SERVE_MAX_BODY": wrong})
