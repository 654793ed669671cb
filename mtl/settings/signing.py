"""Settings of signatures: the key that signs, the keys that are trusted, and whether a signature is required."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, SecretStr

from mtl.errors import InputError
from mtl.settings.environment import local_path
from mtl.settings.variables import Variables, refused, variable

PKCS11 = "pkcs11:"
"""What begins the name of a key that a KMS or HSM holds (RFC 7512)."""


def _place(value: SecretStr) -> SecretStr:
    """Where a key is, never the key itself."""
    name = value.get_secret_value()
    if "-----BEGIN" in name:
        raise refused(
            InputError(
                "MTL_SIGNING_KEY holds a key itself, expected where the key is",
                field="MTL_SIGNING_KEY",
                hint="set it to the path of the key's file, or to a pkcs11: URI; keep the key out of the environment",
            )
        )
    return SecretStr(str(local_path(name))) if name.startswith("~") else value


class SigningSettings(Variables):
    """Who signs releases and the journal of champions, and who verifies them."""

    key: Annotated[SecretStr, AfterValidator(_place)] | None = variable(
        "MTL_SIGNING_KEY",
        meaning="key that signs releases and the journal: a PEM file, or a pkcs11: URI of a KMS or HSM",
        default=None,
    )
    trusted: Annotated[Path, AfterValidator(lambda path: local_path(str(path)))] | None = variable(
        "MTL_TRUSTED_KEYS",
        meaning="public keys whose signatures are trusted: a PEM file, or a folder of them; default: the signing key's",
        default=None,
    )
    required: bool = variable(
        "MTL_REQUIRE_SIGNATURE",
        meaning="whether every release that this machine pulls, serves or promotes must be signed",
        expected="neither true nor false",
        hint="set it to true or false",
        default=False,
    )


def signing_settings(environ: Mapping[str, str] | None = None) -> SigningSettings:
    """From `MTL_SIGNING_KEY`, `MTL_TRUSTED_KEYS` and `MTL_REQUIRE_SIGNATURE`. Errors: InputError."""
    return SigningSettings.read(environ)
