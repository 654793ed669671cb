"""The retrain flow: prepare -> train -> evaluate -> register -> gate -> promote -> release.

python -m flows.retrain conf/demo.yaml
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from prefect import flow, get_run_logger
from prefect.runtime import flow_run

from flows import approval, artifacts, events, rerunning, steps, timing, waiting
from mtl.chain import foresight, hand_over, outcome
from mtl.config.retrain import RetrainConfig, load_config
from mtl.settings import prefect_settings


@flow(
    name="retrain",
    description="Retrain, judge and release the multitask model",
    validate_parameters=True,
    on_failure=[events.run_ended_badly],
    on_crashed=[events.run_ended_badly],
)
def retrain(config: RetrainConfig) -> dict[str, Any]:
    """One retrain from data to release; the document of `mtl retrain --json`.

    Running it again with nothing changed makes no second version: every step finds what the last run made.
    """
    return run_retrain(config)


def run_retrain(config: RetrainConfig, *, reason: str = "") -> dict[str, Any]:
    """The retrain of the running flow. reason: why a person started it; recorded with the version."""
    rerunning.refuse_endless()
    with waiting.queue_told():
        return _retrain(config, reason)


def _retrain(config: RetrainConfig, reason: str) -> dict[str, Any]:
    log = get_run_logger()
    if reason:
        log.info("started because: %s", reason)
    dataset = steps.prepare(config)
    foresight.refuse_unpromotable(config, dataset["counts"])
    trained = steps.train(config, dataset["fingerprint"])
    done = outcome.find_judged(config, trained)
    if done is not None:
        log.info("nothing changed: v%s was made and judged from this data and configuration", done["version"])
        steps.tidy()
        return outcome.summary(dataset, trained, done, flow_run=_flow_run(), unchanged=True, steps=_spent(None))
    report = steps.evaluate(config, dataset["fingerprint"], trained)
    registered = steps.register(config, dataset, trained, report, reason)
    decision = steps.gate(config, report, registered)
    if decision["awaits"]:
        hours = config.gate.approval_hours
        events.candidate_waiting(registered, decision, form=_flow_run()["url"])
        answer = approval.ask(
            hand_over.question(registered, decision, reason=reason), key=decision["awaits"], hours=hours
        )
        decision = steps.conclude(report, registered, decision, answer)
    promoted = steps.promote(config, registered, decision)
    judged = outcome.keep_judged(config, trained, report, registered, decision, promoted)
    artifacts.links(registered, dataset)
    if judged["decision"]["promoted"]:
        events.champion_changed(registered["model"])
    else:
        events.candidate_refused(registered, judged["decision"])
    steps.tidy()
    log.info("v%s: %s", registered["version"], "; ".join(decision["reasons"]))
    spent = _spent(registered)
    return outcome.summary(dataset, trained, judged, flow_run=_flow_run(), unchanged=False, steps=spent)


def _spent(registered: dict[str, Any] | None) -> dict[str, Any]:
    """Time and cost of each step, kept with the run that was registered."""
    spent = timing.spent()
    if registered is not None:
        hand_over.account(registered, spent)
    timing.forget()
    return spent


def _flow_run() -> dict[str, Any]:
    url = None if prefect_settings().embedded else flow_run.get_flow_run_ui_url()  # an embedded server has no pages
    return {"id": flow_run.get_id(), "name": flow_run.get_name(), "url": url}


if __name__ == "__main__":
    retrain(load_config(Path(sys.argv[1])))
