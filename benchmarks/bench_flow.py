"""What the service costs: a whole retrain on the stack against the same steps called directly.

    python benchmarks/bench_flow.py [--quick]

Brings up a stack of its own (PostgreSQL, S3, MLflow, Prefect, a worker). Runs of the deployment and direct calls in a
process of their own alternate, each trains from scratch, both use the same services. The last line is one JSON object:
`overhead_seconds` is the time of the flow run from Running to Completed less that of the direct calls (at most 3),
`ratio` the two divided, `start_seconds` from the click to Running (worker's poll and two new processes).
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.support.stacks import PROJECT, Service, running_stack

_DIRECT = """
import json, sys, time
from mtl.config.retrain import parse_config
from mtl.pipeline import gate, outcome, promote, prune
from mtl.pipeline.evaluate import evaluate
from mtl.pipeline.prepare import prepare
from mtl.pipeline.register import register
from mtl.pipeline.train import train
from mtl.workspace import open_workspace
config = parse_config(json.loads(sys.argv[1]))
began = time.monotonic()  # imports are not counted: those of the flow come before Running too
workspace = open_workspace()
dataset = prepare(workspace, config)
trained = train(workspace, config, dataset.fingerprint)
assert outcome.find_outcome(workspace, config, trained) is None
evaluation = evaluate(workspace, config, dataset.fingerprint, trained)
registered = register(workspace, config, dataset, trained, evaluation)
decision = gate.decide(workspace, config, evaluation, registered)
promotion = promote.promote(workspace, registered, decision)
outcome.keep_outcome(workspace, config, trained, evaluation, registered, decision, promotion)
prune.prune_afterwards(workspace)
print(json.dumps({"seconds": time.monotonic() - began, "adapter": trained.adapter_sha256}))
"""


def direct(service: Service, config: dict[str, Any]) -> dict[str, Any]:
    """The steps in one process, with the environment of the worker."""
    service.forget_runs()
    environment = {**os.environ, **service.environment, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", _DIRECT, json.dumps(config)]
    done = subprocess.run(command, env=environment, cwd=PROJECT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def on_the_stack(service: Service, config: dict[str, Any]) -> dict[str, Any]:
    """The deployed flow, triggered over the network."""
    service.forget_runs()
    clicked = time.time()
    run = service.wait(service.trigger("retrain/demo", {"config": config}))
    from datetime import datetime

    started, ended = (datetime.fromisoformat(run[name]).timestamp() for name in ("start_time", "end_time"))
    model = config["register"]["model"]
    return {"seconds": ended - started, "start": started - clicked, "adapter": service.adapter(model)}


def main() -> None:
    """Alternate, and print the medians."""
    parser = argparse.ArgumentParser(description="What the service costs")
    parser.add_argument("--quick", action="store_true", help="one pair instead of three")
    pairs = 1 if parser.parse_args().quick else 3
    sides: dict[str, list[dict[str, Any]]] = {"direct": [], "stack": []}
    with running_stack() as service:
        up = service.up()
        service.mtl("deploy")
        on_the_stack(service, service.config("warm-up"))  # data set prepared, caches warm, on both sides
        for number in range(pairs):
            sides["direct"].append(direct(service, service.config(f"direct-{number}")))
            sides["stack"].append(on_the_stack(service, service.config(f"stack-{number}")))
    assert len({run["adapter"] for runs in sides.values() for run in runs}) == 1, "both sides train the same"
    seconds = {name: statistics.median(run["seconds"] for run in runs) for name, runs in sides.items()}
    result = {
        "ratio": round(seconds["stack"] / seconds["direct"], 4),
        "overhead_seconds": round(seconds["stack"] - seconds["direct"], 2),
        "stack_seconds": [round(run["seconds"], 2) for run in sides["stack"]],
        "direct_seconds": [round(run["seconds"], 2) for run in sides["direct"]],
        "start_seconds": round(statistics.median(run["start"] for run in sides["stack"]), 2),
        "up_seconds": max(up["seconds"].values()),
        "idle_memory_mb": up["memory_mb"],
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
