"""Configurations that the package ships: `-c demo` names one of them wherever the package is installed."""

from __future__ import annotations

from pathlib import Path

from mtl.errors import NotFoundError, did_you_mean

FOLDER = Path(__file__).parents[1] / "conf"


def shipped() -> dict[str, Path]:
    """Name -> file."""
    return {file.stem: file for file in sorted(FOLDER.glob("*.yaml"))}


def find_config(path: Path) -> Path:
    """The file that a user means: `path` itself, or the shipped configuration of that name.

    In a clone `conf` leads to the shipped ones, so that `conf/demo.yaml` and `demo` are the same file there; elsewhere
    `conf/demo.yaml` is taken for `demo` unless there is such a file. Errors: NotFoundError.
    """
    if path.exists() and not path.is_dir():  # a pipe is as good as a file
        return path
    known = shipped()
    if path.parent in (Path(), Path("conf")) and path.suffix in ("", ".yaml") and path.stem in known:
        return known[path.stem]
    raise NotFoundError(
        f"no configuration file {path}",
        field="config",
        hint=f"{did_you_mean(path.stem, known)}; shipped are {', '.join(known)}; mtl init DIR writes one to start from",
    )
