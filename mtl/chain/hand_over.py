"""Register, decide, promote: from a report to a version, a decision and a release."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from mtl.chain.common import Document, lineage_tags, model_folder, tracking
from mtl.chain.judge import report_html, report_markdown
from mtl.chain.pages import REPORT_PAGE
from mtl.config.retrain import RetrainConfig
from mtl.data.histogram import write_pages
from mtl.decision import NOBODY, Decision, label
from mtl.errors import MtlError, NotPromotedError
from mtl.evaluation.report import BASE, CANDIDATE, CHAMPION, EvalReport
from mtl.promotion import PromotionDecision
from mtl.release.layout import ReleaseFacts
from mtl.settings import Settings, load_settings, mlflow_pages
from mtl.store.files import written_aside
from mtl.store.open import open_store

_log = logging.getLogger(__name__)


def register(
    config: RetrainConfig,
    dataset: Document,
    trained: Document,
    report: Document,
    *,
    origin: Mapping[str, str] | None = None,
    reason: str = "",
) -> Document:
    """Record data set, metrics and report with the MLflow run, make the version, and publish its release.

    origin: tags of the run that say who started it and where.
    reason: why a person started this retrain, kept in the version's tag `started_because`.
    """
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
    mlflow.set_tags(run, origin or {})
    registry = Registry(mlflow, name)
    registered = registry.register(run, folder, **facts)
    if reason:
        registry.set_tags(registered.version, {"started_because": reason})
    decision = gate_decision(config, report).to_dict()
    page = report_html(config, dataset, report, decision, version=registered.version, facts={**facts, "run": run})
    documents = {
        "report.json": json.dumps(report, ensure_ascii=False),
        "report.md": report_markdown(report, decision),
        "report.html": page,
    }
    release = publish(
        store,
        folder,
        model=name,
        version=registered.version,
        facts=ReleaseFacts(**facts, metrics=report["candidate"]),
        documents=documents,
        differences=_differences(EvalReport.from_json(report)),
        licences=_licences(config, dataset),
        merged=config.register_.merged,
    )
    mlflow.log_text(run, page, REPORT_PAGE)
    kept = _keep_page(settings, f"{name}-v{registered.version}.html", page)
    mlflow.finish(run)
    server = pages_address(settings)
    experiment = mlflow.experiment(config.register_.experiment)
    return {
        "model": name,
        "version": registered.version,
        "created": registered.created,
        "release": f"releases/{name}/v{registered.version}",
        "manifest_sha256": release.sha256,
        "run_id": run,
        "url": f"{server}/#/models/{name}/versions/{registered.version}" if server else None,
        "report": str(kept),
        "report_url": f"{server}/#/experiments/{experiment}/runs/{run}/artifacts/{REPORT_PAGE}"
        if server
        else kept.as_uri(),
    }


def _differences(report: EvalReport) -> dict[str, dict[str, str]]:
    """task -> metric -> how far the candidate is from its opponent, with the interval."""
    against = CHAMPION if CHAMPION in report.models else BASE
    found: dict[str, dict[str, str]] = {}
    for item in report.comparisons:
        if item.against == against and item.group is None and math.isfinite(item.low):
            words = f"{item.difference:+.4f} [{item.low:+.4f}, {item.high:+.4f}] against the {against}"
            found.setdefault(item.task, {})[item.metric] = words
    return found


def _licences(config: RetrainConfig, dataset: Document) -> dict[str, str]:
    """base and sources -> their licences; of a folder its name alone, not where it lies on this machine."""
    from mtl.release.licences import licence_of

    names = [config.model.base, *(str(source["uri"]) for source in dataset["sources"])]
    return {
        Path(name).name if Path(name).is_absolute() else name: licence_of(name, config.register_.licences)
        for name in names
    }


def _keep_page(settings: Settings, name: str, page: str) -> Path:
    """The page as a file of this machine, for a browser where MLflow is no server."""
    path = settings.home / "reports" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    with written_aside(path) as out:
        out.write(page.encode())
    return path


def _record(mlflow: Any, config: RetrainConfig, dataset: Document, trained: Document, report: Document) -> str:
    """The run of this identity, with its data set, metrics and report; its id.

    What training could not tell MLflow, which was away then, is told now.
    """
    from mtl.tracking.recorder import send_kept

    identity = trained["identity"]
    run: str = mlflow.run_for(identity, experiment=config.register_.experiment, tags=lineage_tags(trained))
    mlflow.log_params(run, config.model_dump(mode="json", by_alias=True))
    send_kept(mlflow, run, load_settings().home / "metrics", identity=identity)
    mlflow.log_dataset(
        run,
        name=config.name,
        fingerprint=dataset["fingerprint"],
        uri=f"{load_settings().store}/datasets/{dataset['fingerprint']}",
        profile={key: dataset[key] for key in ("counts", "quarantine", "truncated", "scheme")},
    )
    with TemporaryDirectory() as folder:
        write_pages(dataset, Path(folder))
        mlflow.log_folder(run, Path(folder), "dataset")
    measured = EvalReport.from_json(report)
    mlflow.log_metrics(
        run,
        _deciding(config, measured)
        | {f"{model}/{name}": value for model in measured.models for name, value in measured.flat(model).items()},
    )
    mlflow.log_text(run, json.dumps(report, ensure_ascii=False), "evaluation/report.json")
    mlflow.log_text(run, report_markdown(report), "evaluation/report.md")
    return run


def _deciding(config: RetrainConfig, report: EvalReport) -> dict[str, float]:
    """What the gate looks at, for each task: the candidate's mean, its opponent's, and the difference.

    MLflow draws charts in the order of these names, capitals first: a run's charts begin with them.
    """
    against = CHAMPION if CHAMPION in report.models else BASE
    found: dict[str, float | None] = {}
    for task, metrics in report.metrics.items():
        name = config.gate.metrics.get(task) or metrics[0].name
        compared = report.comparison(against, task, name)
        found |= {
            f"Gate/{task} {name}": report.mean(CANDIDATE, task, name),
            f"Gate/{task} {name} difference": compared.difference if compared else None,
            f"Gate/{task} {name} opponent": report.mean(against, task, name),
        }
    return {name: value for name, value in found.items() if value is not None and math.isfinite(value)}


def pages_address(settings: Settings) -> str | None:
    """Address of MLflow's pages, where it is a server; without what stands in it for a password."""
    from mtl.tracking.address import redact

    server = redact(mlflow_pages() or settings.tracking_uri).rstrip("/")
    return server if server.startswith("http") else None


def gate_decision(config: RetrainConfig, report: Document) -> PromotionDecision:
    """What the gate says about a report: a function of the two alone."""
    from mtl.promotion import decide as judge
    from mtl.promotion import policy_from

    champion_exists = report["champion_version"] is not None
    return judge(EvalReport.from_json(report), policy_from(config.gate), champion_exists=champion_exists)


def decide(config: RetrainConfig, report: Document, registered: Document) -> Document:
    """The gate's decision about the version, recorded in its tags.

    `awaits`: what a person must be asked about, None where the gate alone decides. Until the answer is there, the
    version is recorded as waiting.
    """
    champion = report["champion_version"]
    decision = gate_decision(config, report).to_dict() | {"against": champion, "awaits": None}
    until = None
    if decision["promoted"] and config.gate.approval == "manual":
        asked = f"v{registered['version']}-against-{'nothing' if champion is None else f'v{champion}'}"
        decision |= {"promoted": False, "state": Decision.WAITING.value, "awaits": asked}
        until = datetime.now(UTC) + timedelta(hours=config.gate.approval_hours)
    _record_decision(registered, decision, until=until)
    return decision


def question(registered: Document, decision: Document, *, reason: str = "") -> str:
    """What the form asks, as Markdown."""
    from mtl.evaluation.markdown import escape

    reasons = "\n".join(f"- {escape(reason)}" for reason in decision["reasons"])
    page = registered.get("report_url")  # as a link: an address in full is wider than the form
    report = f"[Read the report]({page})" if page else f"Release: {registered['release']}"
    why = f"Started because: {escape(reason)}\n\n" if reason else ""
    return f"Make {registered['model']} v{registered['version']} champion?\n\n{why}{reasons}\n\n{report}"


def conclude(registered: Document, decision: Document, answer: Document) -> Document:
    """The decision after a person's `answer` {approved, by, reason}, recorded with the person's name."""
    state = Decision.APPROVED if answer["approved"] else Decision.REFUSED
    state, by = (state, str(answer["by"])) if answer["by"] else (Decision.UNANSWERED, NOBODY)
    words = label(state, by)
    said = words[0].upper() + words[1:] + (f": {answer['reason']}" if answer["reason"] else "")
    concluded = decision | {
        "promoted": answer["approved"],
        "state": state.value,
        "by": by,
        "reasons": [said, *decision["reasons"]],
        "approval": answer,
        "awaits": None,
    }
    _record_decision(registered, concluded)
    return concluded


def _record_decision(registered: Document, decision: Document, *, until: datetime | None = None) -> None:
    from mtl.registry.registry import Registry, Verdict

    state = Decision(decision["state"])
    verdict = Verdict(state, tuple(decision["reasons"]), decision["against"], decision["by"], until)
    registry = Registry(tracking(load_settings()), registered["model"])
    registry.record_verdict(registered["version"], verdict, policy=decision["policy_version"])


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
            actor=_actor(decision),
            aliases=Registry(tracking(settings), name),
        )
    except NotPromotedError as error:  # another was promoted meanwhile, or a person rolled this version back
        return {"champion": read_journal(store, name).champion, "changed": False, "refused": error.message}
    return {"champion": promotion.version, "changed": promotion.changed}


def account(registered: Document, spent: Document) -> None:
    """Keep with the MLflow run how long each step took and what it cost; where MLflow is away, only the log has it."""
    values = {f"seconds/{step}": found["seconds"] for step, found in spent.items()}
    values |= {f"cost/{step}": found["cost"] for step, found in spent.items() if found["cost"] is not None}
    for kind in ("seconds", "cost"):
        parts = [value for name, value in values.items() if name.startswith(f"{kind}/")]
        if parts:
            values[f"{kind}/total"] = round(sum(parts), 6)
    try:
        tracking(load_settings()).log_metrics(registered["run_id"], values)
    except MtlError as error:
        _log.warning("MLflow did not take the times of the steps (%s): %s", values, error.message)


def _actor(decision: Document) -> str:
    """Who promotes: the person who approved, else the gate."""
    approval = decision.get("approval")
    return str(approval["by"]) if approval else f"gate {decision['policy_version']}"
