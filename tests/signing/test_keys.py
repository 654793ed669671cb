"""Key pairs are made once, and a folder of trusted keys says until when each is valid."""

from __future__ import annotations

import stat
from datetime import UTC, datetime
from pathlib import Path

import pytest

from mtl.errors import InputError, NotFoundError
from mtl.signing.keys import create_pair, public_key_of, read_public, read_trusted


def test_a_pair_is_private_and_never_overwritten(tmp_path: Path) -> None:
    private, public = create_pair(tmp_path / "keys", expires=datetime(2030, 1, 31, tzinfo=UTC))
    assert stat.S_IMODE(private.stat().st_mode) == 0o600
    assert public_key_of(private).sha256 == public.sha256
    assert public.expires == datetime(2030, 1, 31, tzinfo=UTC)
    before = private.read_bytes(), public.path.read_bytes()
    with pytest.raises(InputError, match=r"signing\.key exists, and is not overwritten"):
        create_pair(tmp_path / "keys")
    assert before == (private.read_bytes(), public.path.read_bytes())


def test_a_folder_of_keys(tmp_path: Path) -> None:
    _, first = create_pair(tmp_path / "first")
    _, second = create_pair(tmp_path / "second")
    trusted = tmp_path / "trusted"
    trusted.mkdir()
    (trusted / "2025.pub").write_bytes(b"Retired: 2026-06-01\n" + first.path.read_bytes())
    (trusted / "2026.pem").write_bytes(second.path.read_bytes())
    (trusted / "README.txt").write_text("whose keys these are")
    found = read_trusted(trusted)
    assert {key.name: key.retired for key in found.values()} == {
        "2025.pub": datetime(2026, 6, 1, tzinfo=UTC),
        "2026.pem": None,
    }
    assert found.keys() == {first.sha256, second.sha256}
    (trusted / "2025-copy.pub").write_bytes(first.path.read_bytes())
    with pytest.raises(InputError, match=r"2025-copy\.pub and .*2025\.pub are the same key"):
        read_trusted(trusted)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda text: "", "holds 0 keys, expected one"),
        (lambda text: text + text, "holds 2 keys, expected one"),
        (lambda text: text.replace("E", "!"), "no public key in PEM|holds 0 keys"),
        (lambda text: "Expires: next year\n" + text, "cannot read the line 'Expires: next year' .* is no day"),
        (
            lambda text: "Expires: 2027-01-01\nExpires: 2028-01-01\n" + text,
            "2028-01-01' .* it is there twice",
        ),
        (lambda text: "Expired: 2026-01-01\n" + text, "cannot read the line 'Expired: 2026-01-01'"),
    ],
)
def test_what_is_no_public_key(tmp_path: Path, change: object, message: str) -> None:
    _, public = create_pair(tmp_path)
    public.path.write_text(change(public.path.read_text()))  # type: ignore[operator]
    with pytest.raises(InputError, match=message):
        read_public(public.path)


def test_a_private_key_among_the_public_ones_is_refused_unseen(tmp_path: Path) -> None:
    private, _ = create_pair(tmp_path)
    with pytest.raises(InputError, match=r"signing\.key is a private key, expected a public one") as raised:
        read_trusted(private)
    assert private.read_text().splitlines()[1] not in str(raised.value)


def test_no_keys(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match=r"no trusted keys: there is no .*nowhere"):
        read_trusted(tmp_path / "nowhere")
    with pytest.raises(NotFoundError, match=r"holds no file named \*\.pub or \*\.pem"):
        read_trusted(tmp_path)
    with pytest.raises(NotFoundError, match=r"no signing key: there is no file .*nowhere"):
        public_key_of(tmp_path / "nowhere")
    (tmp_path / "key").write_text("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n")
    with pytest.raises(InputError, match="is no private key in PEM"):
        public_key_of(tmp_path / "key")


def test_what_stands_below_a_key_is_refused_and_not_overlooked(tmp_path: Path) -> None:
    _, public = create_pair(tmp_path / "keys")
    public.path.write_bytes(public.path.read_bytes() + b"Expires: 2020-01-01\n")
    with pytest.raises(InputError, match="says something after the key") as refused:
        read_trusted(public.path)
    assert "above the line" in str(refused.value.hint)
