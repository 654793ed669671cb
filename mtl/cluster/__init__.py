"""cluster: heavy work on the machines of a Ray cluster, which share nothing but the object store.

The process that asks for the work (the driver) belongs to the cluster: its machine has run `ray start`, or is a pod of
it. Every other machine has this package, the credentials of the object store, and an MTL_HOME of its own.
"""

from __future__ import annotations

import logging
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from mtl.errors import InputError, TransientError
from mtl.settings import ray_address, set_defaults

NAMESPACE = "mtl"
RETRIES = 8
"""How often a piece of work may lose its machine or its process."""
_PATIENCE = 10.0  # seconds
_HOW = (
    "on one machine: ray start --head; on each other one: ray start --address HEAD:6379; ray status shows them;"
    " a cluster that requires a token also needs RAY_AUTH_MODE=token here"
)


@contextmanager
def connected() -> Iterator[Any]:
    """The module `ray`, connected to the cluster of RAY_ADDRESS; a connection that was there before stays.

    Errors: InputError where Ray is not installed; TransientError where there is no cluster, or it is gone.
    """
    ray = _ray()
    if ray.is_initialized():
        yield ray
        return
    address = _address()
    host = address.rpartition(":")[0]
    # Ray takes 127.0.0.1 for the machine's own address; of another loopback address it has to be told.
    options = {"_node_ip_address": host} if host.startswith("127.") and host != "127.0.0.1" else {}
    before = signal.getsignal(signal.SIGTERM)
    try:
        ray.init(
            address=address,
            namespace=NAMESPACE,
            log_to_driver=False,
            configure_logging=False,
            logging_level=logging.ERROR,
            **options,
        )
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise _unreachable(address, error) from None
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, before)  # Ray has put its own in place, which ends the process at once
    try:
        yield ray
    finally:
        ray.shutdown()


def _address() -> str:
    """HOST:PORT of the head. Errors: as `connected`; Ray would try for minutes to reach a head that is not there."""
    address = ray_address()
    if address == "auto":
        address = _latest()
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit():
        raise InputError(
            f"RAY_ADDRESS is {address!r}", field="RAY_ADDRESS", hint="HOST:PORT of the cluster's head, or auto"
        )
    try:
        knock(address)
    except OSError as error:
        raise _unreachable(address, error) from None
    return address


def _latest() -> str:
    """Of the cluster that `ray start` was used for last on this machine, which may be gone."""
    from ray._private.services import get_ray_address_from_environment  # noqa: PLC2701  # no public way

    try:
        return str(get_ray_address_from_environment("auto", None))
    except ConnectionError:
        raise _unreachable("auto", "no ray start has run on this machine") from None


def _unreachable(address: str, error: object) -> TransientError:
    said = first_line(error)
    return TransientError(f"no Ray cluster can be reached at {address}: {said}", field="RAY_ADDRESS", hint=_HOW)


def knock(address: str) -> None:
    """OSError if nobody takes a connection at HOST:PORT within ten seconds."""
    host, _, port = address.rpartition(":")
    socket.create_connection((host, int(port)), timeout=_PATIENCE).close()


def first_line(error: object) -> str:
    """What an error of Ray says first; stack traces of several processes follow."""
    return str(error).strip().partition("\n")[0]


def _ray() -> Any:
    # Of its own, Ray begins without end again with what a machine has too little memory for.
    set_defaults({"RAY_task_oom_retries": str(RETRIES)})
    try:
        import ray
    except ImportError:
        raise InputError(
            "run.engine is ray, and Ray is not installed",
            field="run.engine",
            hint="pip install 'mtl-retrain[ray]' here and on every machine of the cluster, or set run.engine to local",
        ) from None
    return ray
