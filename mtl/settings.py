"""Settings: the one place that reads the environment.

Addresses and secrets come from here only, never from a configuration file or a flow parameter.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from mtl.errors import InputError

DEFAULT_STORE_PATIENCE = 300.0


@dataclass(frozen=True, slots=True)
class Settings:
    """Where state, objects and records are kept on this machine.

    home: state folder (`MTL_HOME`, default `.mtl` in the working folder).
    store: object store (`MTL_STORE`), a folder or `s3://bucket/prefix`; default `<home>/store`.
    tracking_uri: `MLFLOW_TRACKING_URI`, default a SQLite file in `home`.
    """

    home: Path
    store: str
    tracking_uri: str
    actor: str

    @property
    def cache(self) -> Path:
        """Local copies of objects; safe to delete."""
        return self.home / "cache"


def load_settings(environ: Mapping[str, str] | None = None) -> Settings:
    """Settings from the environment (or from `environ`)."""
    env = os.environ if environ is None else environ
    home = Path(env.get("MTL_HOME") or ".mtl").absolute()
    store = env.get("MTL_STORE") or str(home / "store")
    return Settings(
        home=home,
        store=store,
        tracking_uri=env.get("MLFLOW_TRACKING_URI") or f"sqlite:///{home / 'mlflow.db'}",
        actor=env.get("MTL_ACTOR") or env.get("USER") or env.get("LOGNAME") or "unknown",
    )


def trainer_processes(environ: Mapping[str, str] | None = None) -> int:
    """Processes of one training on this machine (`MTL_TRAINER_PROCESSES`, default 1; one a GPU).

    Errors: InputError for anything but a positive whole number.
    """
    text = (os.environ if environ is None else environ).get("MTL_TRAINER_PROCESSES") or "1"
    if not text.isdecimal() or int(text) < 1:
        raise InputError(
            f"MTL_TRAINER_PROCESSES is {text!r}, no positive number",
            field="MTL_TRAINER_PROCESSES",
            hint="processes of one training on this machine: the number of its GPUs, or 1",
        )
    return int(text)


def store_patience(environ: Mapping[str, str] | None = None) -> float:
    """Seconds that one call to the object store may spend on retries (`MTL_STORE_PATIENCE`, default 300).

    Errors: InputError for anything but a positive number.
    """
    text = (os.environ if environ is None else environ).get("MTL_STORE_PATIENCE") or str(DEFAULT_STORE_PATIENCE)
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 < seconds < math.inf:
        raise InputError(
            f"MTL_STORE_PATIENCE is {text!r}, no positive number of seconds",
            field="MTL_STORE_PATIENCE",
            hint=f"seconds that one call to the object store may take, e.g. {DEFAULT_STORE_PATIENCE:g}",
        )
    return seconds


def inherited_environment(environ: Mapping[str, str] | None = None, *, own_store: bool) -> dict[str, str]:
    """What services of a stack inherit: all but addresses and logins of the services that it brings itself."""
    ours = ("PREFECT_", "MLFLOW_", "MTL_STORE", *(("AWS_",) if own_store else ()))
    env = os.environ if environ is None else environ
    return {name: value for name, value in env.items() if not name.startswith(ours)}


def device_limit(environ: Mapping[str, str] | None = None) -> str:
    """The concurrency limit of the device that this machine trains on (`MTL_DEVICE`, default `local`)."""
    return f"device-{(os.environ if environ is None else environ).get('MTL_DEVICE') or 'local'}"
