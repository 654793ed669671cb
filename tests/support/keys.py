"""Signing keys of a test: a key in use, and the folder of those that are trusted."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest

from mtl.signing.keys import create_pair


@dataclass(frozen=True)
class Keys:
    """trusted: the folder of public keys. `use` makes a new key the one that signs."""

    folder: Path
    trusted: Path
    env: pytest.MonkeyPatch

    def use(self, name: str) -> Path:
        """Sign with the key `name` from now on, and trust it; the path of its public key."""
        private, public = create_pair(self.folder / name)
        self.env.setenv("MTL_SIGNING_KEY", str(private))
        return Path(shutil.copy(public.path, self.trusted / f"{name}.pub"))

    def say(self, name: str, line: str) -> None:
        """Put one line above a trusted key."""
        path = self.trusted / f"{name}.pub"
        path.write_text(f"{line}\n{path.read_text()[path.read_text().index('-----BEGIN') :]}")

    def forget(self) -> None:
        """Have no key and trust none: what somebody can do who has the bucket's keys alone."""
        self.env.delenv("MTL_SIGNING_KEY", raising=False)
        self.env.delenv("MTL_TRUSTED_KEYS", raising=False)

    def read_only(self) -> None:
        """Trust the keys and have none: what a consumer does."""
        self.env.delenv("MTL_SIGNING_KEY", raising=False)
        self.env.setenv("MTL_TRUSTED_KEYS", str(self.trusted))


@pytest.fixture
def keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Keys:
    """The key `ours` signs and is trusted."""
    made = Keys(tmp_path / "keys", tmp_path / "keys" / "trusted", monkeypatch)
    made.trusted.mkdir(parents=True)
    made.use("ours")
    monkeypatch.setenv("MTL_TRUSTED_KEYS", str(made.trusted))
    return made
