"""The report about a version as a page: what was measured and, once it is decided, what was decided and by whom."""

from __future__ import annotations

from pathlib import Path

from mtl import layout
from mtl.config.retrain import RetrainConfig
from mtl.data.dataset import look_for_manifest
from mtl.data.manifest import DatasetManifest
from mtl.decision import Decision
from mtl.errors import NotFoundError
from mtl.evaluation.dataset_changes import dataset_changes
from mtl.evaluation.markdown import report_markdown
from mtl.evaluation.page import report_page
from mtl.evaluation.report import EvalReport
from mtl.pipeline.pages import REPORT_PAGE
from mtl.pipeline.records import Evaluation, PreparedDataset, RegisteredVersion
from mtl.promotion import policy_from, power
from mtl.release.layout import ReleaseFacts, read_manifest
from mtl.store.files import written_aside
from mtl.tasks.table import TASKS
from mtl.workspace import Workspace


def version_text(config: RetrainConfig, report: EvalReport, decision: Decision | None = None) -> str:
    """The report as Markdown."""
    return report_markdown(report, decision=decision, tasks=TASKS, power=power(report, policy_from(config.gate)))


def version_page(
    workspace: Workspace,
    config: RetrainConfig,
    dataset: PreparedDataset,
    evaluation: Evaluation,
    decision: Decision | None,
    *,
    model: str,
    version: int,
    facts: ReleaseFacts,
    run: str,
) -> str:
    """The report as a page of its own, with what changed in the data since the champion."""
    before = _dataset_of(workspace, model, evaluation.champion_version)
    return report_page(
        evaluation.report,
        title=f"{model} v{version}",
        tasks=TASKS,
        decision=decision,
        changes=dataset_changes(before.to_dict(), dataset.manifest.to_dict()) if before else (),
        facts={
            "identity": facts.identity,
            "fingerprint": facts.fingerprint,
            "code_version": facts.code_version,
            "run": run,
            **({"started from": str(facts.parent)} if facts.parent else {}),
        },
        power=power(evaluation.report, policy_from(config.gate)),
    )


def _dataset_of(workspace: Workspace, model: str, version: int | None) -> DatasetManifest | None:
    """The manifest of the data that a version was trained on; None where there is none any more."""
    if version is None:
        return None
    try:
        release = read_manifest(workspace.store, model, version)
    except NotFoundError:
        return None
    return look_for_manifest(workspace.store, release.facts.fingerprint)


def show_decision(
    workspace: Workspace,
    config: RetrainConfig,
    dataset: PreparedDataset,
    evaluation: Evaluation,
    registered: RegisteredVersion,
    decision: Decision,
) -> None:
    """Put the decision on top of the pages that people read: those of the MLflow run, and this machine's.

    Those of the release stay as they were published: they say what was measured.
    """
    page = version_page(
        workspace,
        config,
        dataset,
        evaluation,
        decision,
        model=registered.model,
        version=registered.version,
        facts=read_manifest(workspace.store, registered.model, registered.version).facts,
        run=registered.run_id,
    )
    keep_page(workspace, registered.model, registered.version, page)
    workspace.tracker.log_text(registered.run_id, page, REPORT_PAGE)
    text = version_text(config, evaluation.report, decision)
    workspace.tracker.log_text(registered.run_id, text, "evaluation/report.md")


def keep_page(workspace: Workspace, model: str, version: int, page: str) -> Path:
    """The page as a file of this machine, for a browser where MLflow is no server."""
    path = layout.home_report(workspace.settings.home, model, version)
    path.parent.mkdir(parents=True, exist_ok=True)
    with written_aside(path) as out:
        out.write(page.encode())
    return path
