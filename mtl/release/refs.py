"""REF on the command line -> a local folder that holds an adapter."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from mtl.checkpoints.records import NAMES as RUNS
from mtl.errors import InputError, NotFoundError
from mtl.release.layout import find_manifest, parse_version, published_versions
from mtl.release.pull import NAMES, pull, resolve_version
from mtl.release.runs import export_run
from mtl.serving.folder import ADAPTER
from mtl.store.base import ObjectStore

_RUN = re.compile(r"[0-9a-f]{32}")
_IDENTITY = re.compile(r"[0-9a-f]{6,64}")


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
    """The model that `champion`, `previous`, `candidate`, `vN`, a run or a folder stands for, pulled into `cache`.

    A run is an MLflow run id, or an identity, as `mtl train` prints it, or the beginning of one.
    Errors: NotFoundError (did you mean, or what there is), InputError (several runs begin so), DamageError,
    TransientError.
    """
    if ref in NAMES or parse_version(ref):
        version = resolve_version(store, ref, model=model)
    elif _RUN.fullmatch(ref) and versions is not None:
        version = _version_of_run(ref, versions)
    elif Path(ref).is_dir():
        return LocalModel(ref, _adapter_folder(Path(ref)), None)
    elif _IDENTITY.fullmatch(ref):
        made = _published(store, model)
        identity = _identity(ref, {*made.values(), *_runs(store)})
        if identity not in made.values():
            return LocalModel(ref, export_run(store, identity, cache=cache), None)
        version = max(number for number, its in made.items() if its == identity)
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


def _identity(beginning: str, known: set[str]) -> str:
    """The one of the `known` identities that begins so."""
    found = [identity for identity in sorted(known) if identity.startswith(beginning)]
    if not found:
        raise NotFoundError(
            f"no run {beginning}", field="model", hint="mtl checkpoints list and mtl models show what there is"
        )
    if len(found) > 1:
        names = ", ".join(identity[: len(beginning) + 8] for identity in found)
        raise InputError(
            f"{beginning} is the beginning of {len(found)} runs: {names}", field="model", hint="give more of it"
        )
    return found[0]


def _runs(store: ObjectStore) -> set[str]:
    """Identities of the runs in the store."""
    return {info.key.rpartition("/")[2].removesuffix(".json") for info in store.list(RUNS)}


def _published(store: ObjectStore, model: str) -> dict[int, str]:
    """Identity of the run of each published version."""
    releases = (find_manifest(store, model, version) for version in published_versions(store, model))
    return {release.version: release.facts.identity for release in releases if release is not None}


def _adapter_folder(folder: Path) -> Path:
    if not (folder / ADAPTER).is_file():
        raise NotFoundError(f"{folder} holds no adapter: it has no {ADAPTER}", field="model")
    return folder.absolute()
