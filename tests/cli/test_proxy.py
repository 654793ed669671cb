"""A proxy in the environment is never asked for what is on this machine, and never sees its passwords."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from mtl.cli.main import run
from mtl.settings import bypass_proxy_for_loopback, proxy_variable


class _Server(ThreadingHTTPServer):
    """Answers every request with `status`, and keeps the paths that it was asked for."""

    def __init__(self, status: int) -> None:
        self.asked: list[str] = []
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                server.asked.append(self.path)
                self.rfile.read(int(self.headers.get("Content-Length") or 0))
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.end_headers()
                self.wfile.write(b"[]")

            do_POST = do_CONNECT = do_GET  # noqa: N815  # the names that http.server calls

            def log_message(self, *_: object) -> None:
                return

        super().__init__(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


@pytest.fixture
def refusing(monkeypatch: pytest.MonkeyPatch) -> Iterator[_Server]:
    """A proxy that refuses everything, named by every variable."""
    proxy = _Server(403)
    for name in ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, proxy.url)
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.setenv(name, "")
    yield proxy
    proxy.shutdown()


def test_loopback_servers_are_asked_directly(
    refusing: _Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    own = _Server(200)
    monkeypatch.setenv("MTL_HOME", str(tmp_path))
    monkeypatch.setenv("PREFECT_API_URL", f"{own.url}/api")
    monkeypatch.setenv("PREFECT_API_AUTH_STRING", "admin:a-password-of-loopback")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", own.url)
    assert run(["status", "--json"]) == 0
    services = json.loads(capsys.readouterr().out.splitlines()[-1])["services"]
    assert services["mlflow"] == "ok"
    assert "credentials" not in services["prefect"]
    assert own.asked
    assert refusing.asked == []


def test_doctor_names_the_variable_of_the_proxy_and_the_server_behind_it(
    refusing: _Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MTL_HOME", str(tmp_path))
    monkeypatch.setenv("PREFECT_API_URL", "http://prefect.example/api")
    run(["doctor", "--json"])
    findings = json.loads(capsys.readouterr().out.splitlines()[-1])["findings"]
    (proxy,) = (found for found in findings if found["check"] == "proxy")
    assert "Prefect at prefect.example go through the proxy named in http_proxy" in proxy["detail"]
    assert "add prefect.example to NO_PROXY" in proxy["do"]
    (prefect, *_) = (found for found in findings if found["check"] == "prefect")
    assert "go through the proxy named in http_proxy, which may be what refuses" in prefect["do"]


def test_what_no_proxy_says_already_is_kept() -> None:
    environ = {"NO_PROXY": "example.org,localhost"}
    bypass_proxy_for_loopback(environ)
    assert environ["NO_PROXY"] == environ["no_proxy"] == "example.org,localhost,127.0.0.1,::1"
    everything = {"no_proxy": "*"}
    bypass_proxy_for_loopback(everything)
    assert everything == {"no_proxy": "*"}


def test_the_variable_of_a_proxy_is_found_by_scheme_and_host(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("https_proxy", "http://proxy.example:3128")
    monkeypatch.setenv("no_proxy", "127.0.0.1,.inside.example")
    assert proxy_variable("https://s3.example/bucket") == "https_proxy"
    assert proxy_variable("https://user:word@127.0.0.1:9000") is None
    assert proxy_variable("https://s3.inside.example") is None
    assert proxy_variable("http://s3.example") is None
