"""What a server's silence, its refusals and a wrong address mean: one table for every client of ours."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from mtl.errors import InputError, MtlError, NotFoundError, PermanentError, TransientError
from mtl.http import Server, ask, http_errors
from tests.support.http import Answer, serving

AT = Server("Prefect", "http://***@host/api", "PREFECT_API_URL", "is it up?")


@contextmanager
def saying(data: bytes) -> Iterator[str]:
    """A server that sends `data` to whoever connects, and hangs up; silent if there is none."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(data)
                if not data:
                    connection.recv(1)  # until the client gives up

        threading.Thread(target=answer, daemon=True).start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


def closed_port() -> str:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return f"http://127.0.0.1:{listener.getsockname()[1]}"


@pytest.mark.parametrize(("data", "cause"), [(b"", "ReadTimeout"), (b"not HTTP at all\r\n\r\n", "RemoteProtocolError")])
def test_a_server_that_does_not_answer_in_order_is_a_passing_fault(data: bytes, cause: str) -> None:
    with saying(data) as url, pytest.raises(TransientError) as caught:
        ask(AT, "GET", url, timeout=0.5)
    assert caught.value.message == f"Prefect does not answer at http://***@host/api ({cause})"
    assert (caught.value.field, caught.value.hint) == ("PREFECT_API_URL", "is it up?")


def test_nobody_there() -> None:
    with pytest.raises(TransientError, match=r"Prefect does not answer at .* \(ConnectError\)"):
        ask(AT, "GET", closed_port(), timeout=5)


@pytest.mark.parametrize(
    "url", ["http://ann:hunter2@host:port/api", "ftp://hunter2/api", "hunter2/api", "http://hunter2\0"]
)
def test_an_address_that_is_none_is_an_input_error_that_does_not_repeat_it(url: str) -> None:
    """httpx.InvalidURL is no httpx.HTTPError; uncaught, it is a traceback."""
    with pytest.raises(InputError, match="the address of Prefect is no HTTP address: ") as caught:
        ask(AT, "GET", url, timeout=5)
    assert "hunter2" not in str(caught.value)


def test_a_circle_of_redirects_is_not_tried_again() -> None:
    with pytest.raises(PermanentError, match="Prefect redirects in a circle"), http_errors(AT):
        raise httpx.TooManyRedirects("20")


def test_a_bundle_that_is_missing_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "gone.pem"))
    with pytest.raises(PermanentError, match="the file of certificate authorities cannot be used for") as caught:
        ask(AT, "GET", "https://127.0.0.1:9", timeout=5)
    assert caught.value.field == "SSL_CERT_FILE"


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (404, NotFoundError),
        (401, PermanentError),
        (409, PermanentError),
        (408, TransientError),
        (429, TransientError),
        (503, TransientError),
    ],
)
def test_what_a_status_means(status: int, kind: type[MtlError]) -> None:
    with serving({"*": Answer(status)}) as server:
        answer = ask(AT, "GET", server.url, timeout=5)
    assert type(AT.refused(answer.status_code, "m")) is kind
