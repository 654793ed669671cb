"""The retrain flow: prepare -> train -> evaluate -> register -> gate -> promote -> release.

python -m flows.retrain conf/demo.yaml
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from prefect import flow, get_run_logger
from prefect.runtime import flow_run

from flows import approval, artifacts, events, lineage, retrying, steps, timing, waiting
from mtl.config.retrain import RetrainConfig, load_config
from mtl.config.train import SCRATCH
from mtl.pipeline import gate, outcome, promotable
from mtl.pipeline.records import FULL, FlowRunRef, Outcome, PreparedDataset, RegisteredVersion, RetrainSummary, Start
from mtl.settings import prefect_settings
from mtl.signing.configured import check_signing
from mtl.training.result import TrainedModel
from mtl.workspace import open_workspace


@flow(
    name="retrain",
    description="Retrain, evaluate and release the multitask model.",
    validate_parameters=True,
    on_failure=[events.run_ended_badly, lineage.failed],
    on_crashed=[events.run_ended_badly, lineage.failed],
)
def retrain(config: RetrainConfig) -> dict[str, Any]:
    """One retrain from data to release; the document of `mtl retrain --json`.

    Running it again with nothing changed makes no second version: every step finds what the last run made.
    """
    return run_retrain(config)


def run_retrain(config: RetrainConfig, *, reason: str = "") -> dict[str, Any]:
    """The retrain of the running flow. reason: why a person started it; recorded with the version."""
    retrying.refuse_endless()
    with waiting.queue_told():
        return _retrain(config, reason).to_json()


def _retrain(config: RetrainConfig, reason: str) -> RetrainSummary:
    log, workspace = get_run_logger(), open_workspace()
    if reason:
        log.info("started because: %s", reason)
    check_signing(required=config.register_.require_signature)
    lineage.started(config)
    dataset = steps.prepare(config)
    promotable.refuse_unpromotable(config, dataset.unpromotable)
    start = steps.choose_start(config, dataset.fingerprint) if config.train.from_ != SCRATCH else FULL
    trained = steps.train(config, dataset.fingerprint, start)
    done = outcome.find_outcome(workspace, config, trained)
    if done is not None:
        log.info("nothing changed: v%s was made and decided about from this data and configuration", done.version)
        steps.tidy()
        return _summary(config, dataset, trained, done, start=start, registered=None)
    evaluation = steps.evaluate(config, dataset.fingerprint, trained)
    registered = steps.register(config, dataset, trained, evaluation, reason, start)
    decision = steps.gate(config, dataset, evaluation, registered)
    if decision.awaits:
        events.candidate_waiting(registered, decision, form=_flow_run().url)
        question = gate.question(registered, decision, reason=reason)
        answer = approval.ask(question, key=decision.awaits, hours=config.gate.approval_hours)
        decision = steps.conclude(config, dataset, evaluation, registered, decision, answer)
    promotion = steps.promote(config, registered, decision)
    made = outcome.keep_outcome(workspace, config, trained, evaluation, registered, decision, promotion)
    artifacts.links(registered, dataset)
    if made.decision.promoted:
        events.champion_changed(registered.model)
    else:
        events.candidate_refused(registered, made.decision)
    steps.tidy()
    log.info("v%s: %s", registered.version, "; ".join(decision.reasons))
    return _summary(config, dataset, trained, made, start=start, registered=registered)


def _summary(
    config: RetrainConfig,
    dataset: PreparedDataset,
    trained: TrainedModel,
    made: Outcome,
    *,
    start: Start,
    registered: RegisteredVersion | None,
) -> RetrainSummary:
    """All of the retrain. registered: the version that this run made; its times are kept with the version's run."""
    spent = timing.spent()
    if registered is not None:
        outcome.record_times(open_workspace(), registered, spent)
    timing.forget()
    summary = RetrainSummary(
        dataset=dataset,
        start=start,
        trained=trained,
        outcome=made,
        flow_run=_flow_run(),
        unchanged=registered is None,
        steps=spent,
    )
    lineage.completed(config, summary, registered)
    return summary


def _flow_run() -> FlowRunRef:
    url = None if prefect_settings().embedded else flow_run.get_flow_run_ui_url()  # an embedded server has no pages
    return FlowRunRef(flow_run.get_id(), flow_run.get_name(), url)


if __name__ == "__main__":
    retrain(load_config(Path(sys.argv[1])))
