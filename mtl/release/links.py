"""Links: a release for people without credentials, as presigned URLs that expire.

    mtl pull champion --url > links.json        with credentials
    mtl pull links.json DEST                    without

The manifest and its signature travel with the links, so that every file is verified as in any other pull. Who has the
links can read the release until they expire: they are as secret as it is.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Protocol, runtime_checkable
from urllib.parse import urlsplit

from pydantic import AfterValidator, StringConstraints

from mtl.document import Line, Positive, check_record, parse_json
from mtl.errors import DamageError, InputError, NotFoundError, PermanentError, TransientError
from mtl.layout import release_prefix
from mtl.release.fetch import CHUNK
from mtl.release.layout import ModelName, ReleaseFile, ReleaseManifest, ReleasePath, parse_manifest
from mtl.release.signature import read_signature
from mtl.store.base import ObjectStore
from mtl.store.retry import Patience, persist

_KIND = "mtl-release-links"
_AGAIN = "mtl pull champion --url > links.json makes one"
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
        raise InputError(
            f"links last up to {_LONGEST_HOURS} hours (7 days), got {hours:g} hours",
            field="hours",
            hint="S3 signs no link for longer; make new links before these expire",
        )
    prefix = release_prefix(manifest.model, manifest.version)
    signature = read_signature(store, prefix)
    seconds = max(1, round(hours * 3600))
    return {
        "kind": _KIND,
        "model": manifest.model,
        "version": manifest.version,
        "expires": (datetime.now(UTC) + timedelta(seconds=seconds)).isoformat(timespec="seconds"),
        "manifest": manifest.to_bytes().decode(),
        **({} if signature is None else {"signature": signature.decode()}),
        "files": {file.path: store.presign(f"{prefix}/{file.path}", seconds=seconds) for file in manifest.files},
    }


def read_links(path: Path) -> tuple[ReleaseManifest, LinkSource]:
    """The release that a file of links leads to.

    Errors: InputError for another kind of file; DamageError, which repeats no link, for one with a wrong field.
    """
    links = check_record(_Links, _document(path), str(path), hint=_AGAIN, secret=True)
    manifest = parse_manifest(links.manifest.encode(), str(path))
    if (links.model, links.version) != (manifest.model, manifest.version):
        raise DamageError(f"{path} is damaged: its manifest is that of another release", field="manifest", hint=_AGAIN)
    missing = [file.path for file in manifest.files if file.path not in links.files]
    if missing:
        raise InputError(f"{path} has no link to {missing[0]}", field="ref")
    return manifest, LinkSource(links.files, expires=links.expires, signature=links.signature)


def _document(path: Path) -> Mapping[str, Any]:
    """What a file of links holds, unchecked. Errors: InputError for any other file."""
    try:
        document = parse_json(path.read_bytes(), str(path))
        if not isinstance(document, dict) or document.get("kind") != _KIND:
            raise ValueError(f"its kind is not {_KIND}")
        if missing := sorted({field.name for field in fields(_Links)} - {"signature"} - document.keys()):
            raise ValueError(f"it has no {missing[0]!r}")
    except (OSError, ValueError, DamageError) as error:
        raise InputError(f"{path} is no file of links: {error}", field="ref", hint=_AGAIN) from None
    return document


def _http(link: str) -> str:
    import httpx

    problem = "no address that begins with http:// or https://"
    try:
        httpx.URL(link)
        parts = urlsplit(link)
        whole = parts.scheme in ("http", "https") and parts.hostname and (parts.port is None or parts.port > 0)
    except (httpx.InvalidURL, ValueError):
        raise ValueError(problem) from None
    if not whole:
        raise ValueError(problem)
    return link


@dataclass(frozen=True)
class _Links:
    """The document of `make_links`, apart from its kind."""

    model: ModelName
    version: Positive
    expires: Annotated[str, StringConstraints(pattern=r"^[0-9T:+Z.-]{10,40}$")]
    manifest: str
    files: dict[ReleasePath, Annotated[Line, AfterValidator(_http)]]
    signature: str | None = None


class LinkSource:
    """Files behind links. What a link says is never repeated in a message: it holds a signature."""

    name = "the links"

    def __init__(
        self, links: Mapping[str, str], *, expires: str, signature: str | None = None, patience: Patience = _PATIENCE
    ) -> None:
        self._links = dict(links)
        self._signature = signature
        self._expires = expires
        self._patience = patience

    def __repr__(self) -> str:
        return f"LinkSource({len(self._links)} files, expires {self._expires})"

    def signature(self) -> bytes | None:
        return None if self._signature is None else self._signature.encode()

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
