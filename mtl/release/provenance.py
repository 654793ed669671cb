"""provenance: the files of a release that say how to train it again, and what it was made with.

provenance/config.json      the resolved configuration, without what is nobody's business (see `public`)
provenance/run.json         the run's identity field by field, hashes of base and data set, and the loss of each step
provenance/constraints.txt  versions of the installed packages, for `pip install --constraint`
provenance/sbom.cdx.json    the same and more, as a CycloneDX document
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

from pydantic import ConfigDict, with_config

from mtl.checkpoints.identity import RunIdentity
from mtl.checkpoints.related import Lineage
from mtl.config.retrain import RetrainConfig
from mtl.data.manifest import DatasetManifest
from mtl.document import Line, Number, Sha256, Size, check_record, parse_json
from mtl.errors import NotFoundError
from mtl.fingerprint import sha256_bytes
from mtl.layout import PROVENANCE, release_prefix
from mtl.release.layout import ReleaseManifest, damaged
from mtl.store.base import ObjectStore
from mtl.tracking.address import redact
from mtl.training.packages import installed
from mtl.training.parent import Parent
from mtl.training.plan import pinned
from mtl.training.record import TrainingRecord
from mtl.training.result import TrainedModel

CONFIG, RUN = f"{PROVENANCE}config.json", f"{PROVENANCE}run.json"
CONSTRAINTS, SBOM = f"{PROVENANCE}constraints.txt", f"{PROVENANCE}sbom.cdx.json"
_OWN = "mtl-retrain"
_SOURCE = ("task", "uri", "revision", "sha256", "rows")


@with_config(ConfigDict(extra="ignore"))
@dataclass(frozen=True)
class DatasetHashes:
    """fingerprint: of the content. sources, files: as the data set's manifest describes them."""

    fingerprint: Sha256
    sources: tuple[dict[str, Any], ...]
    files: tuple[dict[str, Any], ...] = ()

    @property
    def sha256(self) -> dict[str, str]:
        """Path -> hash of each file."""
        return {str(file["path"]): str(file["sha256"]) for file in self.files}


@with_config(ConfigDict(extra="ignore"))
@dataclass(frozen=True)
class Provenance:
    """How a version was trained. fields: of the run's identity, in public (see `public`).

    losses: per target token of each optimizer step; None for one that nobody measured. continued_from: the run whose
    checkpoint it went on from, None for one that is bit-exact. parent: the version whose adapter it started from.
    """

    identity: Sha256
    fields: dict[Line, Any]
    code_version: Line
    steps: Size
    continued_from: Lineage | None
    dataset: DatasetHashes
    packages: dict[Line, Line]
    hardware: Line
    losses: tuple[Number | None, ...]
    parent: Parent | None = None


def provenance_files(
    *,
    model: str,
    version: int,
    config: RetrainConfig,
    identity: RunIdentity,
    trained: TrainedModel,
    record: TrainingRecord,
    dataset: DatasetManifest,
    code_version: str,
) -> dict[str, str]:
    """Name -> text of each file."""
    from mtl.release.sbom import render_sbom  # only who publishes waits for cyclonedx

    fields = public(identity.values())
    values = public(pinned(config).model_dump(mode="json", by_alias=True))
    run = {
        "identity": identity.sha256,
        "name": identity.name,
        "fields": fields,
        "code_version": code_version,
        "adapter_sha256": trained.adapter_sha256,
        "steps": trained.steps,
        "bit_exact": trained.bit_exact,
        "continued_from": trained.continued_from.to_dict() if trained.continued_from else None,
        "dataset": {
            "fingerprint": dataset.fingerprint,
            "sources": public(
                [{name: its[name] for name in _SOURCE if name in its} for its in map(dict, dataset.sources)]
            ),
            "files": [file.model_dump() for file in dataset.files],
        },
        "hardware": record.hardware,
        "packages": dict(record.packages),
        "losses": list(record.losses),
        **({"parent": trained.parent.to_dict()} if trained.parent else {}),
    }
    base = {"name": values["model"]["base"], "sha256": fields["base"]}
    base |= {"revision": config.model.revision} if config.model.revision else {}
    sbom = render_sbom(
        model=model,
        version=version,
        identity=identity.sha256,
        adapter_sha256=str(trained.adapter_sha256),
        base=base,
        dataset=dataset.fingerprint,
        python=str(fields["python"]),
        packages=record.packages,
        licences={name: its.licence for name, its in installed().items() if its.version == record.packages.get(name)},
    )
    return {
        CONFIG: json.dumps(values, indent=2, ensure_ascii=False) + "\n",
        RUN: json.dumps(run, ensure_ascii=False) + "\n",
        CONSTRAINTS: constraints(record.packages, python=str(fields["python"])),
        SBOM: sbom,
    }


def public(value: Any) -> Any:
    """Plain values as others may read them: of a path of this machine the last part alone, and no passwords."""
    if isinstance(value, str):
        text = redact(value)
        return PurePath(text).name if text.startswith(("/", "~")) else text
    if isinstance(value, Mapping):
        return {public(name): public(item) for name, item in value.items()}
    return [public(item) for item in value] if isinstance(value, list) else value


def constraints(packages: Mapping[str, str], *, python: str) -> str:
    """Pins for pip. A build's label (`+cpu`) is left out, as other indexes have other builds; it is in run.json."""
    pins = [f"{name}=={its.partition('+')[0]}" for name, its in packages.items() if name != _OWN]
    head = f"# Installed with Python {python} when this version was trained: pip install --constraint constraints.txt"
    return "\n".join([head, *pins]) + "\n"


def read_provenance(store: ObjectStore, manifest: ReleaseManifest) -> tuple[Provenance, dict[str, Any]]:
    """How a release was trained, and its public configuration, both as the manifest has them.

    Errors: NotFoundError for a release without these files; DamageError.
    """
    listed = {file.path for file in manifest.files}
    missing = [name for name in (CONFIG, RUN) if name not in listed]
    if missing:
        name, files = f"{manifest.model} v{manifest.version}", " and no ".join(missing)
        raise NotFoundError(
            f"{name} cannot be trained again: its release has no {files}",
            field="version",
            hint="it was published by an earlier version of mtl, which did not record this; a new retrain does",
        )
    run = check_record(Provenance, parse_json(_read(store, manifest, RUN), RUN), RUN)
    return run, parse_json(_read(store, manifest, CONFIG), CONFIG)


def _read(store: ObjectStore, manifest: ReleaseManifest, path: str) -> bytes:
    """The bytes of one file. Errors: DamageError unless they are those of the manifest."""
    file = next(file for file in manifest.files if file.path == path)
    key = f"{release_prefix(manifest.model, manifest.version)}/{path}"
    try:
        data = store.get(key)
    except NotFoundError:
        raise damaged(key, file) from None
    if sha256_bytes(data) != file.sha256:
        raise damaged(key, file)
    return data
