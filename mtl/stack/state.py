"""What a stack keeps between starts: its ports, its secrets, and which object store it uses."""

from __future__ import annotations

import base64
import json
import os
import secrets
import socket
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from mtl import layout
from mtl.errors import DamageError, InputError, NotFoundError
from mtl.settings import account

BUCKET = "mtl"
POOL = "mtl"
"""The work pool that the stack's worker polls."""
USUAL: Mapping[str, int | None] = {
    "postgres": 5432,
    "s3": 9000,
    "s3_monitor": None,
    "s3_monitor_old": None,
    "mlflow": 5000,
    "prefect": 4200,
    "webhooks": 4300,
    "serve": 5002,
    "manager": None,
}
"""The port that people expect of each service; None: any."""
_PREVIOUS = "secrets.previous.json"


@dataclass(frozen=True, slots=True)
class Stack:
    """One stack of this machine.

    folder: its state, below MTL_HOME. store: the object store it was told to use, None for one of its own.
    """

    home: Path
    ports: Mapping[str, int]
    secrets: Mapping[str, str] = field(repr=False)
    store: str | None = None

    @property
    def folder(self) -> Path:
        return layout.home_stack(self.home)

    @property
    def logs(self) -> Path:
        return self.folder / "logs"

    @property
    def temporary(self) -> Path:
        """Temporary files of the services and of runs; gone while the stack is down."""
        return self.folder / "tmp"

    def url(self, service: str) -> str:
        """Address of an HTTP service."""
        return f"http://127.0.0.1:{self.ports[service]}"


def open_stack(home: Path) -> Stack:
    """The stack of an MTL_HOME. Errors: NotFoundError if there is none yet."""
    folder = layout.home_stack(home)
    try:
        kept = json.loads((folder / "stack.json").read_text())
        return Stack(home, kept["ports"], json.loads((folder / "secrets.json").read_text()), kept["store"])
    except FileNotFoundError:
        raise NotFoundError(f"no stack in {home}", field="MTL_HOME", hint="mtl stack up makes and starts one") from None
    except (ValueError, KeyError) as error:
        raise DamageError(f"{folder} holds a damaged stack.json or secrets.json: {error}", field="MTL_HOME") from None


def make_stack(home: Path, *, store: str | None = None, usual: Mapping[str, int | None] = USUAL) -> Stack:
    """The stack of an MTL_HOME, made with free ports and passwords of its own unless it is there.

    store: an object store to use instead of an own one. Errors: InputError if the stack there uses another, or belongs
    to another user.
    """
    try:
        stack = open_stack(home)
        _check_owner(stack)
        stack = _completed(stack, usual)
    except NotFoundError:
        stack = Stack(home, _free_ports(usual), _new_secrets(), store)
        stack.folder.mkdir(parents=True, exist_ok=True)
        stack.folder.chmod(0o711)  # the user that PostgreSQL runs as must reach its folder, and see nothing else
        if os.geteuid() == 0:
            home.chmod(stat.S_IMODE(home.stat().st_mode) | 0o011)
        _keep(stack)
    if store is not None and store != stack.store:
        raise InputError(
            f"the stack in {home} uses {stack.store or 'an S3 store of its own'}, not {store}",
            field="store",
            hint="another MTL_HOME makes another stack",
        )
    stack.logs.mkdir(exist_ok=True)
    return stack


def _check_owner(stack: Stack) -> None:
    """Started by root, a user's stack would write files that this user can never use again."""
    owner = stack.folder.stat().st_uid
    if owner != os.geteuid():
        raise InputError(
            f"the stack in {stack.home} belongs to {account(owner)}, and this is {account(os.geteuid())}",
            field="MTL_HOME",
            hint=f"start it as {account(owner)}, or set MTL_HOME to another folder for another stack",
        )


def _completed(stack: Stack, usual: Mapping[str, int | None]) -> Stack:
    """The stack with the ports and secrets of services that it did not have yet when it was made."""
    lacking = {name: port for name, port in usual.items() if name not in stack.ports}
    known = {**_new_secrets(), **stack.secrets}
    if not lacking and known == stack.secrets:
        return stack
    whole = Stack(stack.home, {**stack.ports, **_free_ports(lacking)}, known, stack.store)
    _keep(whole)
    return whole


def _keep(stack: Stack) -> None:
    _write(stack.folder / "secrets.json", dict(stack.secrets))
    _write(stack.folder / "stack.json", {"ports": dict(stack.ports), "store": stack.store})


def keep_secrets(stack: Stack, more: Mapping[str, str]) -> Stack:
    """The stack with `more` secrets, which a service gave, kept beside the others."""
    merged = {**stack.secrets, **more}
    if merged != stack.secrets:
        _write(stack.folder / "secrets.json", merged)
    return Stack(stack.home, stack.ports, merged, stack.store)


def rotate_secrets(stack: Stack) -> list[str]:
    """Give every service a new password, which `mtl stack up` then puts into force; names of those that are new.

    The old ones are kept beside until that is done, so that it can be interrupted and repeated. The key by which MLflow
    encrypts the secrets of its webhooks stays: what it encrypted could not be read any more. Errors: InputError while
    an earlier rotation has not been completed.
    """
    aside = stack.folder / _PREVIOUS
    if aside.exists():
        raise InputError("the last rotation is not complete", field="MTL_HOME", hint="complete it first: mtl stack up")
    fresh = {name: value for name, value in _new_secrets().items() if name != "webhook_encryption"}
    _write(aside, dict(stack.secrets))
    _write(stack.folder / "secrets.json", {**stack.secrets, **fresh})
    return sorted([*fresh, *(name for name in ("s3_key", "s3_secret") if name in stack.secrets)])


def previous_secrets(stack: Stack) -> Mapping[str, str] | None:
    """The passwords before a rotation that is not complete; None where there is none."""
    try:
        kept: Mapping[str, str] = json.loads((stack.folder / _PREVIOUS).read_text())
    except FileNotFoundError:
        return None
    return kept


def forget_previous_secrets(stack: Stack) -> None:
    """The rotation is complete."""
    (stack.folder / _PREVIOUS).unlink(missing_ok=True)


def _new_secrets() -> dict[str, str]:
    """Passwords that need no quoting anywhere; Fernet wants its key in base64."""
    names = (
        "postgres",
        "postgres_mlflow",
        "postgres_prefect",
        "mlflow",
        "mlflow_session",
        "prefect",
        "webhook",
        "webhook_data",
        "metrics",
        "serve",
        "manager",
    )
    key = base64.urlsafe_b64encode(secrets.token_bytes(32)).decode()
    return {name: secrets.token_hex(20) for name in names} | {"webhook_encryption": key}


def _free_ports(usual: Mapping[str, int | None]) -> dict[str, int]:
    """A port for each service: the usual one if nobody has it, else any free one. All are held until all are found."""
    held: dict[str, socket.socket] = {}
    try:
        for name, port in usual.items():
            held[name] = _hold(port or 0) or _hold(0) or socket.socket()
        return {name: int(listener.getsockname()[1]) for name, listener in held.items()}
    finally:
        for listener in held.values():
            listener.close()


def _hold(port: int) -> socket.socket | None:
    try:
        return socket.create_server(("127.0.0.1", port))
    except OSError:
        return None


def port_is_free(port: int) -> bool:
    """Whether nobody listens there on loopback."""
    listener = _hold(port)
    if listener is not None:
        listener.close()
    return listener is not None


def _write(path: Path, document: Mapping[str, object]) -> None:
    """Whole or not at all, and for this user alone from its first byte on."""
    aside = path.with_suffix(".part")
    aside.unlink(missing_ok=True)
    with os.fdopen(os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        json.dump(document, file, indent=1)
        file.flush()
        os.fsync(file.fileno())
    aside.replace(path)
