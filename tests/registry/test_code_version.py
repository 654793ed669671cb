"""The code version is this repository's commit, never somebody else's."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

from mtl.registry.code_version import code_version, package_version


def git(folder: Path, *arguments: str) -> None:
    identity = ["-c", "user.name=t", "-c", "user.email=t@example.org"]
    subprocess.run(["git", "-C", str(folder), *identity, *arguments], check=True, capture_output=True)


def test_commit_and_dirty(tmp_path: Path) -> None:
    package = tmp_path / "pkg"
    package.mkdir()
    (package / "__init__.py").write_text("")
    git(tmp_path, "init", "-q")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-qm", "x")
    assert re.fullmatch("[0-9a-f]{40}", code_version(package))
    (package / "__init__.py").write_text("changed")
    assert re.fullmatch("[0-9a-f]{40}-dirty", code_version(package))


def test_a_package_inside_another_repository_has_its_own_version(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q")
    installed = tmp_path / "venv" / "pkg"
    installed.mkdir(parents=True)
    (installed / "__init__.py").write_text("")
    assert code_version(installed) == package_version()


def test_no_repository_at_all(tmp_path: Path) -> None:
    assert code_version(tmp_path) == package_version()
