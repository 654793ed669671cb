"""Where a release is kept, and the manifest that makes it one.

releases/{model}/v{n}/...            files, model.sig if it is signed, manifest.json last: without it there is none
releases/{model}/log/{seq:012}.json  the journal, see mtl.release.journal
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Annotated, Any

from pydantic import AfterValidator, ConfigDict, with_config

from mtl.document import Line, Positive, Sha256, Size, check_record
from mtl.errors import DamageError, InputError, NotFoundError
from mtl.fingerprint import sha256_bytes, sha256_json
from mtl.layout import (
    MANIFEST,
    RELEASES,
    SIGNATURE,
    check_model_name,
    model_prefix,
    release_manifest_key,
)
from mtl.seal import unseal
from mtl.store.base import ObjectStore, check_key
from mtl.store.searched import searched
from mtl.training.parent import Parent

_VERSION = re.compile(r"v?([1-9][0-9]{0,8})")
_ADAPTER = "adapter_model.safetensors"
_AGAIN = "publish the version again"
_LONGEST_PATH = 200


def check_release_path(path: str) -> str:
    """`path` if it is a safe name in a release: at most one folder deep, no marker or signature. Errors: InputError."""
    hidden = any(part.startswith(".") for part in path.split("/"))
    if check_key(path).count("/") > 1 or path in (MANIFEST, SIGNATURE) or hidden or len(path) > _LONGEST_PATH:
        raise InputError(f"unsafe name in a release: {path!r}")
    return path


def _as_fault(check: Callable[[str], str], problem: str) -> AfterValidator:
    """A check of this room as one of a field; its words do not repeat the value."""

    def checked(value: str) -> str:
        try:
            return check(value)
        except InputError:
            raise ValueError(problem) from None

    return AfterValidator(checked)


ReleasePath = Annotated[str, _as_fault(check_release_path, "unsafe name in a release")]
ModelName = Annotated[str, _as_fault(check_model_name, "no name of a model")]


def _apart(files: tuple[ReleaseFile, ...]) -> tuple[ReleaseFile, ...]:
    """Files that do not stand in each other's place: no name twice, none that is another one's folder."""
    paths = [file.path for file in files]
    folders = {path.partition("/")[0] for path in paths if "/" in path}
    for path in paths:
        if paths.count(path) > 1 or path in folders:
            raise ValueError(f"{path!r} is there twice, or is a file and a folder")
    return files


@with_config(ConfigDict(extra="forbid"))
@dataclass(frozen=True, slots=True)
class ReleaseFile:
    """One file of a release: path below it, size, sha256."""

    path: ReleasePath
    bytes: Size
    sha256: Sha256


@dataclass(frozen=True, slots=True)
class ReleaseFacts:
    """Where a version came from. `metrics` is {task: {metric: value}} of its evaluation, null for what is not finite
    (as in the JSON of an EvalReport). `parent` is the version whose adapter its training started from."""

    identity: Line
    fingerprint: Line
    code_version: Line
    metrics: Mapping[str, Any] = field(default_factory=dict)
    parent: Parent | None = None


@with_config(ConfigDict(extra="forbid"))
@dataclass(frozen=True, slots=True)
class ReleaseManifest:
    """Everything a release holds. `sha256` is the hash of the manifest's own bytes, which the journal pins."""

    model: ModelName
    version: Positive
    created: Line
    base: Line
    revision: Line | None
    adapter_sha256: Sha256
    facts: ReleaseFacts
    files: Annotated[tuple[ReleaseFile, ...], AfterValidator(_apart)]

    def to_bytes(self) -> bytes:
        """Indented JSON with a `check`, the sha256 of the rest, by which damage in the manifest itself is seen."""
        document = _document(self)
        return json.dumps({**document, "check": sha256_json(document)}, indent=2, sort_keys=True).encode() + b"\n"

    @property
    def sha256(self) -> str:
        return sha256_bytes(self.to_bytes())


def _document(manifest: ReleaseManifest) -> dict[str, Any]:
    document: dict[str, Any] = {**asdict(manifest), **asdict(manifest.facts)}
    del document["facts"]
    if manifest.facts.parent is None:
        del document["parent"]
    return document


def parse_manifest(data: bytes, name: str) -> ReleaseManifest:
    """The manifest in `data`. Errors: DamageError naming `name` unless it is exactly what was written."""
    document = unseal(data, name, hint=_AGAIN)
    document["facts"] = {key: document.pop(key) for key in ReleaseFacts.__dataclass_fields__ if key in document}
    manifest = check_record(ReleaseManifest, document, name, hint=_AGAIN)
    adapter = next((file for file in manifest.files if file.path == _ADAPTER), None)
    if adapter is not None and adapter.sha256 != manifest.adapter_sha256:
        raise DamageError(f"{name} states another adapter than it lists", field="adapter_sha256", hint=_AGAIN)
    return manifest


def parse_version(ref: str) -> int | None:
    """7 for `v7` or `7`, None for anything else."""
    match = _VERSION.fullmatch(ref)
    return int(match[1]) if match else None


def published_versions(store: ObjectStore, model: str) -> list[int]:
    """Versions that have a manifest, lowest first."""
    return sorted(_published(store, f"{model_prefix(model)}/v"))


def _published(store: ObjectStore, prefix: str) -> Iterator[int]:
    for info in store.list(prefix):
        version, _, rest = info.key[len(prefix) :].partition("/")
        if rest == MANIFEST and version.isdigit():
            yield int(version)


def find_manifest(store: ObjectStore, model: str, version: int) -> ReleaseManifest | None:
    """The manifest of a version; None if it is not published. Errors: DamageError."""
    key = release_manifest_key(model, version)
    try:
        data = store.get(key)
    except NotFoundError:
        return None
    manifest = parse_manifest(data, key)
    if (manifest.model, manifest.version) != (model, version):
        raise DamageError(f"{key} is the manifest of {manifest.model} v{manifest.version}", field=key)
    return manifest


def read_manifest(store: ObjectStore, model: str, version: int) -> ReleaseManifest:
    """The manifest of a version. Errors: NotFoundError listing what is published; DamageError."""
    manifest = find_manifest(store, model, version)
    if manifest is None:
        raise NotFoundError(f"no release v{version} of {model} in {store.uri}", hint=known_releases(store, model))
    return manifest


def known_releases(store: ObjectStore, model: str) -> str:
    """'known: v1, v2; looked in STORE' for error messages."""
    versions = ", ".join(f"v{version}" for version in published_versions(store, model))
    others = ", ".join(sorted({info.key.split("/")[1] for info in store.list(RELEASES)} - {model}))
    if versions:
        known = f"known: {versions}"
    elif others:
        known = f"nothing of {model} is published there, but of {others} (--name)"
    else:
        known = "nothing is published yet; mtl retrain does it"
    return f"{known}; {searched(store)}"


def damaged(key: str, file: ReleaseFile) -> DamageError:
    return DamageError(
        f"{key} is damaged: its sha256 is not the manifest's {file.sha256[:12]}",
        field=file.path,
        hint="the store lost or changed bytes; restore the object, or promote another version",
    )
