"""The Prefect server of one command: `mtl retrain` starts it where PREFECT_API_URL names none.

    python -m flows.server SOCKET COMMAND      the number of an inherited socket, the process id of the command

It answers the command alone: each request needs the login that was made for this run, the Host of loopback and, from a
browser, the server's own origin. It ends with the command, however that ends.
"""

from __future__ import annotations

import fcntl
import os
import signal
import socket
import sys
from pathlib import Path

from mtl.parent import when_gone

_STOP_SECONDS = 2


def main(listener: int, command: int) -> None:
    """Serve until the command stops this or is gone."""
    when_gone(command, lambda: os.kill(os.getpid(), signal.SIGKILL))  # SQLite survives it, and nobody waits for more
    import uvicorn
    from prefect.server.api.server import create_app
    from prefect.settings import PREFECT_HOME
    from starlette.middleware.trustedhost import TrustedHostMiddleware

    lock = Path(PREFECT_HOME.value()) / "start.lock"

    class Server(uvicorn.Server):
        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            """Prefect makes its tables here: one server of a home at a time. The lock falls with its holder."""
            with lock.open("w") as file:
                fcntl.flock(file, fcntl.LOCK_EX)
                await super().startup(sockets)

    app = TrustedHostMiddleware(create_app(ephemeral=True, final=True), allowed_hosts=["127.0.0.1"])
    config = uvicorn.Config(app, log_level="error", lifespan="on", timeout_graceful_shutdown=_STOP_SECONDS)
    Server(config).run([socket.socket(fileno=listener)])


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
