"""DatasetManifest: what a data set holds, where it came from, and the sha256 of each of its files."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from mtl.errors import DamageError
from mtl.seal import seal, unseal

MANIFEST = "manifest.json"
QUARANTINE = "quarantine.jsonl"
_AGAIN = "prepare the data set again (mtl prepare -c CONF, or the retrain): it gets the same name and a new manifest"


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class SplitCounts(_Record):
    """rows == kept + merged + quarantined: a kept row opens a passage, a merged one joins it.

    by_difficulty: kept and merged rows by their label; empty for a task without labels.
    """

    rows: int = 0
    kept: int = 0
    merged: int = 0
    quarantined: int = 0
    examples: int = 0
    by_difficulty: dict[str, int] = {}

    @model_validator(mode="after")
    def _adds_up(self) -> SplitCounts:
        if self.rows != self.kept + self.merged + self.quarantined:
            raise ValueError(f"{self.rows} rows, but kept, merged and quarantined add up to another number: {self!r}")
        return self


class FileEntry(_Record):
    """One object under `datasets/{fingerprint}/`."""

    path: str
    bytes: int
    sha256: str


class DatasetManifest(_Record):
    """The JSON of `mtl prepare`; keys are added, never renamed.

    sources: what each describes, with its rows by split. lengths: {task: {inputs | targets: statistics}} in tokens,
    before any cut; histograms: the same as {first length of a bin: examples}. truncated: share of inputs that were cut;
    windows: examples that are a later window of a long input. unknown: share of tokens that are <unk>.
    settings: what of the configuration the fingerprint covers.
    """

    fingerprint: str
    sources: list[dict[str, Any]]
    scheme: str
    tokenizer: dict[str, str]
    counts: dict[str, dict[str, SplitCounts]]
    quarantine: dict[str, int]
    truncated: dict[str, float]
    windows: dict[str, int] = {}
    unknown: dict[str, float] = {}
    lengths: dict[str, dict[str, dict[str, float]]]
    histograms: dict[str, dict[str, dict[str, int]]] = {}
    files: list[FileEntry]
    tasks: dict[str, int] = {}
    settings: dict[str, Any] = {}

    def to_dict(self) -> dict[str, Any]:
        return self.model_dump(mode="json")

    def to_json(self) -> bytes:
        """Canonical JSON with a check: equal manifests are equal bytes."""
        return seal(self.to_dict())

    def sizes(self, split: str) -> dict[str, int]:
        """Examples of each task in a split."""
        return {task: splits[split].examples for task, splits in self.counts.items() if split in splits}


def load_manifest(data: bytes, name: str = MANIFEST) -> DatasetManifest:
    """The manifest in `data`; DamageError, naming `name`, if it is not one, or not as it was written."""
    document = unseal(data, name, hint=_AGAIN, unsealed=True)
    try:
        return DatasetManifest.model_validate(document)
    except ValidationError as error:
        raise DamageError(f"{name} is not a data set manifest: {error}", field=name, hint=_AGAIN) from None


def manifest_key(fingerprint: str) -> str:
    """Key of a data set's manifest: the marker that all else is there."""
    return f"{folder_key(fingerprint)}/{MANIFEST}"


def folder_key(fingerprint: str) -> str:
    return f"datasets/{fingerprint}"


def summary(counts: Mapping[str, Mapping[str, SplitCounts]], quarantine: Mapping[str, int]) -> str:
    """Counts in words, for error messages: '120 rows, 90 quarantined (empty article 60, not JSON 30)'."""
    splits = [split for task in counts.values() for split in task.values()]
    reasons = ", ".join(
        f"{reason} {n}" for reason, n in sorted(quarantine.items(), key=lambda item: (-item[1], item[0]))
    )
    bad = sum(split.quarantined for split in splits)
    return f"{sum(split.rows for split in splits)} rows, {bad} quarantined" + (f" ({reasons})" if reasons else "")
