"""The best earlier champion: many promotions of versions that are "no worse" must not add up to a loss.

A candidate is measured beside it too, and may not be worse than it by a margin (`mtl.promotion`). Which one it is
follows from the journal, and from what the reports of the releases say that each version gained.
"""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mtl.config.gate import judging_metrics
from mtl.config.retrain import RetrainConfig
from mtl.errors import DamageError, NotFoundError
from mtl.evaluation.report import CHAMPION, EvalReport
from mtl.fingerprint import sha256_bytes
from mtl.layout import release_prefix
from mtl.promotion import PromotionPolicy, deciding, margin_of, policy_from
from mtl.release.journal import Journal, read_journal
from mtl.release.layout import damaged, read_manifest
from mtl.release.refs import resolve_ref
from mtl.store.base import ObjectStore
from mtl.tasks.table import TASKS
from mtl.workspace import Workspace

_log = logging.getLogger(__name__)
_REPORT = "report.json"
Gains = Mapping[str, float]
"""task -> gain, in margins of the metric that decides it."""


@dataclass(frozen=True, slots=True)
class BestEarlier:
    """version, folder: None where the champion is the best, or no better one can be had. left_out: a sentence each."""

    version: int | None = None
    folder: Path | None = None
    left_out: tuple[str, ...] = ()


def best_earlier(journal: Journal, gains: Mapping[int, Gains]) -> list[int]:
    """Earlier champions that stand higher than the present one on some task, the one that does most first. Pure.

    gains: version -> by how many margins it was better than the champion that it replaced; 0 where nobody knows. On
    each task, a version stands at the sum of the gains that led to it, and the first champion at 0. Versions that were
    rolled back are left out: they were given up. So are those that a person went back behind: who makes an earlier
    champion champion again by force gives up what was promoted since.

    Two other rules would find nothing. The largest single gain is always the first version's, whose opponent was the
    untrained base. And the mean over the tasks rises with nearly every promotion, because what the gate promotes gains
    more on one task than it may lose on the others: it is on single tasks that losses add up.
    """
    standing: dict[int, Gains] = {}
    for change in journal.changes:
        if change.kind == "promote" and change.forced and change.version in standing:
            at = list(standing).index(change.version)
            standing = dict(list(standing.items())[: at + 1])
        elif change.kind == "promote" and change.version not in standing:
            before = None if change.replaced is None else standing.get(change.replaced)
            standing[change.version] = {} if before is None else _sum(before, gains.get(change.version, {}))
    champion = journal.champion
    if champion is None:
        return []
    present = standing.get(champion, {})
    above = {version: _above(its, present) for version, its in standing.items() if not journal.given_up(version)}
    return sorted((v for v in above if above[v] > 0), key=lambda version: (-above[version], -version))


def _sum(one: Gains, other: Gains) -> Gains:
    return {task: one.get(task, 0.0) + other.get(task, 0.0) for task in {**one, **other}}


def _above(one: Gains, other: Gains) -> float:
    """By how many margins the first stands above the second, on the task where it does most."""
    differences = (one.get(task, 0.0) - other.get(task, 0.0) for task in {**one, **other})
    return round(max(differences, default=0.0), 9)  # sums of floats


def gains_in_margins(document: Mapping[str, Any], policy: PromotionPolicy, *, over: int | None) -> Gains:
    """How much better the candidate of a release's report was than its champion on each task, in margins.

    over: the champion that the version replaced; nothing is known if the report is about another one.
    """
    if over is None or document.get("champion_version") != over:
        return {}
    try:
        report = EvalReport.from_json(document)
    except (KeyError, TypeError, ValueError) as error:  # of a version of this program that wrote other reports
        _log.warning("what a version gained over v%s counts as 0: its report cannot be read (%r)", over, error)
        return {}
    found = {task: _gain(report, policy, task) for task in report.metrics}
    return {task: gain for task, gain in found.items() if gain is not None}


def _gain(report: EvalReport, policy: PromotionPolicy, task: str) -> float | None:
    name = deciding(report, policy, task)
    metric, compared = report.metric(task, name), report.comparison(CHAMPION, task, name)
    known = judging_metrics(TASKS[task]) if task in TASKS else {}
    stated = known[name].margin if name in known else margin_of(report, policy, task, name)
    margin = policy.margins.get(task, {}).get(name, stated)  # a report from before there were margins states another
    if metric is None or compared is None or not margin or not math.isfinite(compared.difference):
        return None
    return (-1 if metric.higher_is_better is False else 1) * compared.difference / margin


def find_best_earlier(workspace: Workspace, config: RetrainConfig) -> BestEarlier:
    """The model to measure a candidate beside, pulled. One that is gone or damaged is left out, with a warning."""
    model, store = config.register_.model, workspace.store
    journal = read_journal(store, model)
    if not config.gate.best_earlier or journal.champion is None:
        return BestEarlier()
    left_out: list[str] = []
    for version in best_earlier(journal, _gains(store, model, journal, policy_from(config.gate))):
        try:
            found = resolve_ref(f"v{version}", store=store, model=model, cache=workspace.cache)
            return BestEarlier(version, found.folder, tuple(left_out))
        except (NotFoundError, DamageError) as error:
            left_out.append(f"v{version} was the best earlier champion, and is not compared with: {error.message}.")
            _log.warning("%s", left_out[-1])
    return BestEarlier(left_out=tuple(left_out))


def _gains(store: ObjectStore, model: str, journal: Journal, policy: PromotionPolicy) -> dict[int, Gains]:
    found: dict[int, Gains] = {}
    for change in journal.changes:
        if change.kind == "promote" and change.replaced is not None and change.version not in found:
            document = _report_of(store, model, journal, change.version)
            found[change.version] = gains_in_margins(document, policy, over=change.replaced)
    return found


def _report_of(store: ObjectStore, model: str, journal: Journal, version: int) -> Mapping[str, Any]:
    """The report of a release; an empty one, with a warning, where it is gone or damaged."""
    try:
        manifest = read_manifest(store, model, version)
        journal.check_pinned(manifest)
        files = {file.path: file for file in manifest.files}
        if _REPORT not in files:
            return {}
        key = f"{release_prefix(model, version)}/{_REPORT}"
        data = store.get(key)
        if sha256_bytes(data) != files[_REPORT].sha256:
            raise damaged(key, files[_REPORT])
        return dict(json.loads(data))
    except (NotFoundError, DamageError) as error:
        _log.warning("what v%s gained when it became champion counts as 0: %s", version, error.message)
        return {}
