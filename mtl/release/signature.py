"""The signature of a release: one file, `model.sig`, over every file and the manifest, whatever they are.

It is the file that `model_signing sign key` would make of the pulled folder, so that

    model_signing verify key FOLDER --signature FOLDER/model.sig --public_key signing.pub

accepts that folder. The manifest states model and version, so that a signed release proves nothing in another's place.
"""

from __future__ import annotations

from pathlib import Path

from mtl.errors import DamageError, NotFoundError, SignatureError
from mtl.fingerprint import sha256_bytes
from mtl.layout import MANIFEST, SIGNATURE, release_prefix
from mtl.release.layout import ReleaseManifest, damaged, read_manifest
from mtl.signing.bundle import verify
from mtl.signing.configured import moment, signature_required, signed_bundle, signs, trusted_keys
from mtl.signing.keys import TrustedKey
from mtl.store.base import ObjectStore


def sign_release(manifest: ReleaseManifest) -> bytes | None:
    """The signature of a release; None if this process does not sign."""
    if not signs():
        return None
    name = _name(manifest)
    return signed_bundle(name, _sums(manifest), signed=moment(manifest.created, name))


def check_signature(manifest: ReleaseManifest, signature: bytes | None, *, required: bool = False) -> TrustedKey | None:
    """The trusted key that signed a release; None if nobody did, or nothing is verified because no key is trusted.

    required: by a configuration; the settings may require it too.
    Errors: SignatureError if a signature is wrong, or is missing where one is required.
    """
    required = required or signature_required()
    trusted = trusted_keys()
    name = _name(manifest)
    if signature is None:
        if required:
            raise SignatureError(
                f"{name} is not signed, and a signature is required",
                field=name,
                hint=f"if you know that it is yours: mtl sign v{manifest.version}, where MTL_SIGNING_KEY is set",
            )
    elif trusted is not None:
        return verify(name, _sums(manifest), signature, trusted=trusted, signed=moment(manifest.created, name))
    elif required:
        raise SignatureError(
            f"{name} must be signed, and no key is trusted here by which its signature could be verified",
            field=name,
            hint="set MTL_TRUSTED_KEYS to the public keys whose signatures count",
        )
    return None


def check_folder_signature(manifest: ReleaseManifest, folder: Path) -> TrustedKey | None:
    """As `check_signature`, of a pulled folder."""
    path = folder / SIGNATURE
    return check_signature(manifest, path.read_bytes() if path.is_file() else None)


def verify_release(store: ObjectStore, model: str, version: int, *, require_signature: bool = False) -> ReleaseManifest:
    """The manifest, after reading every file of the release and comparing its hash, and verifying its signature.

    Errors: DamageError naming a file; SignatureError.
    """
    manifest = verify_contents(store, model, version)
    check_signature(manifest, read_signature(store, _name(manifest)), required=require_signature)
    return manifest


def verify_contents(store: ObjectStore, model: str, version: int) -> ReleaseManifest:
    """The manifest, after reading every file of the release and comparing its hash, whoever made it.

    Errors: DamageError naming a file.
    """
    manifest = read_manifest(store, model, version)
    prefix = _name(manifest)
    for file in manifest.files:
        key = f"{prefix}/{file.path}"
        try:
            intact = sha256_bytes(store.get(key)) == file.sha256
        except NotFoundError:
            raise DamageError(f"{key} is missing from the release", field=file.path) from None
        if not intact:
            raise damaged(key, file)
    return manifest


def read_signature(store: ObjectStore, prefix: str) -> bytes | None:
    """The signature of the release below `prefix`; None without one."""
    try:
        return store.get(f"{prefix}/{SIGNATURE}")
    except NotFoundError:
        return None


def _name(manifest: ReleaseManifest) -> str:
    return release_prefix(manifest.model, manifest.version)


def _sums(manifest: ReleaseManifest) -> dict[str, str]:
    return {file.path: file.sha256 for file in manifest.files} | {MANIFEST: manifest.sha256}
