"""open_store: from what a person writes into MTL_STORE to an ObjectStore."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import unquote, urlsplit

from mtl.errors import InputError, did_you_mean
from mtl.settings import store_patience
from mtl.store.base import ObjectStore
from mtl.store.folder import FolderStore
from mtl.store.memory import MemoryStore

_MEMORY: dict[str, MemoryStore] = {}
_SCHEMES = ("file", "memory", "s3")


def open_store(uri: str, *, patience: float | None = None) -> ObjectStore:
    """A folder (`path` or `file://path`), `s3://bucket/prefix`, or `memory:NAME` (one per name and process).

    patience: seconds that one call may spend on retries before it raises TransientError (S3 only); by default what
    MTL_STORE_PATIENCE says.
    Raises InputError for any other scheme.
    """
    scheme, colon, rest = uri.partition(":")
    if not uri or "\0" in uri:
        raise InputError("no object store given", field="MTL_STORE", hint="a folder, or s3://bucket/prefix")
    if not colon or "/" in scheme:
        return FolderStore(uri)
    if scheme == "memory":
        return _MEMORY.setdefault(rest, MemoryStore(rest))
    if scheme == "file":
        return FolderStore(_file_path(uri))
    if scheme == "s3":
        return _open_s3(uri, patience=store_patience() if patience is None else patience)
    raise InputError(
        f"unknown kind of object store {scheme!r} in {_redacted(uri)!r}; {did_you_mean(scheme, _SCHEMES)}",
        field="MTL_STORE",
        hint="give a folder, file:///folder, or s3://bucket/prefix",
    )


def _file_path(uri: str) -> Path:
    parts = urlsplit(uri)
    path = Path(unquote(parts.path))
    if parts.netloc not in ("", "localhost") or not path.is_absolute():
        raise InputError(f"{uri!r} is no local folder", field="MTL_STORE", hint="file:///absolute/folder")
    return path


def _open_s3(uri: str, *, patience: float) -> ObjectStore:
    from mtl.store.s3 import S3Store  # boto3 takes a third of a second to import

    parts = urlsplit(uri)
    if not parts.netloc or "@" in parts.netloc or parts.query or parts.fragment:
        raise InputError(
            f"{_redacted(uri)!r} names no bucket and prefix",
            field="MTL_STORE",
            hint="s3://bucket/prefix; credentials and endpoint come from AWS_* variables",
        )
    return S3Store(parts.netloc, parts.path, patience=patience)


def _redacted(uri: str) -> str:
    """`uri` without user name and password, should somebody have put them there."""
    head, at, tail = uri.rpartition("@")
    return f"{head.partition('://')[0]}://...@{tail}" if at else uri
