"""The check-data flow: a poll of the sources that starts a retrain only when the data changed enough, or drifted.

python -m flows.check_data conf/demo.yaml
"""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

from prefect import flow, get_run_logger
from prefect.client.schemas.objects import FlowRun
from prefect.deployments import run_deployment
from pydantic import Field

from flows import events, steps
from mtl.config.retrain import RetrainConfig, load_config
from mtl.fingerprint import sha256_json


@flow(
    name="check-data",
    description="Check whether the data changed, and start a retrain if they changed enough.",
    on_failure=[events.run_ended_badly],
    on_crashed=[events.run_ended_badly],
)
def check_data(
    config: RetrainConfig,
    min_change: Annotated[
        float, Field(ge=0, le=1, description="Share of the training examples, old and new together, that must differ.")
    ] = 0.05,
    deployment: Annotated[
        str, Field(description="The deployment to start, with this configuration.")
    ] = "retrain/nightly",
) -> dict[str, Any]:
    """What changed, the drift that was found, and the run that was started.

    One data set starts one run, and drift starts one a week for each champion, however often they are looked at.
    """
    dataset = steps.prepare(config)
    found = steps.compare_data(config, dataset.fingerprint)
    get_run_logger().info("%.1f%% of the training examples changed", 100 * found.changed)
    enough = found.changed >= max(min_change, 1e-9)
    started = _start(deployment, config, f"data-{found.dataset}") if enough else None
    drift = steps.check_drift(config, dataset.fingerprint)
    alarms = drift.alarms if drift else ()
    if alarms and started is None and config.watch.retrain_on_drift:
        started = _start(deployment, config, f"drift-{sha256_json(alarms[0].cause)[:32]}")
    return asdict(found) | {"drift": [asdict(alarm) for alarm in alarms], "started": started}


def _start(deployment: str, config: RetrainConfig, key: str) -> str:
    """Id of the run that this key starts, or has started."""
    run = run_deployment(
        deployment,
        parameters={"config": config.model_dump(mode="json", by_alias=True)},
        timeout=0,
        as_subflow=False,
        idempotency_key=key,
    )
    assert isinstance(run, FlowRun), "called from a synchronous flow"
    return str(run.id)


if __name__ == "__main__":
    check_data(load_config(Path(sys.argv[1])))
