"""REF on the command line -> a local folder that holds an adapter."""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from mtl.checkpoints.records import NAMES as RUNS
from mtl.errors import DamageError, InputError, NotFoundError, SignatureError
from mtl.layout import MANIFEST
from mtl.model.folder import HASHES, check_folder
from mtl.release.layout import ReleaseManifest, find_manifest, parse_version, published_versions
from mtl.release.pull import NAMES, pull, resolve_version, verify_folder
from mtl.release.runs import export_run
from mtl.serving.folder import ADAPTER, BASE, MERGED
from mtl.signing.configured import signature_required
from mtl.store.base import ObjectStore
from mtl.store.searched import searched

_log = logging.getLogger(__name__)
_RUN = re.compile(r"[0-9a-f]{32}")
_IDENTITY = re.compile(r"[0-9a-f]{6,64}")
_READ_BY_LIBRARIES = (".json", ".safetensors", ".bin", ".model", ".jinja")


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

    A run is an MLflow run id, or an identity, as `mtl train` prints it, or the beginning of one. Every file is compared
    with the release's manifest; of a folder, with the one inside it, if it was pulled.

    Errors: NotFoundError (did you mean, or what there is), InputError (several runs begin so), DamageError,
    TransientError.
    """
    number = parse_version(ref) and not _IDENTITY.fullmatch(ref)  # six digits and more are the beginning of a run
    if ref in NAMES or number:
        version = resolve_version(store, ref, model=model)
    elif _RUN.fullmatch(ref) and versions is not None:
        version = _version_of_run(ref, versions)
    elif Path(ref).is_dir():
        return LocalModel(ref, _adapter_folder(Path(ref)), None)
    elif _IDENTITY.fullmatch(ref):
        made = _published(store, model)
        identity = _identity(ref, {*made.values(), *_runs(store)}, store)
        if identity not in made.values():
            _refuse_unsigned(f"run {identity[:12]}, of which nothing was published,")
            return LocalModel(ref, export_run(store, identity, cache=cache), None)
        version = max(number for number, its in made.items() if its == identity)
    elif "/" in ref or ref.startswith((".", "~")):
        raise NotFoundError(f"no folder {ref}", field="model")
    else:
        version = resolve_version(store, ref, model=model)  # raises with "did you mean"
    folder = cache / "releases" / model / f"v{version}"
    manifest = pull(store, f"v{version}", folder, model=model)
    for path in strangers(folder, manifest):
        _log.warning("%s is no file of the release and is removed", path)
        path.unlink()
    return LocalModel(ref, folder, version)


def _version_of_run(run_id: str, versions: Versions) -> int:
    version = versions.version_of_run(run_id)
    if version is None:
        raise NotFoundError(f"run {run_id} has registered no version", hint="mtl models lists the versions")
    return version


def _identity(beginning: str, known: set[str], store: ObjectStore) -> str:
    """The one of the `known` identities that begins so."""
    found = [identity for identity in sorted(known) if identity.startswith(beginning)]
    if not found:
        raise NotFoundError(
            f"no run {beginning}",
            field="model",
            hint=f"mtl checkpoints list and mtl models show what there is; {searched(store)}",
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


def _refuse_unsigned(name: str) -> None:
    if signature_required():
        raise SignatureError(
            f"{name} has no signature, and a signature is required",
            field="model",
            hint="use a signed release (mtl models lists them), or unset MTL_REQUIRE_SIGNATURE for this command",
        )


def _adapter_folder(folder: Path) -> Path:
    if not (folder / ADAPTER).is_file():
        raise NotFoundError(f"{folder} holds no adapter: it has no {ADAPTER}", field="model")
    if not (folder / MANIFEST).is_file():
        _refuse_unsigned(f"{folder}, which is no pulled release,")
    return check_model_folder(folder.absolute())


def check_model_folder(folder: Path) -> Path:
    """`folder`, once every file has been compared with what the folder says of itself; as it is, if that is nothing.

    A pulled folder has the release's manifest, one that was exported has hashes. Errors: DamageError naming the file.
    """
    if (folder / MANIFEST).is_file():
        manifest = verify_folder(folder)
        for path in strangers(folder, manifest):
            raise DamageError(
                f"{path} is no file of the release, and would be loaded with it",
                field=path.name,
                hint="move it away, or pull the release into an empty folder",
            )
    elif (folder / HASHES).is_file():
        check_folder(folder)
    return folder


def strangers(folder: Path, manifest: ReleaseManifest) -> list[Path]:
    """Files beside those of the release that a library might read as a part of the model."""
    known = {MANIFEST, *(file.path for file in manifest.files)}
    places = (folder, *(folder / name for name in (BASE, MERGED)))
    found = (path for place in places if place.is_dir() for path in sorted(place.iterdir()) if not path.is_dir())
    return [p for p in found if p.suffix in _READ_BY_LIBRARIES and p.relative_to(folder).as_posix() not in known]
