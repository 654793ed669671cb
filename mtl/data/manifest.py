"""DatasetManifest: what a data set holds, where it came from, and the sha256 of each of its files."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, NotRequired

from pydantic import BaseModel, ConfigDict, StringConstraints, model_validator, with_config
from typing_extensions import TypedDict  # pydantic refuses typing's before Python 3.12

from mtl.document import Number, Sha256, Size, check_record
from mtl.layout import MANIFEST
from mtl.seal import seal, unseal

QUARANTINE = "quarantine.jsonl"
DataFile = Annotated[
    str,
    StringConstraints(pattern=r"^(quarantine\.jsonl|[A-Za-z0-9][A-Za-z0-9_=.-]*-[0-9]{1,9}\.parquet)$", max_length=200),
]
_Length = Annotated[str, StringConstraints(pattern=r"^[0-9]{1,9}$")]
_AGAIN = "prepare the data set again (mtl prepare -c CONF, or the retrain): it gets the same name and a new manifest"


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class SplitCounts(_Record):
    """rows == kept + merged + quarantined: a kept row opens a passage, a merged one joins it.

    by_difficulty: kept and merged rows by their label; empty for a task without labels. feedback: those of kept and
    merged that come from people.
    """

    rows: Size = 0
    kept: Size = 0
    merged: Size = 0
    quarantined: Size = 0
    examples: Size = 0
    by_difficulty: dict[str, Size] = {}
    feedback: Size = 0

    @model_validator(mode="after")
    def _adds_up(self) -> SplitCounts:
        if self.rows != self.kept + self.merged + self.quarantined:
            raise ValueError(f"{self.rows} rows, but kept, merged and quarantined add up to another number: {self!r}")
        return self


class FileEntry(_Record):
    """One object under `datasets/{fingerprint}/`."""

    path: DataFile
    bytes: Size
    sha256: Sha256


@with_config(ConfigDict(extra="allow"))
class SourceEntry(TypedDict):
    """What a source describes of itself, and its rows by split."""

    task: str
    uri: str
    revision: str | None
    sha256: Sha256
    rows: NotRequired[dict[str, Size]]


class TokenizerEntry(TypedDict):
    name: str
    sha256: Sha256


@with_config(ConfigDict(extra="allow"))
class Settings(TypedDict, total=False):
    """What of the settings is shown."""

    max_input_tokens: Size
    max_target_tokens: Size
    instruction_dropout: Number


class DatasetManifest(_Record):
    """The JSON of `mtl prepare`; keys are added, never renamed.

    sources: what each describes, with its rows by split. lengths: {task: {inputs | targets: statistics}} in tokens,
    before any cut; histograms: the same as {first length of a bin: examples}. truncated: share of inputs that were cut;
    windows: examples that are a later window of a long input. unknown: share of tokens that are <unk>.
    settings: what of the configuration the fingerprint covers.
    """

    fingerprint: Sha256
    sources: list[SourceEntry]
    scheme: str
    tokenizer: TokenizerEntry
    counts: dict[str, dict[str, SplitCounts]]
    quarantine: dict[str, Size]
    truncated: dict[str, Number]
    windows: dict[str, Size] = {}
    unknown: dict[str, Number] = {}
    lengths: dict[str, dict[str, dict[str, Number]]]
    histograms: dict[str, dict[str, dict[_Length, Size]]] = {}
    files: list[FileEntry]
    tasks: dict[str, Size] = {}
    settings: Settings = {}

    def to_dict(self) -> dict[str, Any]:
        return self.model_dump(mode="json")

    def to_json(self) -> bytes:
        """Canonical JSON with a check: equal manifests are equal bytes."""
        return seal(self.to_dict())

    def sizes(self, split: str) -> dict[str, int]:
        """Examples of each task in a split."""
        return {task: splits[split].examples for task, splits in self.counts.items() if split in splits}

    def from_people(self, split: str) -> int:
        """Rows of all tasks in a split that come from people."""
        return sum(splits[split].feedback for splits in self.counts.values() if split in splits)


def load_manifest(data: bytes, name: str = MANIFEST) -> DatasetManifest:
    """The manifest in `data`; DamageError, naming `name`, if it is none, or not as it was written."""
    document = unseal(data, name, hint=_AGAIN, unsealed=True)
    return check_record(DatasetManifest, document, name, hint=_AGAIN)


def summary(counts: Mapping[str, Mapping[str, SplitCounts]], quarantine: Mapping[str, int]) -> str:
    """Counts in words, for error messages: '120 rows, 90 quarantined (empty article 60, not JSON 30)'."""
    splits = [split for task in counts.values() for split in task.values()]
    reasons = ", ".join(
        f"{reason} {n}" for reason, n in sorted(quarantine.items(), key=lambda item: (-item[1], item[0]))
    )
    bad = sum(split.quarantined for split in splits)
    return f"{sum(split.rows for split in splits)} rows, {bad} quarantined" + (f" ({reasons})" if reasons else "")
