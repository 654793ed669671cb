"""Addresses of MLflow in what people read: without a password, and as a shell takes them. Imports no MLflow."""

from __future__ import annotations

import re
import shlex

from mtl.errors import InputError

_USERINFO = re.compile(r"(?<=://)[^/\s@]+@")


def redact(text: str) -> str:
    """`text` without the user and password of any address in it."""
    return _USERINFO.sub("***@", text)


def for_shell(uri: str) -> str:
    """An address as a word of a shell's command line; one with a password in it is left to the variable."""
    return shlex.quote(uri) if redact(uri) == uri else '"$MLFLOW_TRACKING_URI"'


def deleted_experiment(name: str, number: str, *, uri: str) -> InputError:
    """The error for an experiment that was deleted, with the command that restores it. number: its id."""
    return InputError(
        f"experiment {name!r} was deleted in MLflow",
        field="register.experiment",
        hint="name another one in register.experiment, or restore it: "
        f"MLFLOW_TRACKING_URI={for_shell(uri)} mlflow experiments restore -x {number}",
    )
