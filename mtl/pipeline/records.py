"""What the steps give each other: frozen records, as JSON only where a command prints them or the store keeps them.

    PreparedDataset -> Start -> TrainedModel -> Evaluation -> RegisteredVersion -> Decision -> PromotionResult
    -> Outcome

TrainedModel is in `mtl.training.result`, Decision in `mtl.decision`. The keys of the JSON are read by others: keys may
be added, never renamed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from pydantic import ConfigDict, with_config

from mtl.data.manifest import DatasetManifest
from mtl.decision import Decision, DecisionState
from mtl.document import Line
from mtl.evaluation.report import EvalReport
from mtl.training.parent import Parent
from mtl.training.result import TrainedModel


@dataclass(frozen=True, slots=True)
class SourceNote:
    """What was left out of a source, or how its splits were told apart; see `mtl.sources.base.Note`."""

    task: str
    uri: str
    name: str
    text: str
    usual: bool


@dataclass(frozen=True, slots=True)
class Unpromotable:
    """A task that keeps every version of a configuration and its data from being promoted, and what to do about it."""

    task: str
    found: int
    needed: int
    text: str
    do: str


@dataclass(frozen=True, slots=True)
class PreparedDataset:
    """A data set in the store, with what a person should know of its sources."""

    manifest: DatasetManifest
    notes: tuple[SourceNote, ...] = ()
    unpromotable: tuple[Unpromotable, ...] = ()

    @property
    def fingerprint(self) -> str:
        return self.manifest.fingerprint

    def to_json(self) -> dict[str, Any]:
        """The document of `mtl prepare --json`."""
        return self.manifest.to_dict() | {
            "notes": [asdict(note) for note in self.notes],
            "unpromotable": [asdict(item) for item in self.unpromotable],
        }


@with_config(ConfigDict(extra="ignore"))
@dataclass(frozen=True, slots=True)
class Start:
    """parent: the version that is started from; None for a full run. reason: a sentence."""

    parent: Parent | None
    reason: Line

    @property
    def headline(self) -> str:
        return f"warm start from v{self.parent.version}" if self.parent else "full run"

    def __str__(self) -> str:
        return f"{self.headline}: {self.reason}"

    def to_json(self) -> dict[str, Any]:
        """For `mtl retrain --json` and the store."""
        return asdict(self)


FULL = Start(None, "train.from is scratch.")
"""The start where the configuration asks for no other."""


@dataclass(frozen=True, slots=True)
class Evaluation:
    """The report about a trained model, beside the champion of that time.

    rules: hash of all that the report depends on; equal rules measure the same run alike. best_version: the best
    earlier champion, where it is in the report. left_out: why a better one is not, a sentence each.
    """

    report: EvalReport
    champion_version: int | None
    rules: str
    best_version: int | None = None
    left_out: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        return self.report.to_json() | {
            "champion_version": self.champion_version,
            "best_version": self.best_version,
            "left_out": list(self.left_out),
            "rules": self.rules,
        }

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Evaluation:
        return cls(
            report=EvalReport.from_json(document),
            champion_version=document["champion_version"],
            rules=document["rules"],
            best_version=document.get("best_version"),
            left_out=tuple(document.get("left_out", ())),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class RegisteredVersion:
    """A version in the registry, with its release in the store.

    report: page of this machine; report_url: the page in MLflow, or that file. url: the version's page in MLflow, None
    where MLflow is no server.
    """

    model: str
    version: int
    created: bool
    release: str
    manifest_sha256: str
    run_id: str
    url: str | None
    report: str
    report_url: str

    @property
    def name(self) -> str:
        return f"{self.model} v{self.version}"


@dataclass(frozen=True, slots=True)
class PromotionResult:
    """Who is champion after a decision, whether that changed, and why a version that may become champion did not."""

    champion: int | None
    changed: bool
    refused: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of a trained model: the last thing that a retrain writes."""

    evaluate: Mapping[str, Any]
    decision: Decision
    version: int
    release: str
    report: str | None
    champion: int | None

    @classmethod
    def of(
        cls, evaluation: Evaluation, registered: RegisteredVersion, decision: Decision, promotion: PromotionResult
    ) -> Outcome:
        """A version whose promotion was refused after the decision was overtaken."""
        if promotion.refused:
            decision = replace(decision, state=DecisionState.OVERTAKEN, reasons=(promotion.refused,))
        left_out = ("samples", "metrics")
        return cls(
            evaluate={name: value for name, value in evaluation.to_json().items() if name not in left_out},
            decision=decision,
            version=registered.version,
            release=registered.release,
            report=registered.report,
            champion=promotion.champion,
        )

    def to_json(self) -> dict[str, Any]:
        return {
            "evaluate": dict(self.evaluate),
            "decision": self.decision.to_json(),
            "version": self.version,
            "release": self.release,
            "report": self.report,
            "champion": self.champion,
        }

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Outcome:
        return cls(
            evaluate=document["evaluate"],
            decision=Decision.from_json(document["decision"]),
            version=document["version"],
            release=document["release"],
            report=document.get("report"),
            champion=document["champion"],
        )


@dataclass(frozen=True, slots=True)
class FlowRunRef:
    """The flow run that a retrain is: id, name, page (None where Prefect has no pages)."""

    id: str | None
    name: str | None
    url: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RetrainSummary:
    """All of one retrain. steps: step -> seconds, tries, cost. unchanged: nothing was made, all was there."""

    dataset: PreparedDataset
    start: Start
    trained: TrainedModel
    outcome: Outcome
    flow_run: FlowRunRef
    unchanged: bool
    steps: Mapping[str, Any]

    def to_json(self) -> dict[str, Any]:
        """The document of `mtl retrain --json`."""
        prepared = self.dataset.to_json()
        return {
            "dataset": {name: prepared[name] for name in ("fingerprint", "counts", "quarantine", "truncated")},
            "start": self.start.to_json(),
            "train": self.trained.to_json(),
            **self.outcome.to_json(),
            "unchanged": self.unchanged,
            "flow_run": asdict(self.flow_run),
            "steps": dict(self.steps),
        }
