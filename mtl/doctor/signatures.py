"""Signatures: whether this machine signs and verifies, and whether a key expires soon."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from mtl.config.retrain import RetrainConfig
from mtl.doctor.result import CheckResult, ok, warning
from mtl.settings import SigningSettings, signing_settings
from mtl.settings.signing import PKCS11
from mtl.signing.configured import check_signing, trusted_keys
from mtl.signing.keys import TrustedKey

_SOON = timedelta(days=30)
_OTHERS_MAY = 0o077


def signatures(config: RetrainConfig | None = None) -> Iterator[CheckResult]:
    """Errors: those of a missing, expired or untrusted key, as a retrain would raise them."""
    settings = signing_settings()
    check_signing(required=config is not None and config.register_.require_signature)
    trusted = trusted_keys()
    if trusted is None:
        yield ok("signatures", "not set up: releases and the journal are neither signed nor verified")
        return
    yield from _open_to_others(settings)
    for key in trusted.values():
        yield from _expiry(key)
    names = ", ".join(f"{key.name} ({key.sha256[:12]})" for key in trusted.values())
    signs = "a trial signature is right" if settings.key else "this machine signs nothing"
    required = "required" if settings.required else "not required of a release"
    yield ok("signatures", f"trusted: {names}; {signs}; a signature is {required}")


def _expiry(key: TrustedKey) -> Iterator[CheckResult]:
    now = datetime.now(UTC)
    if key.expires is not None and key.expires - now < _SOON:
        when = "expired" if key.expires <= now else "expires"
        yield warning(
            "signatures",
            f"key {key.name} {when} on {key.expires:%Y-%m-%d}; what it signed is refused from then on",
            "create a new key, sign with it, and sign what is in use again: docs/how-to/sign-releases.md",
        )


def _open_to_others(settings: SigningSettings) -> Iterator[CheckResult]:
    """A private key that others can read; a key that a token holds has no file."""
    name = settings.key.get_secret_value() if settings.key else PKCS11
    path = Path(name).expanduser()
    if not name.startswith(PKCS11) and path.is_file() and path.stat().st_mode & _OTHERS_MAY:
        mode = path.stat().st_mode & 0o777
        yield warning("signatures", f"others may read the signing key {path} (mode {mode:03o})", f"chmod 600 {path}")
