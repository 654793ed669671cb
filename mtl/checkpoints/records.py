"""Records of a run's store: files, manifests, commits, and where they are kept.

runs/{identity}/identity.json                    the fields behind the hash
runs/{identity}/blobs/{sha256}                   immutable
runs/{identity}/manifests/{step}-{sha256}.json   the files of one commit
runs/{identity}/log/{seq:012}.json               HEAD is the highest; lists the commits that are kept
run-names/{slug of name}/{identity}.json         finds the runs of one configuration, and all runs
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import StringConstraints

from mtl.document import FileName, Number, Sha256, Size, check_record, parse_json
from mtl.errors import DamageError
from mtl.fingerprint import canonical_json, sha256_bytes
from mtl.layout import run_prefix

NAMES = "run-names/"
ManifestKey = Annotated[str, StringConstraints(pattern=r"^manifests/[0-9]{1,16}-[0-9a-f]{64}\.json$")]


@dataclass(frozen=True, slots=True)
class FileRecord:
    """One file of a commit: its flat name, its size and its sha256, which is also the name of its blob."""

    name: FileName
    bytes: Size
    sha256: Sha256


@dataclass(frozen=True, slots=True)
class Manifest:
    """The files of the commit at `step` of run `identity`."""

    identity: Sha256
    step: Size
    files: tuple[FileRecord, ...]

    def to_json(self) -> bytes:
        files = [{"name": file.name, "bytes": file.bytes, "sha256": file.sha256} for file in self.files]
        return canonical_json({"identity": self.identity, "step": self.step, "files": files})


@dataclass(frozen=True, slots=True)
class Commit:
    """A commit as the log lists it.

    step: optimizer steps done. manifest, sha256: the manifest's key below the run, and its hash. metric: higher is
    better; None if it was not measured.
    """

    step: Size
    manifest: ManifestKey
    sha256: Sha256
    metric: Number | None = None

    def to_document(self) -> dict[str, Any]:
        return {"step": self.step, "manifest": self.manifest, "sha256": self.sha256, "metric": self.metric}


def manifest_key(identity: str, commit: Commit) -> str:
    return f"{run_prefix(identity)}/{commit.manifest}"


def name_prefix(name: str) -> str:
    """Where the runs called `name` are listed: the name itself if it is safe in a key, else with a hash of it."""
    slug = re.sub(r"[^A-Za-z0-9_-]+", "-", name).strip("-")[:60]
    safe = slug if slug and slug == name else f"{slug}={sha256_bytes(name.encode())[:16]}"
    return f"{NAMES}{safe}/"


def commit_of(manifest: Manifest, metric: float | None) -> Commit:
    """The commit that a manifest makes, once the log lists it."""
    sha256 = sha256_bytes(manifest.to_json())
    return Commit(manifest.step, f"manifests/{manifest.step}-{sha256}.json", sha256, metric)


def read_manifest(data: bytes, commit: Commit, *, identity: str) -> Manifest:
    """The manifest of `commit`; DamageError unless it is byte for byte what was committed, for this run and step."""
    if sha256_bytes(data) != commit.sha256:
        raise DamageError(f"{commit.manifest} is damaged: its sha256 is not {commit.sha256}", field=commit.manifest)
    manifest = check_record(Manifest, parse_json(data, commit.manifest), commit.manifest)
    if (manifest.identity, manifest.step) != (identity, commit.step):
        raise DamageError(f"{commit.manifest} belongs to another run or step", field=commit.manifest)
    return manifest
