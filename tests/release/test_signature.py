"""A signed release is what its publisher made, whoever else can write to the store."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from mtl.release.pull import pull, verify_folder
from mtl.signing.keys import create_pair
from mtl.store.memory import MemoryStore
from tests.release.toy import MODEL, publish_toy


@pytest.fixture
def keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A signing key and its public key, in use."""
    private, public = create_pair(tmp_path / "keys")
    monkeypatch.setenv("MTL_SIGNING_KEY", str(private))
    monkeypatch.setenv("MTL_TRUSTED_KEYS", str(public.path))
    return tmp_path / "keys"


def test_model_signing_accepts_a_pulled_folder(keys: Path, tmp_path: Path) -> None:
    store = MemoryStore()
    publish_toy(store, tmp_path / "made", 1)
    pull(store, "v1", tmp_path / "out", model=MODEL)
    verify_folder(tmp_path / "out")

    def verify() -> subprocess.CompletedProcess[str]:
        command = [str(Path(sys.executable).parent / "model_signing"), "verify", "key", str(tmp_path / "out")]
        command += ["--signature", str(tmp_path / "out" / "model.sig"), "--public_key", str(keys / "signing.pub")]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    found = verify()
    assert (found.returncode, found.stdout) == (0, "Verification succeeded\n"), found.stderr
    (tmp_path / "out" / "report.md").write_text("# Better report")
    found = verify()
    assert found.returncode == 1
    assert "Hash mismatch for 'report.md'" in found.stderr
