"""Keys: elliptic-curve key pairs (P-256, PEM), and the public keys whose signatures are trusted.

A trusted key is a PEM file. Lines above its BEGIN line, which openssl and model_signing skip, say how long it is valid:

    Retired: 2026-06-01        signatures from before that day stay valid, later ones are refused: a rotated key
    Expires: 2027-01-01        from that day on no signature by it is valid
    -----BEGIN PUBLIC KEY-----

A key that is not to be trusted at all any more is removed from the folder.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from mtl.errors import InputError, NotFoundError
from mtl.fingerprint import sha256_bytes

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric import ec

PRIVATE, PUBLIC = "signing.key", "signing.pub"
SUFFIXES = (".pub", ".pem")
"""Files of a folder of trusted keys that are read."""
_BEGIN = b"-----BEGIN "
_CREATE = "mtl keys create FOLDER makes a pair"
_LINE = re.compile(r"(Retired|Expires):\s*(.*?)\s*", re.I)


@dataclass(frozen=True, slots=True)
class TrustedKey:
    """A public key: where it was found, its PEM, and how long it is valid."""

    path: Path
    pem: bytes
    retired: datetime | None = None
    expires: datetime | None = None

    @property
    def name(self) -> str:
        return self.path.name

    @property
    def sha256(self) -> str:
        """As signatures name the key."""
        return sha256_bytes(self.pem)


TrustedKeys = Mapping[str, TrustedKey]
"""By the sha256 that signatures name."""


def create_pair(folder: Path, *, expires: datetime | None = None) -> tuple[Path, TrustedKey]:
    """A new key pair in `folder`: the private key's path (mode 600), and the public one.

    Errors: InputError if either file is there already: a key is never overwritten.
    """
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    until = f"Expires: {expires:%Y-%m-%d}\n".encode() if expires else b""
    public = until + _pem(key.public_key())
    for path in (folder / PRIVATE, folder / PUBLIC):
        if os.path.lexists(path):
            raise InputError(f"{path} exists, and is not overwritten", field="folder", hint="give another folder")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _write_new(folder / PRIVATE, private, 0o600)
        _write_new(folder / PUBLIC, public, 0o644)
    except OSError as error:
        raise InputError(f"cannot write keys to {folder}: {error.strerror}", field="folder") from None
    return folder / PRIVATE, read_public(folder / PUBLIC)


def _write_new(path: Path, data: bytes, mode: int) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(descriptor, "wb") as file:
        os.fchmod(file.fileno(), mode)  # whatever the umask says
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def read_trusted(path: Path) -> TrustedKeys:
    """The keys of a file, or of a folder. Errors: NotFoundError if there is none; InputError."""
    if path.is_dir():
        files = sorted(file for file in path.iterdir() if file.suffix in SUFFIXES and file.is_file())
        if not files:
            raise NotFoundError(
                f"no trusted keys: {path} holds no file named *.pub or *.pem", field="MTL_TRUSTED_KEYS", hint=_CREATE
            )
    elif path.is_file():
        files = [path]
    else:
        raise NotFoundError(f"no trusted keys: there is no {path}", field="MTL_TRUSTED_KEYS", hint=_CREATE)
    keys: dict[str, TrustedKey] = {}
    for key in map(read_public, files):
        if key.sha256 in keys:
            said = f"{keys[key.sha256].path} and {key.path} are the same key"
            hint = "remove one of them: they may say something else of how long it is valid"
            raise InputError(said, field="MTL_TRUSTED_KEYS", hint=hint)
        keys[key.sha256] = key
    return keys


def read_public(path: Path) -> TrustedKey:
    """The one public key in a PEM file, with how long it is valid. Errors: InputError."""
    data = _content(path)
    if data.count(_BEGIN) != 1:
        hint = "a PEM file with one public key; several keys are several files of a folder"
        raise InputError(f"{path} holds {data.count(_BEGIN)} keys, expected one", field="MTL_TRUSTED_KEYS", hint=hint)
    if b"PRIVATE KEY" in data:
        raise InputError(
            f"{path} is a private key, expected a public one",
            field="MTL_TRUSTED_KEYS",
            hint=f"the one that stands beside it, e.g. {PUBLIC}; keep the private key where only the signer reads it",
        )
    below = data.rpartition(b"-----END PUBLIC KEY-----")[2].strip()
    if below:
        raise InputError(
            f"{path} says something after the key, where nobody reads it: {below.decode(errors='replace')[:80]!r}",
            field="MTL_TRUSTED_KEYS",
            hint="write it above the line -----BEGIN PUBLIC KEY-----",
        )
    days: dict[str, datetime] = {}
    for line, word, day in _days(path, data.partition(_BEGIN)[0]):
        if word in days:
            raise _no_line(path, line, "it is there twice")
        days[word] = day
    return TrustedKey(path, _pem(_loaded(path, data)), days.get("retired"), days.get("expires"))


def public_key_of(path: Path) -> TrustedKey:
    """The public key that belongs to a private one. Errors: NotFoundError, InputError, which do not repeat the key."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    if not path.is_file():
        raise NotFoundError(f"no signing key: there is no file {path}", field="MTL_SIGNING_KEY", hint=_CREATE)
    try:
        key = serialization.load_pem_private_key(_content(path, field="MTL_SIGNING_KEY"), None)
    except (ValueError, TypeError) as error:  # TypeError: it is encrypted
        problem = "is encrypted" if isinstance(error, TypeError) else "is no private key in PEM"
        hint = f"an EC P-256 key without a password, mode 600; {_CREATE}"
        raise InputError(f"{path} {problem}", field="MTL_SIGNING_KEY", hint=hint) from None
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise InputError(f"{path} is no elliptic-curve key", field="MTL_SIGNING_KEY", hint=_CREATE)
    return TrustedKey(path, _pem(key.public_key()))


def _content(path: Path, *, field: str = "MTL_TRUSTED_KEYS") -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}", field=field) from None


def _loaded(path: Path, data: bytes) -> ec.EllipticCurvePublicKey:
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    try:
        key = serialization.load_pem_public_key(data)
    except ValueError:
        raise InputError(f"{path} is no public key in PEM", field="MTL_TRUSTED_KEYS", hint=_CREATE) from None
    if not isinstance(key, ec.EllipticCurvePublicKey):
        raise InputError(f"{path} is no elliptic-curve key", field="MTL_TRUSTED_KEYS", hint=_CREATE)
    return key


def _pem(key: ec.EllipticCurvePublicKey) -> bytes:
    """As model_signing writes it to name the key by its sha256."""
    from cryptography.hazmat.primitives import serialization

    return key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)


def _days(path: Path, above: bytes) -> Iterator[tuple[str, str, datetime]]:
    """(line, word, day) of the lines above a key. Errors: InputError for a word or day that is none: none is missed."""
    for line in above.decode(errors="replace").splitlines():
        said = _LINE.fullmatch(line)
        if said is None and line.strip():
            raise _no_line(path, line, "it is neither Retired nor Expires")
        if said is not None:
            try:
                yield line, said[1].lower(), moment(said[2], field="MTL_TRUSTED_KEYS")
            except InputError as error:
                raise _no_line(path, line, error.message) from None


def moment(text: str, *, field: str) -> datetime:
    """The beginning of a day, or a moment, in UTC if it says nothing else. Errors: InputError."""
    try:
        read = datetime.fromisoformat(text)
    except ValueError:
        raise InputError(f"{text[:40]!r} is no day", field=field, hint="YYYY-MM-DD, e.g. 2027-01-31") from None
    return read if read.tzinfo else read.replace(tzinfo=UTC)


def _no_line(path: Path, line: str, problem: str) -> InputError:
    return InputError(
        f"{path}: cannot read the line {line[:80]!r} above the key: {problem}",
        field="MTL_TRUSTED_KEYS",
        hint="lines above a key are Retired: YYYY-MM-DD or Expires: YYYY-MM-DD",
    )
