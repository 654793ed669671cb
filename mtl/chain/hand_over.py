"""Register, decide, promote: from a report to a version, a decision and a release."""

from __future__ import annotations

import json
from typing import Any

from mtl.chain.common import Document, model_folder, tracking
from mtl.chain.judge import report_markdown
from mtl.config.retrain import RetrainConfig
from mtl.errors import NotPromotedError
from mtl.evaluation.report import EvalReport
from mtl.release.layout import ReleaseFacts
from mtl.settings import Settings, load_settings
from mtl.store.open import open_store


def register(config: RetrainConfig, dataset: Document, trained: Document, report: Document) -> Document:
    """Record data set, metrics and report with the MLflow run, make the version, and publish its release."""
    from mtl.registry.code_version import code_version
    from mtl.registry.registry import Registry
    from mtl.release.publish import publish

    settings = load_settings()
    store = open_store(settings.store)
    name, identity = config.register_.model, trained["identity"]
    folder = model_folder(config, trained)
    facts = {"identity": identity, "fingerprint": dataset["fingerprint"], "code_version": code_version()}
    mlflow = tracking(settings)
    run = _record(mlflow, config, dataset, trained, report)
    registered = Registry(mlflow, name).register(run, folder, **facts)
    release = publish(
        store,
        folder,
        model=name,
        version=registered.version,
        facts=ReleaseFacts(**facts, metrics=report["candidate"]),
        documents={"report.json": json.dumps(report, ensure_ascii=False), "report.md": report_markdown(report)},
    )
    mlflow.finish(run)
    return {
        "model": name,
        "version": registered.version,
        "created": registered.created,
        "release": f"releases/{name}/v{registered.version}",
        "manifest_sha256": release.sha256,
        "run_id": run,
        "url": _version_url(settings, name, registered.version),
    }


def _record(mlflow: Any, config: RetrainConfig, dataset: Document, trained: Document, report: Document) -> str:
    """The run of this identity, with its data set, metrics and report; its id."""
    run: str = mlflow.run_for(trained["identity"], experiment=config.register_.experiment)
    mlflow.log_params(run, config.model_dump(mode="json", by_alias=True))
    mlflow.log_dataset(
        run,
        name=config.name,
        fingerprint=dataset["fingerprint"],
        uri=f"{load_settings().store}/datasets/{dataset['fingerprint']}",
        profile={key: dataset[key] for key in ("counts", "quarantine", "truncated", "scheme")},
    )
    measured = EvalReport.from_json(report)
    mlflow.log_metrics(
        run, {f"{model}/{name}": value for model in measured.models for name, value in measured.flat(model).items()}
    )
    mlflow.log_text(run, json.dumps(report, ensure_ascii=False), "evaluation/report.json")
    mlflow.log_text(run, report_markdown(report), "evaluation/report.md")
    return run


def _version_url(settings: Settings, model: str, version: int) -> str | None:
    """Page of a version, where MLflow is a server."""
    from mtl.tracking.faults import redact

    server = redact(settings.tracking_uri).rstrip("/")
    return f"{server}/#/models/{model}/versions/{version}" if server.startswith("http") else None


def decide(config: RetrainConfig, report: Document, registered: Document) -> Document:
    """The gate's decision about the version, recorded in its tags."""
    from mtl.promotion import decide as judge
    from mtl.promotion import policy_from
    from mtl.registry.registry import Registry, Verdict

    champion = report["champion_version"]
    decision = judge(EvalReport.from_json(report), policy_from(config.gate), champion_exists=champion is not None)
    verdict = Verdict(decision.promoted, tuple(decision.reasons), champion)
    registry = Registry(tracking(load_settings()), registered["model"])
    registry.record_verdict(registered["version"], verdict, policy=decision.policy_version)
    return decision.to_dict() | {"against": champion}


def promote(config: RetrainConfig, registered: Document, decision: Document) -> Document:
    """Make the version champion if the gate said so; who is champion now, and whether that changed."""
    from mtl.registry.registry import Registry
    from mtl.release.journal import read_journal
    from mtl.release.promote import promote as promote_version

    settings = load_settings()
    store = open_store(settings.store)
    name = registered["model"]
    if not decision["promoted"]:
        return {"champion": read_journal(store, name).champion, "changed": False}
    try:
        promotion = promote_version(
            store,
            registered["version"],
            model=name,
            expected=decision["against"],
            reason="; ".join(decision["reasons"]),
            actor=f"gate {decision['policy_version']}",
            aliases=Registry(tracking(settings), name),
        )
    except NotPromotedError as error:  # another was promoted meanwhile, or a person rolled this version back
        return {"champion": read_journal(store, name).champion, "changed": False, "refused": error.message}
    return {"champion": promotion.version, "changed": promotion.changed}
