"""The SDK against a server that speaks the part of Label Studio's API that is used, as its 1.23 does."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from pydantic import SecretStr

from mtl.errors import InputError, NotFoundError, PermanentError, TransientError
from mtl.service.label_studio import Project
from mtl.settings.traffic import LabelStudioSettings
from mtl.traffic.label_studio import CONFIGURATION, tasks_of
from tests.traffic.test_label_studio import TWO, annotated

KEY = "0123456789abcdef0123456789abcdef01234567"


@dataclass
class LabelStudio:
    """One project, number 1."""

    url: str = ""
    configuration: str = "<View></View>"
    tasks: list[dict[str, Any]] = field(default_factory=list)

    def answer(self, method: str, path: str, query: dict[str, list[str]], body: Any) -> tuple[int, Any]:
        if path == "/api/version":
            return 200, {"release": "1.23.2", "edition": "Community"}
        if path == "/api/tasks":
            if query.get("page", ["1"]) != ["1"]:
                return 404, {"detail": "Invalid page."}
            return 200, {"tasks": self.tasks, "total": len(self.tasks), "total_annotations": 0, "total_predictions": 0}
        if not path.startswith("/api/projects/1"):
            return 404, {"detail": "Not found."}
        if path.endswith("/import"):
            self.tasks += [{"id": len(self.tasks) + n, **task} for n, task in enumerate(body, start=1)]
            return 201, {"task_count": len(body)}
        if path.endswith("/export"):
            return 200, [annotated(task["data"], "good") | {"id": task["id"]} for task in self.tasks]
        if method == "PATCH":
            self.configuration = body["label_config"]
        return 200, {"id": 1, "title": "answers", "label_config": self.configuration}


@pytest.fixture
def studio() -> Iterator[LabelStudio]:
    pytest.importorskip("label_studio_sdk", reason="the extra label-studio is not installed")
    studio = LabelStudio()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            parts = urlsplit(self.path)
            status, document = 401, {"detail": "Invalid token."}
            if self.headers.get("authorization") == f"Token {KEY}":
                given = json.loads(body) if body else None
                status, document = studio.answer(self.command, parts.path.rstrip("/"), parse_qs(parts.query), given)
            content = json.dumps(document).encode()
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_POST = do_PATCH = do_GET  # noqa: N815  # the names that http.server calls

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            pass

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=http.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    studio.url = f"http://127.0.0.1:{http.server_address[1]}"
    yield studio
    http.shutdown()
    http.server_close()
    thread.join()


def project(url: str, number: int = 1, *, key: str = KEY) -> Project:
    return Project(LabelStudioSettings(url=url, key=SecretStr(key)), number)


def test_tasks_are_added_once_and_come_back_with_annotations(studio: LabelStudio) -> None:
    there = project(studio.url)
    assert there.add(tasks_of(TWO)) == 2
    assert studio.configuration == CONFIGURATION
    assert there.add(tasks_of(TWO)) == 0
    exported = there.export()
    assert [task["data"]["question"] for task in exported] == [1, 2]
    assert exported[0]["annotations"]


def test_a_project_of_somebody_else_is_left_alone(studio: LabelStudio) -> None:
    studio.configuration = '<View><Text name="t" value="$t"/></View>'
    with pytest.raises(InputError, match="another labelling configuration"):
        project(studio.url).add(tasks_of(TWO))
    assert studio.tasks == []


def test_errors_name_the_server_and_what_to_do(studio: LabelStudio) -> None:
    with pytest.raises(PermanentError, match="answered 401") as refused:
        project(studio.url, key="f" * 40).export()
    assert "access token" in str(refused.value.hint)
    with pytest.raises(NotFoundError, match="about project 77"):
        project(studio.url, 77).export()
    with pytest.raises(TransientError, match=r"does not answer at http://127\.0\.0\.1:9"):
        project("http://127.0.0.1:9").export()


def test_no_server_is_named() -> None:
    with pytest.raises(InputError, match="no Label Studio server is named") as caught:
        Project(LabelStudioSettings(), 1)
    assert "LABEL_STUDIO_API_KEY" in str(caught.value.hint)
