"""Documents are signed under their name in the store, by a key file or by a key that a token holds."""

from __future__ import annotations

import os
import shutil
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest

from mtl.errors import InputError, PermanentError, SignatureError
from mtl.signing.configured import check_document, check_signing, sign_document
from tests.support.keys import Keys, keys

__all__ = ["keys"]

AT = "2026-11-27T05:00:00+00:00"
DOCUMENT = {"version": 3, "at": AT}


def test_a_document_is_signed_under_its_name(keys: Keys) -> None:
    signed = sign_document(DOCUMENT, "log/1.json", at=AT)
    assert {**signed, "signature": None} == {**DOCUMENT, "signature": None}
    check_document(signed, "log/1.json", at=AT)
    with pytest.raises(SignatureError, match=r"log/2\.json is not what key ours\.pub signed"):
        check_document(signed, "log/2.json", at=AT)
    with pytest.raises(SignatureError, match=r"log/1\.json is not what key ours\.pub signed"):
        check_document(signed | {"version": 4}, "log/1.json", at=AT)
    with pytest.raises(SignatureError, match=r"log/1\.json is not signed"):
        check_document(DOCUMENT, "log/1.json", at=AT)
    with pytest.raises(SignatureError, match="does not say when it was signed"):
        check_document(signed, "log/1.json", at="yesterday")


@pytest.mark.parametrize("bundle", [1, "x", {}, [], {"verificationMaterial": {"publicKey": {"hint": []}}}])
def test_what_is_no_signature(keys: Keys, bundle: object) -> None:
    said = r"signature of log/1\.json is not a signature made with a key|a key that is not trusted"
    with pytest.raises(SignatureError, match=said):
        check_document(DOCUMENT | {"signature": bundle}, "log/1.json", at=AT)


def test_without_keys_nothing_is_signed_or_verified(keys: Keys) -> None:
    keys.forget()
    assert sign_document(DOCUMENT, "log/1.json", at=AT) == DOCUMENT
    check_document(DOCUMENT, "log/1.json", at=AT)
    check_signing(required=False)
    with pytest.raises(InputError, match="there is no key to sign with"):
        check_signing(required=True)


@pytest.fixture
def token(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The pkcs11: URI of a key in a SoftHSM token, whose public key is trusted."""
    if not (shutil.which("softhsm2-util") and shutil.which("pkcs11-tool")):
        pytest.skip("needs Debian's softhsm2 and opensc")
    module = next(Path("/usr/lib").rglob("libsofthsm2.so"))
    (tmp_path / "tokens").mkdir()
    (tmp_path / "softhsm2.conf").write_text(f"directories.tokendir = {tmp_path}/tokens\nobjectstore.backend = file\n")
    monkeypatch.setenv("SOFTHSM2_CONF", str(tmp_path / "softhsm2.conf"))

    def call(*command: str) -> None:
        subprocess.run(command, check=True, capture_output=True, env={**os.environ})

    call("softhsm2-util", "--init-token", "--free", "--label", "mtl", "--so-pin", "9876", "--pin", "246813")
    tool = ["pkcs11-tool", "--module", str(module), "--token-label", "mtl", "--login", "--pin", "246813"]
    call(*tool, "--keypairgen", "--key-type", "EC:prime256v1", "--id", "01", "--label", "release")
    call(*tool, "--read-object", "--type", "pubkey", "--id", "01", "--output-file", str(tmp_path / "key.der"))
    call("openssl", "pkey", "-pubin", "-inform", "DER", "-in", str(tmp_path / "key.der"), "-out", f"{tmp_path}/hsm.pub")
    monkeypatch.setenv("MTL_TRUSTED_KEYS", str(tmp_path / "hsm.pub"))
    return f"pkcs11:token=mtl;object=release;id=%01?module-path={module}&pin-value=246813"


def test_a_key_of_a_token_signs(token: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MTL_SIGNING_KEY", token)
    for version in (1, 2):
        document = {"version": version, "at": AT}
        check_document(sign_document(document, "log/1.json", at=AT), "log/1.json", at=AT)
    monkeypatch.setenv("MTL_SIGNING_KEY", token.replace("object=release", "object=other"))
    with pytest.raises(PermanentError, match=r"cannot sign log/1\.json") as raised:
        sign_document(DOCUMENT, "log/1.json", at=AT)
    assert "246813" not in str(raised.value)
    monkeypatch.setenv("MTL_SIGNING_KEY", token)
    monkeypatch.delenv("MTL_TRUSTED_KEYS")
    with pytest.raises(InputError, match="is a pkcs11: URI, and MTL_TRUSTED_KEYS is not set"):
        check_signing(required=True)


def test_a_signature_of_the_future_is_one_of_a_retired_key(keys: Keys) -> None:
    signed = sign_document(DOCUMENT, "log/1.json", at=AT)
    keys.say("ours", f"Retired: {datetime(2026, 11, 27, 5, tzinfo=UTC).isoformat()}")
    with pytest.raises(SignatureError, match="which was retired on 2026-11-27"):
        check_document(signed, "log/1.json", at=AT)
