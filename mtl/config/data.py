"""What a model is trained on: sources, cleaning, rendering, mixture."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator, model_validator

from mtl.config.parameters import with_fields
from mtl.config.section import Section
from mtl.errors import did_you_mean
from mtl.tasks.table import TASKS, names_in_words

Split = Literal["train", "validation", "test"]


class SourceConfig(Section):
    """Where the rows of one task come from."""

    task: str = Field(description=f"task that reads these rows: {names_in_words()}")
    uri: str = Field(
        description="demo (generated), hub:OWNER/NAME, s3://BUCKET/PREFIX, or a file, folder, glob or tar archive of "
        "jsonl, ndjson, json, csv, tsv, parquet, arrow (also gzip or zstd), CNN/DailyMail's .story or RACE's N.txt"
    )
    name: str | None = Field(None, description="Hub configuration name (3.0.0, middle, high)")
    revision: str | None = Field(
        None, description="Hub commit; required for hub: sources, so that the data stay the same"
    )
    streaming: bool = Field(False, description="hub: read rows over the network as needed instead of caching them all")
    files: dict[Split, str] = Field(
        default_factory=dict, description="split -> file or glob, relative to uri; empty: found by name under uri"
    )
    rows: dict[Split, int] = Field(
        default_factory=dict, description="at most this many rows of a split (demo: exactly this many documents)"
    )
    add: dict[str, str] = Field(
        default_factory=dict, description="columns that every row gets, for example {level: college} for RACE-C"
    )
    columns: dict[str, str | list[str]] = Field(
        default_factory=dict,
        description="column that the task reads -> column of the source, or several that make a list: "
        "{article: context, options: [A, B, C, D], answer: label}",
    )
    delimiter: str | None = Field(
        None, min_length=1, max_length=1, description='csv: what divides the columns; null: a comma (a tab: "\\t")'
    )
    encoding: str | None = Field(
        None, description="encoding of the text files (cp1252, latin-1, utf-16, ...); null: UTF-8"
    )
    sha256: str | None = Field(
        None, pattern=r"^[0-9a-f]{64}$", description="refuse these data if the manifest's sha256 of them is another"
    )

    @field_validator("delimiter")
    @classmethod
    def _divides(cls, value: str | None) -> str | None:
        if value is not None and value in '"\r\n':
            raise ValueError("a quote or a line break cannot divide columns")
        return value

    @field_validator("encoding")
    @classmethod
    def _known(cls, value: str | None) -> str | None:
        try:
            if value is not None:
                "x".encode(value)
        except (LookupError, ValueError):
            hint = did_you_mean(value or "", ("cp1252", "latin-1", "utf-8", "utf-16", "utf-16-le", "utf-16-be"))
            raise ValueError(f"unknown encoding {value!r}; {hint}") from None
        return value

    @model_validator(mode="after")
    def _positive(self) -> SourceConfig:
        for split, count in self.rows.items():
            if count < 1:
                raise ValueError(f"rows.{split} must be at least 1, got {count}")
        return self

    @model_validator(mode="after")
    def _of_files(self) -> SourceConfig:
        for name in ("delimiter", "encoding"):
            if getattr(self, name) is not None and (self.uri == "demo" or self.uri.startswith("hub:")):
                raise ValueError(f"{name} is a property of files; {self.uri} has none")
        empty = [name for name, its in self.columns.items() if not its or (isinstance(its, list) and not all(its))]
        if empty:
            raise ValueError(f"columns.{empty[0]} names no column of the source")
        return self


class MixtureConfig(Section):
    """How often each task is drawn (Raffel et al. 2020, section 3.5.2)."""

    kind: Literal["proportional", "capped", "temperature", "explicit"] = Field("proportional", description="rule")
    cap: int | None = Field(None, gt=0, description="capped: no task counts for more examples than this")
    temperature: float = Field(1.0, ge=1, description="temperature: rates are raised to 1/T; 1 is proportional")
    rates: dict[str, float] = Field(default_factory=dict, description="explicit: task -> rate, any positive numbers")


@with_fields(parameter for task in TASKS.values() for parameter in task.options)
class DataConfig(Section):
    """Sources and how their rows become examples."""

    # What single tasks need besides is among the fields too: see `options` of the tasks.

    sources: list[SourceConfig] = Field(min_length=1, description="one or more, at least one a task")
    mixture: MixtureConfig = Field(MixtureConfig(), description="rates of the tasks in training")
    max_input_tokens: int = Field(512, ge=16, le=4096, description="longer inputs are cut at the end, and counted")
    max_target_tokens: int = Field(
        256, ge=16, le=1024, description="targets never exceed this; questions are never cut"
    )
    instruction_dropout: float = Field(
        0.1, ge=0, le=0.9, description="share of examples with the task token but without the instruction sentence"
    )
    holdout: dict[Literal["validation", "test"], float] = Field(
        default_factory=dict, description="share of train's passages that become this split where the source has none"
    )
    max_bad_share: float = Field(
        0.2, ge=0, le=1, description="stop if a larger share of a source's rows is quarantined"
    )
    max_shrink: float = Field(
        0.5,
        ge=0,
        le=1,
        description="stop if a source has lost a larger share of its rows since the last data of this configuration",
    )
    near_duplicates: float | None = Field(
        0.8,
        gt=0.3,
        le=1,
        description="passages of train this similar (MinHash) to one of another split leave it; null: they stay",
    )
    processes: int | None = Field(
        None, ge=1, le=256, description="processes that prepare; null: one a core, or one alone for small sources"
    )
    shard_rows: int = Field(4096, ge=1, description="examples in one Parquet file")

    @model_validator(mode="after")
    def _check(self) -> DataConfig:
        for source in self.sources:
            if source.uri.startswith("hub:") and not source.revision:
                raise ValueError(f"source {source.uri} needs a revision (a commit of the Hub repository)")
        held, outside = sum(self.holdout.values()), [k for k, v in self.holdout.items() if not 0 < v < 1]
        if outside or held >= 1:
            raise ValueError("holdout shares must be over 0 and together under 1")
        if self.mixture.kind == "explicit" and not self.mixture.rates:
            raise ValueError("mixture.kind explicit needs mixture.rates")
        if self.mixture.kind == "explicit" and set(self.mixture.rates) != (tasks := {s.task for s in self.sources}):
            raise ValueError(f"mixture.rates are of {sorted(self.mixture.rates)}, the sources of {sorted(tasks)}")
        if self.mixture.kind == "capped" and self.mixture.cap is None:
            raise ValueError("mixture.kind capped needs mixture.cap")
        return self
