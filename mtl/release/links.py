"""Links: a release for people without credentials, as presigned URLs that expire.

    mtl pull champion --url > links.json        with credentials
    mtl pull links.json DEST                    without

The manifest travels with the links, so that every file is verified as in any other pull. Who has the links can read
the release until they expire: they are as secret as it is.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from mtl.errors import InputError, NotFoundError, PermanentError, TransientError
from mtl.release.fetch import CHUNK
from mtl.release.layout import ReleaseFile, ReleaseManifest, parse_manifest, release_prefix
from mtl.store.base import ObjectStore
from mtl.store.retry import Patience, persist

_KIND = "mtl-release-links"
_LONGEST_HOURS = 7 * 24
_SECONDS = 30.0
_PATIENCE = Patience(seconds=60.0)


@runtime_checkable
class Presigning(Protocol):
    """A store that makes links to its objects."""

    def presign(self, key: str, *, seconds: int) -> str: ...


def make_links(store: ObjectStore, manifest: ReleaseManifest, *, hours: float) -> dict[str, Any]:
    """The document of links to all files of a release. Errors: InputError for a store that cannot make links."""
    if not isinstance(store, Presigning):
        raise InputError(
            f"{store.uri} makes no links", field="MTL_STORE", hint="only an s3:// store does; copy the folder instead"
        )
    if not 0 < hours <= _LONGEST_HOURS:
        raise InputError(f"links last up to {_LONGEST_HOURS} hours, got {hours:g}", field="hours")
    prefix = release_prefix(manifest.model, manifest.version)
    seconds = round(hours * 3600)
    return {
        "kind": _KIND,
        "model": manifest.model,
        "version": manifest.version,
        "expires": (datetime.now(UTC) + timedelta(seconds=seconds)).isoformat(timespec="seconds"),
        "manifest": manifest.to_bytes().decode(),
        "files": {file.path: store.presign(f"{prefix}/{file.path}", seconds=seconds) for file in manifest.files},
    }


def read_links(path: Path) -> tuple[ReleaseManifest, LinkSource]:
    """The release that a file of links leads to. Errors: InputError, DamageError."""
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        if document["kind"] != _KIND:
            raise ValueError(f"kind {document['kind']!r}")
        text, links, expires = document["manifest"], dict(document["files"]), str(document["expires"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{path} is no file of links: {error}", field="ref", hint="mtl pull champion --url > links.json makes one"
        ) from None
    manifest = parse_manifest(text.encode(), str(path))
    missing = [file.path for file in manifest.files if not str(links.get(file.path, "")).startswith("http")]
    if missing:
        raise InputError(f"{path} has no link to {missing[0]}", field="ref")
    return manifest, LinkSource(links, expires=expires)


class LinkSource:
    """Files behind links. What a link says is never repeated in a message: it holds a signature."""

    name = "the links"

    def __init__(self, links: Mapping[str, str], *, expires: str, patience: Patience = _PATIENCE) -> None:
        self._links = dict(links)
        self._expires = expires
        self._patience = patience

    def __repr__(self) -> str:
        return f"LinkSource({len(self._links)} files, expires {self._expires})"

    def resumes(self) -> bool:
        return True

    def chunks(self, file: ReleaseFile, start: int) -> Iterator[bytes]:
        while start < file.bytes:
            chunk = persist(partial(self._read, file, start), self._patience)
            start += len(chunk)
            yield chunk

    def _read(self, file: ReleaseFile, start: int) -> bytes:
        """Up to CHUNK bytes of a file from `start` on: what arrives before the connection breaks, at least one."""
        import httpx

        length, data = min(CHUNK, file.bytes - start), bytearray()
        headers = {"Range": f"bytes={start}-{start + length - 1}", "Accept-Encoding": "identity"}
        cause = "0 bytes came"
        try:
            with httpx.stream("GET", self._links[file.path], headers=headers, timeout=_SECONDS) as answer:
                self._check(answer.status_code, file.path)
                before = 0 if answer.status_code == 206 else start  # a server that knows no ranges sends all of it
                for piece in answer.iter_raw():
                    data += piece[before:]
                    before = max(0, before - len(piece))
                    if len(data) >= length:
                        break
        except httpx.HTTPError as error:
            cause = type(error).__name__
        if not data:
            raise TransientError(f"cannot read {file.path}: {cause}")
        return bytes(data[:length])

    def _check(self, status: int, path: str) -> None:
        if status in (200, 206):
            return
        if status == 404:
            raise NotFoundError(f"no {path} behind its link", field=path)
        if status >= 500 or status == 429:
            raise TransientError(f"cannot read {path}: the server answers {status}")
        hint = f"they expire on {self._expires}; ask for new ones (mtl pull REF --url)"
        raise PermanentError(f"the link to {path} is refused ({status})", field=path, hint=hint)
