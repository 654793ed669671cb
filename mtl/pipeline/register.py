"""Register: record the run with its data set and report, make the version, and publish its release."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

from mtl import layout
from mtl.checkpoints.related import find_identity
from mtl.config.retrain import RetrainConfig
from mtl.data.histogram import write_pages
from mtl.evaluation.numbers import difference
from mtl.evaluation.report import CANDIDATE, EvalReport
from mtl.pipeline.models import model_folder
from mtl.pipeline.pages import REPORT_PAGE
from mtl.pipeline.records import FULL, Evaluation, PreparedDataset, RegisteredVersion, Start
from mtl.pipeline.report import keep_page, version_page, version_text
from mtl.pipeline.train import lineage_tags, start_tags
from mtl.promotion import deciding, policy_from
from mtl.registry.code_version import code_version
from mtl.release.layout import ReleaseFacts
from mtl.release.licences import licence_of
from mtl.release.provenance import provenance_files
from mtl.release.publish import publish
from mtl.settings import Settings, mlflow_pages
from mtl.tracking.address import redact
from mtl.tracking.recorder import send_kept
from mtl.training.record import read_record
from mtl.training.result import TrainedModel
from mtl.workspace import Workspace


def register(
    workspace: Workspace,
    config: RetrainConfig,
    dataset: PreparedDataset,
    trained: TrainedModel,
    evaluation: Evaluation,
    *,
    start: Start = FULL,
    origin: Mapping[str, str] | None = None,
    reason: str = "",
) -> RegisteredVersion:
    """The version of a trained model, with its release. The release says what was measured; nothing is decided yet.

    start: what training started from, and why; its tags are set again, as MLflow may have been away then.
    origin: tags of the run that say who started it and where.
    reason: why a person started this retrain, kept in the version's tag `started_because`.
    """
    tracker, model = workspace.tracker, config.register_.model
    folder = model_folder(workspace, config, trained)
    run = _record_run(workspace, config, dataset, trained, evaluation)
    tracker.set_tags(run, {**start_tags(start), **(origin or {})})
    measured = evaluation.to_json()
    facts = ReleaseFacts(
        trained.identity, dataset.fingerprint, code_version(), metrics=measured[CANDIDATE], parent=trained.parent
    )
    registry = workspace.registry(model)
    registered = registry.register(
        run, folder, identity=facts.identity, fingerprint=facts.fingerprint, code_version=facts.code_version
    )
    version = registered.version
    tags = {"started_because": reason} if reason else {}
    tags |= {"started_from": f"v{trained.parent.version}"} if trained.parent else {}
    if tags:
        registry.set_tags(version, tags)
    page = version_page(
        workspace, config, dataset, evaluation, None, model=model, version=version, facts=facts, run=run
    )
    release = publish(
        workspace.store,
        folder,
        model=model,
        version=version,
        facts=facts,
        documents={
            "report.json": json.dumps(measured, ensure_ascii=False),
            "report.md": version_text(config, evaluation.report),
            "report.html": page,
            **_provenance(workspace, config, dataset, trained, facts=facts, version=version),
        },
        differences=_differences(evaluation.report),
        licences=_licences(config, dataset),
        merged=config.register_.merged,
        require_signature=config.register_.require_signature,
    )
    tracker.log_text(run, page, REPORT_PAGE)
    kept = keep_page(workspace, model, version, page)
    tracker.finish(run)
    server = pages_address(workspace.settings)
    experiment = tracker.experiment(config.register_.experiment)
    return RegisteredVersion(
        model=model,
        version=version,
        created=registered.created,
        release=layout.release_prefix(model, version),
        manifest_sha256=release.sha256,
        run_id=run,
        url=f"{server}/#/models/{model}/versions/{version}" if server else None,
        report=str(kept),
        report_url=f"{server}/#/experiments/{experiment}/runs/{run}/artifacts/{REPORT_PAGE}"
        if server
        else kept.as_uri(),
    )


def _provenance(
    workspace: Workspace,
    config: RetrainConfig,
    dataset: PreparedDataset,
    trained: TrainedModel,
    *,
    facts: ReleaseFacts,
    version: int,
) -> dict[str, str]:
    """What trains the version again, from what its run has left."""
    return provenance_files(
        model=config.register_.model,
        version=version,
        config=config,
        identity=find_identity(workspace.store, trained.identity),
        trained=trained,
        record=read_record(workspace.store, trained.identity),
        dataset=dataset.manifest,
        code_version=facts.code_version,
    )


def _record_run(
    workspace: Workspace,
    config: RetrainConfig,
    dataset: PreparedDataset,
    trained: TrainedModel,
    evaluation: Evaluation,
) -> str:
    """The run of this identity, with its data set, metrics and report; its id.

    What training could not send to MLflow, which was away then, is sent now.
    """
    tracker, identity, report = workspace.tracker, trained.identity, evaluation.report
    lineage = trained.to_json()["continued_from"]
    run = tracker.run_for(
        identity,
        experiment=config.register_.experiment,
        tags=lineage_tags(bit_exact=trained.bit_exact, continued_from=lineage),
    )
    tracker.log_params(run, config.model_dump(mode="json", by_alias=True))
    send_kept(tracker, run, layout.home_metrics(workspace.settings.home), identity=identity)
    manifest = dataset.manifest.to_dict()
    tracker.log_dataset(
        run,
        name=config.name,
        fingerprint=dataset.fingerprint,
        uri=f"{workspace.settings.store}/{layout.dataset_prefix(dataset.fingerprint)}",
        profile={key: manifest[key] for key in ("counts", "quarantine", "truncated", "scheme")},
    )
    with TemporaryDirectory() as folder:
        write_pages(dataset.manifest, Path(folder))
        tracker.log_folder(run, Path(folder), "dataset")
    means = {f"{model}/{name}": value for model in report.models for name, value in report.flat(model).items()}
    if report.traffic is not None:
        found = {model: report.traffic.flat(model) for model in report.traffic.models}
        means |= {f"traffic/{model}/{name}": value for model, its in found.items() for name, value in its.items()}
    tracker.log_metrics(run, _gate_metrics(config, report) | means)
    tracker.log_text(run, json.dumps(evaluation.to_json(), ensure_ascii=False), "evaluation/report.json")
    tracker.log_text(run, version_text(config, report), "evaluation/report.md")
    return run


def _gate_metrics(config: RetrainConfig, report: EvalReport) -> dict[str, float]:
    """What the gate looks at, for each task: the candidate's mean, its opponent's, and the difference.

    MLflow draws charts in the order of these names, capitals first: a run's charts begin with them.
    """
    against, policy = report.opponent, policy_from(config.gate)
    found: dict[str, float | None] = {}
    for task in report.metrics:
        name = deciding(report, policy, task)
        compared = report.comparison(against, task, name)
        found |= {
            f"Gate/{task} {name}": report.mean(CANDIDATE, task, name),
            f"Gate/{task} {name} difference": compared.difference if compared else None,
            f"Gate/{task} {name} opponent": report.mean(against, task, name),
        }
    return {name: value for name, value in found.items() if value is not None and math.isfinite(value)}


def _differences(report: EvalReport) -> dict[str, dict[str, str]]:
    """task -> metric -> how far the candidate is from its opponent, with the interval."""
    against = report.opponent
    found: dict[str, dict[str, str]] = {}
    for item in report.comparisons:
        if item.against == against and item.group is None and math.isfinite(item.low):
            words = f"{difference(item.difference, item.low, item.high, digits=4)} against the {against}"
            found.setdefault(item.task, {})[item.metric] = words
    return found


def _licences(config: RetrainConfig, dataset: PreparedDataset) -> dict[str, str]:
    """base and sources -> their licences; of a folder its name alone, not where it lies on this machine."""
    names = [config.model.base, *(source["uri"] for source in dataset.manifest.sources)]
    return {
        Path(name).name if Path(name).is_absolute() else name: licence_of(name, config.register_.licences)
        for name in names
    }


def pages_address(settings: Settings) -> str | None:
    """Address of MLflow's pages, where it is a server; without what stands in it for a password."""
    server = redact(mlflow_pages() or settings.tracking_uri).rstrip("/")
    return server if server.startswith("http") else None
