"""What people are told of a server that follows the champion (mtl.server.follow)."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from typing import Any

from mtl.service.notify import Notice


def server_notice(event: str, payload: Mapping[str, Any]) -> Notice:
    """The notice of `server.switched` or `server.failed`. payload: as the server gives it."""
    model, host = str(payload["model"]), socket.gethostname()
    if event == "server.switched":
        title = f"{model}: the server on {host} answers with v{payload['version']} now, not v{payload['previous']}"
        text = f"{payload['kind']}, entry {payload['seq']} of the journal: {payload['reason']}"
    else:
        what = (
            f"v{payload['version']} could not be loaded" if payload["version"] else "the champion cannot be looked up"
        )
        serving = payload["serving"]
        goes_on = f"It goes on with v{serving}." if serving else "It has no model and answers 503."
        title = f"{model}: {what} by the server on {host}"
        text = "\n".join(str(line) for line in (payload["message"], payload["hint"], goes_on) if line)
    return Notice(event, model, title, text, payload={"host": host, **payload})
