"""Prefect inside a command: a server of its own where PREFECT_API_URL names none, which ends with the command.

The command stops it as the last thing it does, when Prefect has sent its last logs and events; killed, it is missed by
the server itself (flows.server).
"""

from __future__ import annotations

import atexit
import os
import secrets
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from mtl.errors import MtlError, PermanentError, TransientError
from mtl.service.prefect_api import PrefectApi
from mtl.settings import EMBEDDED_USER, PrefectSettings, prefect_settings
from mtl.settings.environment import child_environment, current, set_defaults, set_variables
from mtl.shortages import by_text, explained, reported
from mtl.sqlite import database_url

_START_SECONDS = 180.0  # a first start on a busy machine
_STOP_SECONDS = 5.0
_ANSWER_SECONDS = 20.0
_LONGEST_LOG = 1 << 20
_PROBE = bytes(1 << 20)


@dataclass(frozen=True, slots=True)
class _Server:
    """A started server; environment: what leads to it. `log` holds what it said from byte `begin` on."""

    process: subprocess.Popen[bytes]
    environment: Mapping[str, str]
    log: Path
    begin: int


def quiet_prefect() -> None:
    """Before Prefect is imported: it sends nothing home."""
    set_defaults({"PREFECT_SERVER_ANALYTICS_ENABLED": "false", "DO_NOT_TRACK": "1"})


def check_server(settings: PrefectSettings) -> None:
    """Prefect itself says of a server that does not answer or refuses the login no more than that a request failed."""
    with PrefectApi(settings, timeout=_ANSWER_SECONDS) as api:
        api.check()


@contextmanager
def prefect_server() -> Iterator[None]:
    """Before Prefect is imported: have it talk to the server of PREFECT_API_URL, else to one that is started here.

    Errors, also of what the block does with it: PermanentError that says what the machine lacks; TransientError for a
    server that does not start for another reason; those of `PrefectApi` for a server of PREFECT_API_URL.
    """
    quiet_prefect()
    settings = prefect_settings()
    if settings.url is not None:
        check_server(settings)
        yield
        return
    with reported():
        settings.home.mkdir(parents=True, exist_ok=True)
        _try_writing(settings.home)
        server = _start(settings.home)
    atexit.register(_stop, server.process)
    set_variables(server.environment)
    try:
        import flows.retrain  # noqa: F401  # takes as long as the server's start, so it goes on beside it

        _wait(server)
        yield
    except MtlError:
        raise
    except Exception as error:
        found = explained(error) or _lack(server)
        if found is None:
            raise
        raise found from error


def _start(home: Path) -> _Server:
    """Its port is bound here and now, but refuses until the server is ready and listens. It holds no pipe of ours."""
    log = home / "server.log"
    with socket.socket() as listener, log.open("ab") as output:
        listener.bind(("127.0.0.1", 0))
        environment = _environment(home, listener.getsockname()[1])
        begin = output.tell()
        if begin > _LONGEST_LOG:
            begin = output.truncate(0)
        process = subprocess.Popen(
            [sys.executable, "-m", "flows.server", str(listener.fileno()), str(os.getpid())],
            env=child_environment(environment),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            pass_fds=[listener.fileno()],
            start_new_session=True,  # Ctrl-C is for the command, which then stops it
        )
    return _Server(process, environment, log, begin)


def _environment(home: Path, port: int) -> dict[str, str]:
    """For the server and its clients. The login is made anew for each server."""
    login, origin = f"{EMBEDDED_USER}:{secrets.token_urlsafe(32)}", f"http://127.0.0.1:{port}"
    return {
        **_database(home),
        "PREFECT_HOME": str(home),
        "PREFECT_API_URL": f"{origin}/api",
        "PREFECT_API_AUTH_STRING": login,
        "PREFECT_SERVER_API_AUTH_STRING": login,
        "PREFECT_SERVER_CORS_ALLOWED_ORIGINS": origin,
        "PREFECT_UI_URL": "",  # there is no page to link to
        "PREFECT_LOGGING_LEVEL": current().get("PREFECT_LOGGING_LEVEL", "WARNING"),
        # A server of this machine that does not answer is gone; the usual five tries take minutes to find out.
        "PREFECT_CLIENT_MAX_RETRIES": current().get("PREFECT_CLIENT_MAX_RETRIES", "3"),
    }


def _database(home: Path) -> dict[str, str]:
    """The database's address, for a folder whose path is none: Prefect would make one of it that leads elsewhere."""
    address = database_url(home / "prefect.db", driver="aiosqlite")
    return {"PREFECT_SERVER_DATABASE_CONNECTION_URL": address} if "?" in address else {}


def _wait(server: _Server) -> None:
    """Until it listens. Errors: as of `prefect_server`, at once if it is gone."""
    port = int(server.environment["PREFECT_SERVER_CORS_ALLOWED_ORIGINS"].rpartition(":")[2])
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline:
        if server.process.poll() is not None:
            raise _lack(server) or TransientError(
                f"the embedded Prefect server ended with exit code {server.process.returncode}: {_last_line(server)}",
                hint=f"see its log {server.log}, or set PREFECT_API_URL to use another server",
            )
        with socket.socket() as client:
            if client.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise TransientError(
        f"the embedded Prefect server did not start within {_START_SECONDS:.0f} s",
        hint=f"see its log {server.log}; run the same command again when the machine is less busy",
    )


def _said(server: _Server) -> str:
    try:
        with server.log.open("rb") as file:
            file.seek(server.begin)
            return file.read().decode(errors="replace")
    except OSError:
        return ""


def _last_line(server: _Server) -> str:
    lines = _said(server).strip().splitlines()
    return lines[-1].strip()[:300] if lines else "its log is empty"


def _lack(server: _Server) -> MtlError | None:
    """What the machine lacks, if that is why the server fails: by its log or, where not even that fits, by a trial."""
    found = by_text(_said(server))
    if found is not None:
        return PermanentError(
            f"the embedded Prefect server failed: {found.cause} ({_last_line(server)})",
            field="MTL_HOME",
            hint=found.hint,
        )
    try:
        _try_writing(server.log.parent)
    except OSError as error:
        return explained(error)
    return None


def _try_writing(folder: Path) -> None:
    """Write what Prefect's database takes at least, and remove it. Errors: OSError that names the folder."""
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(_PROBE)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(folder)) from None


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
