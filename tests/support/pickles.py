"""Pickles that make a file when they are loaded: the sign that something was loaded which must not be."""

from __future__ import annotations

import io
import pickle
from dataclasses import dataclass
from pathlib import Path
from typing import Any


class _Payload:
    def __init__(self, sign: Path) -> None:
        self._sign = sign

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self._sign,)


def planted_pickle(sign: Path) -> bytes:
    """A plain pickle that makes the file `sign`."""
    return pickle.dumps(_Payload(sign))


def planted_archive(sign: Path) -> bytes:
    """The same as `torch.save` writes it."""
    import torch

    file = io.BytesIO()
    torch.save({"state": _Payload(sign)}, file)
    return file.getvalue()


@dataclass(frozen=True)
class PlantInCheckpoint:
    """A prelude: what is restored holds `data` as the file `name`, and every hash is right."""

    name: str
    data: bytes

    def __call__(self) -> None:
        from mtl.checkpoints.checkpoint_store import CheckpointStore

        inner = CheckpointStore.restore

        def restore(store: CheckpointStore, folder: Path) -> Any:
            restored = inner(store, folder)
            (folder / self.name).write_bytes(self.data)
            return restored

        CheckpointStore.restore = restore  # type: ignore[method-assign, assignment]
