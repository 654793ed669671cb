"""REF on the command line -> a local folder that holds an adapter."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from mtl.errors import NotFoundError
from mtl.release.layout import parse_version
from mtl.release.pull import NAMES, pull, resolve_version
from mtl.serving.folder import ADAPTER
from mtl.store.base import ObjectStore

_RUN = re.compile(r"[0-9a-f]{32}")


class Versions(Protocol):
    """The one question this room asks a registry."""

    def version_of_run(self, run_id: str) -> int | None:
        """The registered version that a run made; None if it made none."""
        ...


@dataclass(frozen=True, slots=True)
class LocalModel:
    """A model on this machine: its folder, and its version unless it is a folder that somebody gave."""

    ref: str
    folder: Path
    version: int | None


def resolve_ref(
    ref: str, *, store: ObjectStore, model: str, cache: Path, versions: Versions | None = None
) -> LocalModel:
    """The model that `champion`, `previous`, `candidate`, `vN`, a run id or a folder stands for, pulled into `cache`.

    Errors: NotFoundError (did you mean, or what there is), DamageError, TransientError.
    """
    if ref in NAMES or parse_version(ref):
        version = resolve_version(store, ref, model=model)
    elif _RUN.fullmatch(ref) and versions is not None:
        version = _version_of_run(ref, versions)
    elif Path(ref).is_dir():
        return LocalModel(ref, _adapter_folder(Path(ref)), None)
    elif "/" in ref or ref.startswith((".", "~")):
        raise NotFoundError(f"no folder {ref}", field="model")
    else:
        version = resolve_version(store, ref, model=model)  # raises with "did you mean"
    folder = cache / "releases" / model / f"v{version}"
    pull(store, f"v{version}", folder, model=model)
    return LocalModel(ref, folder, version)


def _version_of_run(run_id: str, versions: Versions) -> int:
    version = versions.version_of_run(run_id)
    if version is None:
        raise NotFoundError(f"run {run_id} has registered no version", hint="mtl models lists the versions")
    return version


def _adapter_folder(folder: Path) -> Path:
    if not (folder / ADAPTER).is_file():
        raise NotFoundError(f"{folder} holds no adapter: it has no {ADAPTER}", field="model")
    return folder.absolute()
