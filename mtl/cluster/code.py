"""Whether a machine of the cluster runs what the driver runs: a result must not be put together from two versions."""

from __future__ import annotations

import platform
import socket
from collections.abc import Mapping
from functools import cache
from importlib import metadata

from mtl.errors import InputError
from mtl.fingerprint import sha256_sources

_COMPARED = (
    *("ray", "mtl-retrain", "torch", "transformers", "peft", "datasets", "pyarrow"),
    *("ctranslate2", "numpy", "orjson", "rensa", "safetensors", "tokenizers"),
)


@cache
def versions() -> Mapping[str, str]:
    """name -> version of what decides the bytes of the work: Python, packages, and the source of this one."""
    found = {"Python": platform.python_version(), "source of mtl": sha256_sources(["mtl"])[:12]}
    for name in _COMPARED:
        try:
            found[name] = metadata.version(name).partition("+")[0]  # torch's +cpu and +cu128 are the same release
        except metadata.PackageNotFoundError:
            found[name] = "missing"
    return found


def differences(there: Mapping[str, str], here: Mapping[str, str]) -> str:
    """What is another version on another machine than here; empty if nothing is."""
    other = [name for name in here if there.get(name) != here[name]]
    return "; ".join(f"{name} is {there.get(name, 'missing')}, here it is {here[name]}" for name in other)


def check_code(driver: Mapping[str, str]) -> None:
    """Called on a worker. driver: the driver's `versions`. Errors: InputError if this machine has others."""
    if dict(driver) == dict(versions()):
        return
    import ray.util

    node = f"{socket.gethostname()} ({ray.util.get_node_ip_address()})"
    raise InputError(
        f"{node} has other versions than the driver: on the driver, {differences(driver, versions())}",
        field="run.engine",
        hint="install the same versions on all machines and start Ray there again; mtl doctor names what differs",
    )
