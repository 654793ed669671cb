"""From a configured source to a Source."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from mtl.config.data import SourceConfig
from mtl.errors import DataError, NotFoundError, did_you_mean
from mtl.sources.archive import ENDINGS, ArchiveSource
from mtl.sources.base import WHOLE, Part, RawRow, Source
from mtl.sources.bucket import BucketSource, open_bucket
from mtl.sources.files import FileSource
from mtl.sources.generated import DemoSource
from mtl.sources.hub import HubSource
from mtl.task import BadRow

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+-]+):(?://)?")
_OTHER_ARCHIVES = re.compile(r"\.(?:zip|7z|rar|tbz2?|txz|tar\.(?:bz2|xz|zst))$", re.IGNORECASE)
KINDS = ("demo", "hub:OWNER/NAME", "s3://BUCKET/PREFIX", "a file, folder, glob or tar archive")


def open_source(config: SourceConfig, seed: int, *, cache: Path) -> Source:
    """The source that `config.uri` names; `cache` keeps copies of what is far away.

    Errors: NotFoundError with a suggestion for what is not there; DataError for an archive that is no tar.
    """
    source = _open(config, seed, cache)
    return WithColumns(source, config.add) if config.add else source


def _open(config: SourceConfig, seed: int, cache: Path) -> Source:
    limits = {str(split): count for split, count in config.rows.items()}
    files = {str(split): name for split, name in config.files.items()}
    scheme = _SCHEME.match(config.uri)
    kind = scheme[1].lower() if scheme else ""
    if config.uri == "demo":
        return DemoSource(config.task, seed=seed, counts=limits)
    if scheme and kind == "hub":
        return HubSource(
            config.task,
            config.uri[scheme.end() :],
            config=config.name,
            revision=config.revision or "main",
            limits=limits,
            streaming=config.streaming,
        )

    def local(path: Path) -> Source:
        if _OTHER_ARCHIVES.search(path.name) and path.is_file():
            raise DataError(
                f"{path.name}: of archives only {', '.join(ENDINGS)} are read",
                field="sources.uri",
                hint="unpack it and name the folder, or pack the files as .tar.gz",
            )
        if path.name.lower().endswith(ENDINGS) and path.is_file():
            return ArchiveSource(config.task, path, uri=config.uri, files=files, limits=limits)
        return FileSource(config.task, str(path), files=files, limits=limits)

    if scheme and kind == "s3":
        return BucketSource(config.uri, cache=cache, read=local, store=open_bucket(config.uri))
    if scheme:
        raise NotFoundError(
            f"source {config.uri!r}: unknown kind {scheme[1]!r}",
            field="sources.uri",
            hint=f"{did_you_mean(scheme[1], ['demo', 'hub', 's3'])}; a source is {', '.join(KINDS)}",
        )
    return local(Path(config.uri))


class WithColumns:
    """Another source's rows with columns added: `{level: college}` says what the rows of RACE-C do not."""

    def __init__(self, source: Source, add: Mapping[str, str]) -> None:
        self._source, self._add = source, dict(add)
        self.splits, self.describe, self.stamp, self.size = source.splits, source.describe, source.stamp, source.size

    def rows(self, split: str, part: Part = WHOLE) -> Iterator[RawRow]:
        for row in self._source.rows(split, part):
            if isinstance(row.value, BadRow):
                yield row
            else:
                yield RawRow({**row.value, **self._add}, row.file, row.line, row.number)
