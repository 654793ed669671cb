"""From a configured source to a Source."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from mtl.config.data import SourceConfig
from mtl.config.feedback import is_feedback
from mtl.errors import DataError, NotFoundError, did_you_mean
from mtl.settings import load_settings, local_path
from mtl.sources.archive import ArchiveSource
from mtl.sources.base import WHOLE, Chunk, FileOptions, Local, Part, RawRow, Source
from mtl.sources.bucket import BucketSource, open_bucket
from mtl.sources.columns import MarkedSource, RenamedSource, read_names
from mtl.sources.feedback import FeedbackSource, taken
from mtl.sources.files import FileSource
from mtl.sources.generated import DemoSource
from mtl.sources.hub import HubSource
from mtl.sources.listing import ARCHIVES
from mtl.sources.names import existing
from mtl.store.open import open_store
from mtl.task import BadRow

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+-]+):(?://)?")
_OTHER_ARCHIVES = re.compile(r"\.(?:zip|7z|rar|tbz2?|txz|tar\.(?:bz2|xz))$", re.IGNORECASE)
KINDS = ("demo", "feedback", "hub:OWNER/NAME", "s3://BUCKET/PREFIX", "a file, folder, glob or tar archive")


def open_source(
    config: SourceConfig,
    seed: int,
    *,
    cache: Path,
    columns: frozenset[str] | None = None,
    local: Local | None = None,
) -> Source:
    """The source that `config.uri` names; `cache` keeps copies of what is far away.

    columns: those that will be read of its rows, None for all: others may be missing. local: a copy of some of its
    files, which alone are looked at.
    Errors: NotFoundError with a suggestion for what is not there; DataError for an archive that is no tar.
    """
    options = FileOptions(config.delimiter, config.encoding, read_names(columns, config.columns))
    source = _open(config, seed, cache, options) if local is None else _copied(config, local, options)
    if config.columns:
        source = RenamedSource(source, config.columns)
    marks = config.model_dump(include={"columns", "delimiter", "encoding"}, exclude_defaults=True)
    if marks:
        source = MarkedSource(source, marks)
    return WithColumns(source, config.add) if config.add else source


def is_remote(uri: str) -> bool:
    """Whether a source is far away: on the Hub or in a bucket."""
    return _kind(uri) in ("hub", "s3")


def _kind(uri: str) -> str:
    """The scheme of `uri`; '' for a path, even if it has a colon in it."""
    scheme = _SCHEME.match(uri)
    kind = scheme[1].lower() if scheme else ""
    return "" if kind not in ("hub", "s3") and os.path.lexists(uri) else kind


def _open(config: SourceConfig, seed: int, cache: Path, options: FileOptions) -> Source:
    limits = {str(split): count for split, count in config.rows.items()}
    files = {str(split): name for split, name in config.files.items()}
    kind = _kind(config.uri)
    if config.uri == "demo":
        return DemoSource(config.task, seed=seed, counts=limits)
    if is_feedback(config.uri):
        return FeedbackSource(taken(config, open_store(load_settings().store), cache), cache=cache)
    if kind == "hub":
        return HubSource(
            config.task,
            _SCHEME.sub("", config.uri, count=1),
            config=config.name,
            revision=config.revision or "main",
            limits=limits,
            streaming=config.streaming,
            columns=options.columns,
        )

    def local(path: Path, uri: str | None = None) -> Source:
        found, rest = existing(path)
        if not rest and found.is_file():
            if _OTHER_ARCHIVES.search(found.name):
                raise DataError(
                    f"{found.name}: of archives only {', '.join(ARCHIVES)} are read",
                    field="sources.uri",
                    hint="unpack it and name the folder, or pack the files as .tar.gz",
                )
            if found.name.lower().endswith(ARCHIVES):
                return ArchiveSource(config.task, found, uri=config.uri, files=files, limits=limits, options=options)
        return FileSource(config.task, uri or str(path), files=files, limits=limits, options=options)

    if kind == "s3":
        return BucketSource(config.uri, cache=cache, read=local, store=open_bucket(config.uri))
    if kind:
        raise NotFoundError(
            f"source {config.uri!r}: unknown kind {kind!r}",
            field="sources.uri",
            hint=f"{did_you_mean(kind, ['demo', 'feedback', 'hub', 's3'])}; a source is {', '.join(KINDS)}",
        )
    return local(local_path(config.uri), config.uri)


def _copied(config: SourceConfig, local: Local, options: FileOptions) -> Source:
    limits = {str(split): count for split, count in config.rows.items()}
    files = {str(split): name for split, name in config.files.items()}
    first = local.root / local.names[0]
    if first.name.lower().endswith(ARCHIVES):
        return ArchiveSource(config.task, first, uri=config.uri, files=files, limits=limits, options=options)
    return FileSource(config.task, config.uri, files=files, limits=limits, options=options, local=local)


class WithColumns:
    """Another source's rows with columns added: `{level: college}` says what the rows of RACE-C do not."""

    def __init__(self, source: Source, add: Mapping[str, str]) -> None:
        self._source, self._add = source, dict(add)
        self.splits, self.describe, self.stamp, self.size = source.splits, source.describe, source.stamp, source.size
        self.notes, self.chunks, self.local = source.notes, source.chunks, source.local

    def rows(self, split: str, part: Part = WHOLE) -> Iterator[RawRow]:
        return map(self._added, self._source.rows(split, part))

    def read(self, chunk: Chunk) -> Iterator[RawRow]:
        return map(self._added, self._source.read(chunk))

    def _added(self, row: RawRow) -> RawRow:
        return row if isinstance(row.value, BadRow) else replace(row, value={**row.value, **self._add})
