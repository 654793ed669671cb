"""Monitor: is the champion still as good as at its release, and have the data changed enough to train again?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from mtl.config.retrain import RetrainConfig
from mtl.data.dataset import look_for_manifest, open_dataset
from mtl.errors import NotFoundError
from mtl.evaluation.report import CANDIDATE
from mtl.pipeline.evaluate import measure
from mtl.pipeline.models import champion_model, task_names
from mtl.pipeline.rotation import week_of
from mtl.pipeline.warm_start import changed_share
from mtl.promotion import policy_from, regressions
from mtl.release import layout
from mtl.release.journal import read_journal
from mtl.store.searched import searched
from mtl.workspace import Workspace

Scores = Mapping[str, Mapping[str, float | None]]


@dataclass(frozen=True, slots=True)
class ChampionCheck:
    """The champion on data of today. now, then: task -> metric -> mean, today and at its release."""

    model: str
    version: int
    now: Scores
    then: Scores
    regressions: tuple[str, ...]

    @property
    def name(self) -> str:
        return f"{self.model} v{self.version}"

    def to_json(self) -> dict[str, Any]:
        return asdict(self) | {"regressions": list(self.regressions)}


def check_champion(workspace: Workspace, config: RetrainConfig, dataset: str, *, max_drop: float) -> ChampionCheck:
    """Measure the champion on a data set of today, and hold it to the gate's policy.

    With `gate.rotate`, the examples are those of the week that judged it at its release, so that a score that fell is
    not another sample's.

    max_drop: how much worse the metric that decides about a task may get before that is a regression.
    Errors: NotFoundError if there is no champion yet.
    """
    model = config.register_.model
    champion = champion_model(workspace, model)
    if champion is None:
        hint = f"retrain/demo makes one; {searched(workspace.store)}"
        raise NotFoundError(f"{model} has no champion yet", hint=hint)
    version, folder = champion
    release = layout.find_manifest(workspace.store, model, version)
    then = release.facts.metrics if release else {}
    week = week_of(workspace.store, release.facts.identity) if release else None
    report = measure(workspace, config, dataset, {CANDIDATE: folder}, week=week)
    found = regressions(report, then, policy_from(config.gate), max_drop=max_drop)
    document = report.to_json()
    now = {task: document[CANDIDATE][task] for task in document["examples"]}
    return ChampionCheck(model, version, now, then, tuple(found))


@dataclass(frozen=True, slots=True)
class DataChange:
    """changed: the share of training examples, old and new together, that are not in both data sets.

    dataset: fingerprint of today's data. since: that of the champion's; None where there is no champion or its data
    are gone, and everything counts as changed.
    """

    dataset: str
    since: str | None
    changed: float


def compare_data(workspace: Workspace, config: RetrainConfig, dataset: str) -> DataChange:
    """How much of a data set's training examples differs from the champion's."""
    champion = champion_data(workspace, config.register_.model)
    if champion is None:
        return DataChange(dataset, None, 1.0)
    _, since = champion
    now, then = (open_dataset(workspace.store, which, workspace.cache) for which in (dataset, since))
    return DataChange(dataset, since, changed_share(now, then, task_names(config)))


def champion_data(workspace: Workspace, model: str) -> tuple[int, str] | None:
    """(version, fingerprint of what it was trained on) of the champion; None if there is none, or its data are gone."""
    champion = read_journal(workspace.store, model).champion
    release = layout.find_manifest(workspace.store, model, champion) if champion is not None else None
    since = release.facts.fingerprint if release else None
    if champion is None or since is None or look_for_manifest(workspace.store, since) is None:
        return None
    return champion, since
