"""Checkpoint folders and identities for tests: tiny files, all of them different in every step."""

from __future__ import annotations

from pathlib import Path

from mtl.checkpoints.identity import RunIdentity
from mtl.checkpoints.policies import REQUIRED_FILES


def identity(name: str = "demo", **fields: object) -> RunIdentity:
    """An identity with the fields a trainer would give, and `fields` over them."""
    base = {"config": {"seed": 1, "train": {"accumulation": 1}}, "versions": {"torch": "2.13"}, "threads": 2}
    return RunIdentity.of(name, {**base, **fields})


def checkpoint_files(step: int, *, salt: str = "") -> dict[str, bytes]:
    """File contents of a whole checkpoint; adapter_config.json is the same at each step, as in real life."""
    files = {name: f"{name} at {step} {salt}".encode() * 50 for name in REQUIRED_FILES}
    files["adapter_config.json"] = b'{"r": 8}'
    return files


def checkpoint_folder(parent: Path, step: int, *, salt: str = "") -> Path:
    """A folder with `checkpoint_files`."""
    folder = parent / f"checkpoint-{step}{salt}"
    folder.mkdir(parents=True)
    for name, data in checkpoint_files(step, salt=salt).items():
        (folder / name).write_bytes(data)
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    """What is in a flat folder."""
    return {path.name: path.read_bytes() for path in folder.iterdir()}
