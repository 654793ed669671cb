"""The evaluate-champion flow: is the champion still good on today's data? A regression is an event and fails the run.

python -m flows.evaluate_champion conf/demo.yaml
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

from prefect import flow
from prefect.client.schemas.objects import State
from prefect.events import emit_event
from prefect.states import Completed, Failed
from pydantic import Field

from flows import artifacts, events, steps, waiting
from mtl.config.retrain import RetrainConfig, load_config
from mtl.pipeline.monitor import ChampionCheck


@flow(
    name="evaluate-champion",
    description="Evaluate the champion on today's data, fail if it got worse, and look for drift.",
    on_failure=[events.run_ended_badly],
    on_crashed=[events.run_ended_badly],
)
def evaluate_champion(
    config: RetrainConfig,
    max_drop: Annotated[
        float,
        Field(ge=0, le=1, description="How much worse a deciding metric may be than at the release, in its own unit."),
    ] = 0.05,
) -> State[dict[str, Any]]:
    """What it scores now and what it scored when it was released, with a sentence for each regression."""
    with waiting.queue_told():
        return _evaluate(config, max_drop)


def _evaluate(config: RetrainConfig, max_drop: float) -> State[dict[str, Any]]:
    dataset = steps.prepare(config)
    found = steps.check_champion(config, dataset.fingerprint, max_drop)
    artifacts.champion_table(found)
    state = _told(found, dataset.fingerprint)
    steps.check_drift(config, dataset.fingerprint)
    return state


def _told(found: ChampionCheck, dataset: str) -> State[dict[str, Any]]:
    """How the run ends; people are told of a regression."""
    document = found.to_json()
    if not found.regressions:
        return Completed(message=f"v{found.version} is as good as it was", data=document)
    text = f"v{found.version} regressed: {' '.join(found.regressions)}"
    resource = {"prefect.resource.id": f"mtl.model.{found.model}", "mtl.version": str(found.version)}
    payload = {"regressions": document["regressions"]}
    emit_event("mtl.champion.regressed", resource=resource, payload=payload)
    events.data_alarm(found.model, text, key=f"v{found.version} on {dataset}", payload=payload)
    return Failed(name=events.REGRESSED, message=text, data=document)


if __name__ == "__main__":
    evaluate_champion(load_config(Path(sys.argv[1])))
