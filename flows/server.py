"""The Prefect server of one command: `mtl retrain` starts it where PREFECT_API_URL names none.

    python -m flows.server SOCKET COMMAND      the number of an inherited socket, the process id of the command

It answers the command alone: each request needs the login that was made for this run, the Host of loopback and, from a
browser, the server's own origin. It ends with the command, however that ends; the last runs are kept for `mtl status`.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import signal
import socket
import sys
import threading
from contextlib import suppress
from pathlib import Path

from starlette.types import ASGIApp, Receive, Scope, Send

from mtl.errors import MtlError
from mtl.parent import when_gone
from mtl.service.runs import keep_runs
from mtl.settings import prefect_settings

_STOP_SECONDS = 2


def main(listener: int, command: int) -> None:
    """Serve until the command stops this or is gone."""
    when_gone(command, lambda: os.kill(os.getpid(), signal.SIGKILL))  # SQLite survives it, and nobody waits for more
    import uvicorn
    from prefect.server.api.server import create_app
    from prefect.settings import PREFECT_HOME
    from starlette.middleware.trustedhost import TrustedHostMiddleware

    lock = Path(PREFECT_HOME.value()) / "start.lock"
    app = _Watched(TrustedHostMiddleware(create_app(ephemeral=True, final=True), allowed_hosts=["127.0.0.1"]))
    threading.Thread(target=_keep_changed, args=[app.changed], daemon=True).start()

    class Server(uvicorn.Server):
        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            """Prefect makes its tables here: one server of a home at a time. The lock falls with its holder."""
            with lock.open("w") as file:
                fcntl.flock(file, fcntl.LOCK_EX)
                await super().startup(sockets)

        async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
            await asyncio.to_thread(_keep)  # it still answers
            await super().shutdown(sockets)

    config = uvicorn.Config(app, log_level="error", lifespan="on", timeout_graceful_shutdown=_STOP_SECONDS)
    Server(config).run([socket.socket(fileno=listener)])


class _Watched:
    """The app; `changed` is set when the state of a run was."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self.changed = threading.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._app(scope, receive, send)
        if scope["type"] == "http" and scope["path"].endswith("/set_state"):
            self.changed.set()


def _keep_changed(changed: threading.Event) -> None:
    while changed.wait():
        changed.clear()
        _keep()


def _keep() -> None:
    """For `mtl status`, beside this command and after it. That it cannot be written is no reason to stop a run."""
    with suppress(MtlError, OSError):
        keep_runs(prefect_settings())


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
