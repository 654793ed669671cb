"""publish: put a version's adapter, tokenizer, report and card into the object store, the manifest last.

A process that signs (MTL_SIGNING_KEY) signs what it made itself, never what it found in the store.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from mtl.errors import DamageError, InputError, PermanentError
from mtl.fingerprint import sha256_bytes, sha256_file
from mtl.layout import MANIFEST, PROVENANCE, SIGNATURE, release_prefix
from mtl.model.load import MODEL_FILE, load_for_generation, load_spec
from mtl.release.card import render_card
from mtl.release.layout import (
    ReleaseFacts,
    ReleaseFile,
    ReleaseManifest,
    check_release_path,
    find_manifest,
    read_manifest,
)
from mtl.release.signature import check_signature, read_signature, sign_release
from mtl.serving.folder import ADAPTER, ADAPTER_CONFIG, BASE, MERGED, bundled_base, model_files
from mtl.signing.configured import check_signing, signs
from mtl.store.base import ObjectStore


def publish(
    store: ObjectStore,
    folder: Path,
    *,
    model: str,
    version: int,
    facts: ReleaseFacts,
    documents: Mapping[str, str] | None = None,
    differences: Mapping[str, Mapping[str, str]] | None = None,
    licences: Mapping[str, str] | None = None,
    merged: bool = False,
    require_signature: bool = False,
) -> ReleaseManifest:
    """Publish the adapter folder as `version` of `model`; a version that is published already stays as it is.

    documents: name -> text of what goes with it (report.json, report.md). differences, licences: for the card.
    A base that consumers cannot fetch by name (the shipped one, a folder) is copied in under base/. merged: the whole
    model with its tokenizer too, under merged/, for transformers alone.
    Killed anywhere, it leaves no release, and may be called again. Two at once agree: of each document the first
    stays, and the weights of one version are the same bytes. Where it is signed, each writes its own documents.
    Errors: InputError for a folder that is no adapter, or without a key if a signature is required; PermanentError if
    `version` is published with another adapter; DamageError if a file was not stored as it is; SignatureError if what
    is published already is not signed by a trusted key, and this process signs.
    """
    check_signing(required=require_signature)
    spec = asdict(load_spec(folder))
    base = bundled_base(folder)
    weights = model_files(folder, base)
    for name in (MODEL_FILE, ADAPTER_CONFIG):  # these two are rewritten for consumers
        del weights[name]
    adapter_sha256 = sha256_file(folder / ADAPTER)
    prefix = release_prefix(model, version)
    published = find_manifest(store, model, version)
    if published is not None:
        check_signature(published, read_signature(store, prefix), required=signs())  # anybody may have put it there
        return _same_release(published, facts.identity, adapter_sha256)
    spec = _public_spec(spec, bundled=base is not None)
    texts = dict(documents or {})
    texts[MODEL_FILE] = _pretty(spec)
    texts[ADAPTER_CONFIG] = _adapter_config(folder, bundled=base is not None)
    texts["README.md"] = render_card(
        model=model,
        version=version,
        spec=spec,
        facts=facts,
        adapter_sha256=adapter_sha256,
        bundled=base is not None,
        differences=differences,
        licences=licences,
        merged=merged,
        provenance=any(name.startswith(PROVENANCE) for name in texts),
    )
    _clear_leftovers(store, prefix, adapter_sha256)
    files = [_put_file(store, prefix, name, path) for name, path in weights.items()]
    files += [_put_once(store, prefix, name, text.encode()) for name, text in texts.items()]
    files += _put_merged(store, prefix, folder) if merged else []
    manifest = ReleaseManifest(
        model=model,
        version=version,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        base=str(spec["base"]),
        revision=spec.get("revision"),
        adapter_sha256=adapter_sha256,
        facts=facts,
        files=tuple(sorted(files, key=lambda file: file.path)),
    )
    _make_visible(store, manifest)
    return _same_release(read_manifest(store, model, version), facts.identity, adapter_sha256)


def _make_visible(store: ObjectStore, manifest: ReleaseManifest) -> None:
    """Put the manifest, unless another publisher was first; before it, the signature, of which that one's stays."""
    prefix = release_prefix(manifest.model, manifest.version)
    signature, before = sign_release(manifest), read_signature(store, prefix)
    if signature is not None:
        store.put(f"{prefix}/{SIGNATURE}", signature)
    elif before is not None:  # of a publisher that was killed, and of another manifest
        store.delete(f"{prefix}/{SIGNATURE}")
    won = store.put_if_absent(f"{prefix}/{MANIFEST}", manifest.to_bytes())
    fits = signature is not None and read_manifest(store, manifest.model, manifest.version) == manifest
    if not (won or fits) and before is not None:
        store.put(f"{prefix}/{SIGNATURE}", before)


def _same_release(manifest: ReleaseManifest, identity: str, adapter_sha256: str) -> ReleaseManifest:
    if (manifest.facts.identity, manifest.adapter_sha256) != (identity, adapter_sha256):
        raise PermanentError(
            f"release v{manifest.version} of {manifest.model} is another model "
            f"(run {manifest.facts.identity[:12]}, not {identity[:12]})",
            hint="does the registry belong to another store? Use the MTL_STORE it was used with, or another model name",
        )
    return manifest


def _clear_leftovers(store: ObjectStore, prefix: str, adapter_sha256: str) -> None:
    """Remove what a publisher of another model left here before it was killed, so that nothing of it is kept."""
    key = f"{prefix}/{ADAPTER}"
    if store.head(key) is not None and sha256_bytes(store.get(key)) != adapter_sha256:
        for info in list(store.list(f"{prefix}/")):
            store.delete(info.key)


def _put_once(store: ObjectStore, prefix: str, name: str, data: bytes) -> ReleaseFile:
    """The file as it stands in the store afterwards: the first publisher's, where two publish at once.

    Where it is to be signed, it is these bytes: what was found there may be anybody's.
    """
    key = f"{prefix}/{check_release_path(name)}"
    if not store.put_if_absent(key, data) and signs() and store.get(key) != data:
        store.put(key, data)
    stored = store.get(key)
    if signs() and stored != data:
        raise DamageError(f"{key} was not stored as it was written", field=name)
    return ReleaseFile(name, len(stored), sha256_bytes(stored))


def _put_merged(store: ObjectStore, prefix: str, folder: Path) -> list[ReleaseFile]:
    """The adapter folded into its base, in safetensors. Put once: another machine may round the sums otherwise."""
    spec = load_spec(folder)
    with TemporaryDirectory() as temporary:
        model, tokenizer = load_for_generation(spec.base, spec.revision, folder)
        model.save_pretrained(temporary)
        tokenizer.save_pretrained(temporary)
        return [
            _put_once(store, prefix, f"{MERGED}/{path.name}", path.read_bytes())
            for path in sorted(Path(temporary).iterdir())
        ]


def _put_file(store: ObjectStore, prefix: str, name: str, path: Path) -> ReleaseFile:
    key = f"{prefix}/{check_release_path(name)}"
    file = ReleaseFile(name, path.stat().st_size, sha256_file(path))
    store.put_file(key, path)
    info = store.head(key)
    if info is None or info.size != file.bytes:
        raise DamageError(f"{key} was not stored whole", field=name)
    return file


def _adapter_config(folder: Path, *, bundled: bool) -> str:
    """The adapter's configuration, naming the base as a consumer finds it: beside it, or on the Hub."""
    config = _read_json(folder / ADAPTER_CONFIG)
    if bundled:
        config |= {"base_model_name_or_path": BASE, "revision": None}
    return _pretty(config)


def _public_spec(spec: dict[str, Any], *, bundled: bool) -> dict[str, Any]:
    """The model's file with the name of a bundled base alone: its path on this machine is nobody's business."""
    return {**spec, "base": Path(str(spec["base"])).name} if bundled else spec


def _pretty(document: Mapping[str, Any]) -> str:
    return json.dumps(document, indent=2, sort_keys=True) + "\n"


def _read_json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InputError(f"{path} is not JSON: {error}") from None
    if not isinstance(value, dict):
        raise InputError(f"{path}: expected an object, got {type(value).__name__}")
    return value
