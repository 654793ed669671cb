"""From a configured source to a Source."""

from __future__ import annotations

import re

from mtl.config.data import SourceConfig
from mtl.errors import NotFoundError, did_you_mean
from mtl.sources.base import Source
from mtl.sources.files import FileSource
from mtl.sources.generated import DemoSource
from mtl.sources.hub import HubSource

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+-]+):(?://)?")
KINDS = ("demo", "hub:OWNER/NAME", "a file, folder or glob")


def open_source(config: SourceConfig, seed: int) -> Source:
    """The source that `config.uri` names. Errors: NotFoundError with a suggestion for what is not there."""
    limits = {str(split): count for split, count in config.rows.items()}
    if config.uri == "demo":
        return DemoSource(config.task, seed=seed, counts=limits)
    scheme = _SCHEME.match(config.uri)
    if scheme and scheme[1].lower() == "hub":
        return HubSource(
            config.task,
            config.uri[scheme.end() :],
            config=config.name,
            revision=config.revision or "main",
            limits=limits,
            streaming=config.streaming,
        )
    if scheme:
        raise NotFoundError(
            f"source {config.uri!r}: unknown kind {scheme[1]!r}",
            field="sources.uri",
            hint=f"{did_you_mean(scheme[1], ['demo', 'hub'])}; a source is {', '.join(KINDS)}",
        )
    return FileSource(
        config.task, config.uri, files={str(split): name for split, name in config.files.items()}, limits=limits
    )
