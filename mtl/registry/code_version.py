"""Which code made a model."""

from __future__ import annotations

import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import mtl

_DISTRIBUTION = "mtl-retrain"


def code_version(package: Path | None = None) -> str:
    """The git commit of this package's source, with `-dirty` if it was changed; else the package's version."""
    folder = package or Path(mtl.__file__).parent
    # Only a file that git knows: a virtual environment may lie inside somebody else's repository.
    if _git(folder, "ls-files", "--error-unmatch", "__init__.py") is None:
        return package_version()
    return _git(folder, "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*") or package_version()


def package_version() -> str:
    """The installed version, or `unknown`."""
    try:
        return version(_DISTRIBUTION)
    except PackageNotFoundError:
        return "unknown"


def _git(folder: Path, *arguments: str) -> str | None:
    """Git's answer, None where there is no git or no repository."""
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *arguments], capture_output=True, text=True, timeout=10, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
