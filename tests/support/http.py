"""A small HTTP server for tests: answers by path, and keeps what it was asked."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Answer:
    """What a path gets. `date` replaces the Date header."""

    status: int = 200
    body: bytes = b"{}"
    date: str | None = None
    user: str | None = None  # "Basic ..." that must be given; 401 otherwise


@dataclass
class Asked:
    method: str
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Server:
    url: str
    answers: dict[str, Answer]
    asked: list[Asked] = field(default_factory=list)


@contextmanager
def serving(answers: Mapping[str, Answer] | None = None) -> Iterator[Server]:
    """A server on loopback. answers: path (without query) -> Answer; `*` is for all others, which get 404 else."""
    server = Server("", dict(answers or {"*": Answer()}))

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        date: str | None = None

        def date_time_string(self, timestamp: float | None = None) -> str:
            return self.date or super().date_time_string(timestamp)

        def do_GET(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            headers = {name.lower(): value for name, value in self.headers.items()}
            server.asked.append(Asked(self.command, self.path, headers, body))
            answer = server.answers.get(self.path.partition("?")[0]) or server.answers.get("*") or Answer(404)
            refused = answer.user is not None and headers.get("authorization") != answer.user
            self.date = answer.date
            self.send_response(401 if refused else answer.status)
            content = b"{}" if refused else answer.body
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_POST = do_GET  # noqa: N815  # the name that http.server calls

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            pass

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=http.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    server.url = f"http://127.0.0.1:{http.server_address[1]}"
    try:
        yield server
    finally:
        http.shutdown()
        http.server_close()
        thread.join()
