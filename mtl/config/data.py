"""What a model is trained on: sources, cleaning, rendering, mixture."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator, model_validator

from mtl.config.feedback import FEEDBACK, is_feedback, model_of, shares_of
from mtl.config.parameters import with_fields
from mtl.config.section import Section
from mtl.errors import did_you_mean
from mtl.tasks.table import TASKS, names_in_words

Split = Literal["train", "validation", "test"]


class SourceConfig(Section):
    """Where the rows of one task come from."""

    task: str = Field(description=f"The task that reads these rows: {names_in_words()}.")
    uri: str = Field(
        description="Where the rows are: demo (generated), hub:OWNER/NAME, s3://BUCKET/PREFIX, or a file, folder, glob "
        "or tar archive of jsonl, ndjson, json, csv, tsv, parquet or arrow (also gzip or zstd), CNN/DailyMail's .story "
        "or RACE's N.txt files. feedback is what people corrected of this model's answers or marked as good, "
        "feedback:MODEL the same of another model."
    )
    name: str | None = Field(None, description="Name of the configuration on the Hub, such as 3.0.0, middle or high.")
    revision: str | None = Field(
        None, description="Commit of the Hub repository. Required for hub: sources, so that the data stay the same."
    )
    streaming: bool = Field(
        False, description="Read the rows of a hub: source over the network as needed, instead of caching them all."
    )
    files: dict[Split, str] = Field(
        default_factory=dict,
        description="File or glob of each split, relative to uri. If empty, the splits are found by name under uri. "
        "Feedback is train; {validation: 20%} holds out a fifth of it, and {validation: feedback} all of it.",
    )
    rows: dict[Split, int] = Field(
        default_factory=dict,
        description="Largest number of rows to take of each split. Of demo, exactly this many documents.",
    )
    add: dict[str, str] = Field(
        default_factory=dict, description="Columns that every row gets, for example {level: college} for RACE-C."
    )
    columns: dict[str, str | list[str]] = Field(
        default_factory=dict,
        description="Columns of the source by the column that the task reads. Several make a list: "
        "{article: context, options: [A, B, C, D], answer: label}.",
    )
    delimiter: str | None = Field(
        None,
        min_length=1,
        max_length=1,
        description="Character between the columns of a csv file. If empty, a comma. A tab is \\t in double quotes.",
    )
    encoding: str | None = Field(
        None, description="Encoding of the text files, such as cp1252, latin-1 or utf-16. If empty, UTF-8."
    )
    sha256: str | None = Field(
        None, pattern=r"^[0-9a-f]{64}$", description="Refuse the source unless the manifest has this sha256 for it."
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
            of_files = self.uri != "demo" and not self.uri.startswith("hub:") and not is_feedback(self.uri)
            if getattr(self, name) is not None and not of_files:
                raise ValueError(f"{name} is a property of files; {self.uri} has none")
        empty = [name for name, its in self.columns.items() if not its or (isinstance(its, list) and not all(its))]
        if empty:
            raise ValueError(f"columns.{empty[0]} names no column of the source")
        return self

    @model_validator(mode="after")
    def _of_feedback(self) -> SourceConfig:
        if is_feedback(self.uri):
            if self.columns:
                raise ValueError(f"columns are not needed: {self.uri} has those that the task reads")
            shares_of({str(split): value for split, value in self.files.items()})
        return self


class MixtureConfig(Section):
    """How often each task is drawn (Raffel et al. 2020, section 3.5.2)."""

    kind: Literal["proportional", "capped", "temperature", "explicit"] = Field(
        "proportional",
        description="How the rates of the tasks are made: from their sizes (proportional, capped, temperature), or "
        "given (explicit).",
    )
    cap: int | None = Field(None, gt=0, description="With capped: no task counts for more examples than this.")
    temperature: float = Field(
        1.0,
        ge=1,
        description="With temperature: rates are raised to 1/T. 1 is proportional, 2 draws small tasks more often.",
    )
    rates: dict[str, float] = Field(
        default_factory=dict, description="With explicit: the rate of each task, any positive numbers."
    )
    feedback: float | None = Field(
        None,
        gt=0,
        lt=1,
        description="Share of each task's training examples that are drawn from feedback, as far as it has any. If "
        "empty, they are drawn as often as others. A small number of them is repeated often with a large share. A "
        "warm start keeps to it, whichever rows are new.",
    )


@with_fields(parameter for task in TASKS.values() for parameter in task.options)
class DataConfig(Section):
    """Sources and how their rows become examples."""

    # What single tasks need besides is among the fields too: see `options` of the tasks.

    sources: list[SourceConfig] = Field(
        min_length=1, description="The sources of the rows, at least one for each task."
    )
    mixture: MixtureConfig = Field(MixtureConfig(), description="How often each task is drawn in training.")
    max_input_tokens: int = Field(
        512,
        ge=16,
        le=4096,
        description="Longest input in tokens. Longer ones are cut at the end and counted, unless the task splits them.",
    )
    max_target_tokens: int = Field(
        256,
        ge=16,
        le=1024,
        description="Longest target in tokens. No question is cut: one that does not fit is left out and counted.",
    )
    instruction_dropout: float = Field(
        0.1,
        ge=0,
        le=0.9,
        description="Share of training examples with the task token but without the instruction sentence.",
    )
    holdout: dict[Literal["validation", "test"], float] = Field(
        default_factory=dict,
        description="Share of the passages of train that become this split, where a source has none.",
    )
    max_bad_share: float = Field(
        0.2, ge=0, le=1, description="Stop if a larger share of the rows of a source is refused."
    )
    max_shrink: float = Field(
        0.5,
        ge=0,
        le=1,
        description="Stop if a source has lost a larger share of its rows since the last data of this configuration.",
    )
    near_duplicates: float | None = Field(
        0.8,
        gt=0.3,
        le=1,
        description="Passages of train this similar (MinHash) to another split's are left out. If empty, they stay.",
    )
    processes: int | None = Field(
        None,
        ge=1,
        le=256,
        description="Number of processes that prepare. If empty, one for each core, and one for small sources.",
    )
    shard_rows: int = Field(4096, ge=1, description="Number of examples in a Parquet file.")

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

    def with_model(self, model: str) -> DataConfig:
        """With the model named whose feedback a source means that names none."""
        sources = [
            source.model_copy(update={"uri": f"{FEEDBACK}:{model}"})
            if is_feedback(source.uri) and not model_of(source.uri)
            else source
            for source in self.sources
        ]
        return self if sources == self.sources else self.model_copy(update={"sources": sources})
