"""lineage: OpenLineage events of a retrain, where OpenLineage is configured by its own variables or openlineage.yml.

What cannot be sent is a warning, once a run, and never stops a retrain. The events themselves are in lineage_events.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from mtl.redact import clean
from mtl.settings.environment import current
from mtl.settings.service import LineageSettings

_log = logging.getLogger(__name__)
_TRANSPORT = "OPENLINEAGE__TRANSPORT"
_FILES = (Path("openlineage.yml"), Path("~/.openlineage/openlineage.yml"))
_LONGEST = 300


@dataclass(frozen=True, slots=True)
class RunName:
    """What a run is in OpenLineage. run: a UUID. job: of which it is one, in `namespace`."""

    run: str
    namespace: str
    job: str


def is_configured(environ: Mapping[str, str] | None = None) -> bool:
    """Whether somebody told OpenLineage where events go. Without that, its client prints them."""
    values = current() if environ is None else environ
    settings = LineageSettings.read(values)
    if (settings.disabled or "").strip().lower() == "true":
        return False
    named = settings.url or settings.config or any(name.startswith(_TRANSPORT) for name in values)
    return bool(named) or any(path.expanduser().is_file() for path in _FILES)


def namespace() -> str:
    """The namespace of the jobs."""
    return LineageSettings.read().namespace


def send(run: str, make: Callable[[], Any]) -> bool:
    """Send the event that `make` gives; False if nothing was sent. run: id of the run that it is of. Never raises."""
    if not is_configured():
        return False
    if find_spec("openlineage") is None:
        _warn(run, "openlineage-python is not installed: pip install 'mtl-retrain[lineage]'")
        return False
    config = LineageSettings.read().config
    if config and not Path(config).is_file():  # its client would print the events instead
        _warn(run, f"OPENLINEAGE_CONFIG names a file that is not there: {config}")
        return False
    try:
        from openlineage.client import OpenLineageClient

        client = OpenLineageClient()
        try:
            client.emit(make())
        finally:
            client.close(timeout=_SECONDS)  # transports that send in the background have until then
    except Exception as error:  # whatever is wrong with the news, the retrain goes on
        _warn(run, f"{type(error).__name__}: {error}")
        return False
    return True


_SECONDS = 10.0
_warned: set[str] = set()
"""Runs of which it was said that their events are lost."""


def _warn(run: str, cause: str) -> None:
    if run not in _warned:
        _warned.add(run)
        _log.warning("the retrain goes on without its OpenLineage events: %s", clean(cause)[:_LONGEST])
