"""What the settings of this process say about signatures: whether it signs, whom it trusts, what it refuses.

The readers of the store ask here, rather than being given keys by their callers: there are many roads to a release, and
a road that nobody thought of must not be one on which nothing is verified. Without a setting nothing is signed and
nothing is verified. A process that signs also verifies: with MTL_TRUSTED_KEYS, or else with its own key, so that it
never signs what stands on somebody else's unsigned word.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from mtl.errors import InputError, SignatureError
from mtl.fingerprint import canonical_json, sha256_json
from mtl.settings import signing_settings
from mtl.settings.signing import PKCS11
from mtl.signing.bundle import sign, verify
from mtl.signing.keys import TrustedKeys, public_key_of, read_trusted

SIGNATURE = "signature"
"""Field of a signed document."""


def signs() -> bool:
    """Whether this process signs."""
    return signing_settings().key is not None


def signature_required() -> bool:
    """Whether this process refuses releases without a signature."""
    return signing_settings().required


def trusted_keys() -> TrustedKeys | None:
    """The keys that this process trusts; None if it verifies nothing. Errors: InputError, NotFoundError."""
    settings = signing_settings()
    if settings.trusted is not None:
        return read_trusted(settings.trusted)
    if settings.key is not None:
        return _own_key(settings.key.get_secret_value())
    if settings.required:
        raise InputError(
            "MTL_REQUIRE_SIGNATURE is set, and no key is trusted",
            field="MTL_TRUSTED_KEYS",
            hint="set MTL_TRUSTED_KEYS to the public keys whose signatures count",
        )
    return None


def check_key(why: str) -> None:
    """Errors: InputError that begins with `why`, if this process has no key to sign with."""
    if not signs():
        raise InputError(
            f"{why}; there is no key to sign with",
            field="MTL_SIGNING_KEY",
            hint="run it where MTL_SIGNING_KEY is set; mtl keys create FOLDER makes a pair",
        )


def check_signing(*, required: bool) -> None:
    """Errors: InputError if `required` and this process has no key; those of `signed_bundle`, if it could not sign now.

    Called before hours of work whose result is to be signed.
    """
    if required:
        check_key("register.require_signature is true")
    if signs():
        now = datetime.now(UTC)
        signed_bundle("a trial signature", {"trial": sha256_json(now.isoformat())}, signed=now)


def signed_bundle(name: str, sha256: Mapping[str, str], *, signed: datetime) -> bytes:
    """A signature over the sums by the key of this process, proved to be one that it would accept itself.

    signed: when, as what is signed says. Errors: InputError, SignatureError if its key is not (or no longer) trusted.
    """
    key = signing_settings().key
    trusted = trusted_keys()
    assert key is not None and trusted is not None, "asked only where signs() is true"
    place = key.get_secret_value()
    if not place.startswith(PKCS11):
        public_key_of(Path(place))  # for its words on a file that is missing, or is no key
    bundle = sign(name, sha256, key=place)
    verify(name, sha256, bundle, trusted=trusted, signed=signed)
    return bundle


def sign_document(document: Mapping[str, Any], name: str, *, at: str) -> dict[str, Any]:
    """The document with its signature; as it is, if this process does not sign.

    name: its key in the store, which is signed with it. at: the moment that the document states.
    Errors: InputError if it verifies what it reads, and could not read this again.
    """
    plain = dict(document)
    if not signs():
        if trusted_keys() is not None:
            check_key(f"{name} would be refused without a signature, because keys are trusted here")
        return plain
    bundle = signed_bundle(name, {name: sha256_json(plain)}, signed=moment(at, name))
    return plain | {SIGNATURE: json.loads(bundle)}


def check_document(document: Mapping[str, Any], name: str, *, at: object) -> None:
    """Errors: SignatureError unless a trusted key signed the document under `name`, or nothing is verified here."""
    trusted = trusted_keys()
    if trusted is None:
        return
    plain = {field: value for field, value in document.items() if field != SIGNATURE}
    bundle = document.get(SIGNATURE)
    if bundle is None:
        raise SignatureError(f"{name} is not signed", field=name)
    verify(name, {name: sha256_json(plain)}, canonical_json(bundle), trusted=trusted, signed=moment(at, name))


def moment(text: object, name: str) -> datetime:
    """A moment that a document states, in UTC if it says nothing else. Errors: SignatureError if it is none."""
    try:
        read = datetime.fromisoformat(str(text))
    except ValueError:
        raise SignatureError(f"{name} does not say when it was signed", field=name) from None
    return read if read.tzinfo else read.replace(tzinfo=UTC)


def _own_key(key: str) -> TrustedKeys:
    if key.startswith(PKCS11):
        raise InputError(
            "MTL_SIGNING_KEY is a pkcs11: URI, and MTL_TRUSTED_KEYS is not set",
            field="MTL_TRUSTED_KEYS",
            hint="set it to the file of the public key, which pkcs11-tool and p11tool export",
        )
    own = public_key_of(Path(key))
    return {own.sha256: own}
