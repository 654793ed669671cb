"""bundle: one signature over named sha256 sums, made and checked by OpenSSF's `model_signing`.

The bundle is what `model_signing sign key` writes: an in-toto statement in a DSSE envelope, in a Sigstore bundle. For a
release the names are its files, so that `model_signing verify key` accepts the pulled folder. For a document the one
name is its key in the store, so that a signed document proves nothing in another place.

The library reads folders, keys and signatures from files. The sums here are known already, and are given to it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from mtl.errors import InputError, PermanentError, SignatureError
from mtl.printable import printable
from mtl.settings.signing import PKCS11
from mtl.signing.keys import TrustedKey, TrustedKeys


class MismatchError(SignatureError):
    """What was signed by a trusted key is not what is there."""


_INSTALL = "install the extra: pip install --constraint constraints.txt 'mtl-retrain[sign]'"


def sign(name: str, sha256: Mapping[str, str], *, key: str) -> bytes:
    """A bundle that signs the sums. key: path of a private key, or a pkcs11: URI. Errors: PermanentError."""
    signing = _library().signing.Config().set_hashing_config(_Known(name, sha256))
    with TemporaryDirectory() as folder:
        target = Path(folder) / "bundle.json"
        try:
            if key.startswith(PKCS11):
                signing.use_pkcs11_signer(pkcs11_uri=key)
            else:
                signing.use_elliptic_key_signer(private_key=key)
            signing.sign(folder, target)
        except Exception as error:  # of the library, of PKCS#11 modules; its text may name the URI, and with it a PIN
            hint = "is MTL_SIGNING_KEY right, and does its token answer? docs/how-to/sign-releases.md"
            said = f"cannot sign {name}: {_cause(error, key)}"
            raise PermanentError(said, field="MTL_SIGNING_KEY", hint=hint) from None
        return target.read_bytes()


def verify(
    name: str, sha256: Mapping[str, str], bundle: bytes, *, trusted: TrustedKeys, signed: datetime
) -> TrustedKey:
    """The trusted key that signed exactly these sums. signed: when, as what is signed says.

    Errors: SignatureError that names what is wrong: another key, other content, a retired or an expired key.
    """
    key = _key(name, bundle, trusted)
    library = _library()
    with TemporaryDirectory() as folder:
        signature, public = Path(folder) / "bundle.json", Path(folder) / "key.pub"
        signature.write_bytes(bundle)
        public.write_bytes(key.pem)
        try:
            verifying = library.verifying.Config().use_elliptic_key_verifier(public_key=public)
            verifying.set_hashing_config(_Known(name, sha256)).verify(folder, signature)
        except Exception as error:  # whatever a forged bundle makes of the library is a refusal
            raise MismatchError(
                f"{name} is not what key {key.name} signed: {_mismatch(error)}", field=name, hint=_RESTORE
            ) from None
    _check_valid(name, key, signed)
    return key


_RESTORE = "somebody changed it after it was signed: restore it from a backup, and find out who can write to the store"


def _key(name: str, bundle: bytes, trusted: TrustedKeys) -> TrustedKey:
    """The trusted key that the bundle names."""
    try:
        hint = str(json.loads(bundle)["verificationMaterial"]["publicKey"]["hint"])
    except (ValueError, KeyError, TypeError, RecursionError):
        said = f"the signature of {name} is not a signature made with a key"
        raise SignatureError(said, field=name, hint=_RESTORE) from None
    if hint not in trusted:
        known = ", ".join(f"{key.name} ({key.sha256[:12]})" for key in trusted.values())
        raise SignatureError(
            f"{name} is signed by a key that is not trusted (sha256 {hint[:12]!a})",
            field=name,
            hint=f"trusted: {known}; if you know whose key it is, add its public key to MTL_TRUSTED_KEYS",
        )
    return trusted[hint]


def _check_valid(name: str, key: TrustedKey, signed: datetime) -> None:
    again = "mtl sign signs a release again, mtl sign-journal the journal, with the present key"
    if key.expires is not None and datetime.now(UTC) >= key.expires:
        said = f"{name} is signed by key {key.name}, which expired on {key.expires:%Y-%m-%d}"
        raise SignatureError(said, field=name, hint=f"{again}; or state a later day in {key.path}")
    if key.retired is not None and signed >= key.retired:
        raise SignatureError(
            f"{name} was signed on {signed:%Y-%m-%d} by key {key.name}, which was retired on {key.retired:%Y-%m-%d}",
            field=name,
            hint=f"whoever signs still uses the old key: change MTL_SIGNING_KEY there; {again}",
        )


def _library() -> Any:
    """model_signing, which takes two seconds to import. Errors: InputError if it is not installed."""
    try:
        import model_signing
    except ModuleNotFoundError as error:
        raise InputError(f"signatures need the package model-signing: {error}", hint=_INSTALL) from None
    return model_signing


class _Known:
    """Stands for `model_signing.hashing.Config`: hashes nothing, and answers with sums that are known."""

    def __init__(self, name: str, sha256: Mapping[str, str]) -> None:
        self._name, self._sha256 = name, sha256

    def hash(self, model_path: Path, *, files_to_hash: object = None) -> Any:
        from model_signing.hashing import hashing
        from model_signing.manifest import Manifest, SerializationType

        kind = SerializationType.from_args({"method": "files", "hash_type": "sha256", "allow_symlinks": False})
        digests = {path: hashing.Digest("sha256", bytes.fromhex(its)) for path, its in self._sha256.items()}
        return Manifest(self._name, [kind.new_item(path, digest) for path, digest in digests.items()], kind)

    def add_ignored_paths(self, *, model_path: Path, paths: object) -> None:
        """What a signature wants ignored is not ignored here."""


_PARTS = (
    ("changed:", re.compile(r"Hash mismatch for \\?'([^'\\]+)")),
    ("added:", re.compile(r"Extra files found in model [^:]*: ([^'\"\]]+)")),
    ("missing:", re.compile(r"Missing files in model [^:]*: ([^'\"\]]+)")),
)


def _cause(error: Exception, secret: str) -> str:
    return f"{type(error).__name__}: {error}".replace(secret, "the key")[:300]


def _mismatch(error: Exception) -> str:
    """What the library found, in words; of a wrong signature it says nothing."""
    found = [f"{word} {', '.join(names)}" for word, part in _PARTS if (names := part.findall(str(error)))]
    return "; ".join(found) or printable(str(error))[:200] or "the signature is wrong"
