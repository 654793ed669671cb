"""What people are told of a server."""

from __future__ import annotations

import socket
from typing import Any

import pytest

from mtl.service.serving import server_notice

HOST = socket.gethostname()
SWITCHED = {
    "model": "toy",
    "version": 3,
    "previous": 2,
    "seq": 4,
    "kind": "promote",
    "reason": "better",
    "seconds": 1.0,
}
FAULT = {"model": "toy", "kind": "damage", "message": "it rotted", "hint": "restore it", "since": "now"}


@pytest.mark.parametrize(
    ("event", "payload", "title", "text"),
    [
        (
            "server.switched",
            SWITCHED,
            f"toy: the server on {HOST} answers with v3 now, not v2",
            "promote, entry 4 of the journal: better",
        ),
        (
            "server.failed",
            {**FAULT, "version": 3, "serving": 2},
            f"toy: v3 could not be loaded by the server on {HOST}",
            "it rotted\nrestore it\nIt goes on with v2.",
        ),
        (
            "server.failed",
            {**FAULT, "hint": None, "version": None, "serving": None},
            f"toy: the champion cannot be looked up by the server on {HOST}",
            "it rotted\nIt has no model and answers 503.",
        ),
    ],
)
def test_notices_say_what_answers_now(event: str, payload: dict[str, Any], title: str, text: str) -> None:
    notice = server_notice(event, payload)
    assert (notice.event, notice.model, notice.title, notice.text) == (event, "toy", title, text)
    assert notice.payload == {"host": HOST, **payload}
