"""The watch-served flow: a new champion that serves its users worse than the version before it is rolled back.

python -m flows.watch_served conf/demo.yaml
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from prefect import flow
from prefect.client.schemas.objects import State
from prefect.states import Completed

from flows import events, steps
from mtl.config.retrain import RetrainConfig, load_config
from mtl.pipeline.watch_served import Outcome


@flow(
    name="watch-served",
    description="Compare what the champion and the version before it served, and roll back a champion that is worse.",
    on_failure=[events.run_ended_badly],
    on_crashed=[events.run_ended_badly],
)
def watch_served(config: RetrainConfig) -> State[dict[str, Any]]:
    """What was compared, what was done, and why. People hear of a rollback, and once of one that waits for them."""
    found = steps.watch_served(config)
    if found.outcome is Outcome.ROLLED_BACK:
        events.champion_changed(found.model)
    elif found.outcome is Outcome.NEEDS_PERSON:
        text = f"v{found.champion} serves worse, and is not rolled back without a person\n{found.text}"
        events.data_alarm(found.model, text, key=f"served {found.seq}", payload=found.to_json())
    return Completed(message=f"{found.outcome}: {found.text}"[:1000], data=found.to_json())


if __name__ == "__main__":
    watch_served(load_config(Path(sys.argv[1])))
