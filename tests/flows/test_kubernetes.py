"""The Kubernetes templates as Prefect's own worker renders them; here, because it asks a server for blocks."""

from __future__ import annotations

import asyncio
import json
import uuid
from pathlib import Path

import kubernetes_validate
import pytest
from prefect.client.schemas.objects import FlowRun


def test_prefects_own_worker_renders_it() -> None:
    pytest.importorskip("prefect_kubernetes", reason="pip install 'mtl-retrain[kubernetes]'")
    from prefect_kubernetes.worker import KubernetesWorkerJobConfiguration

    template = json.loads(Path("deployments/kubernetes/pool.json").read_text())
    made = asyncio.run(KubernetesWorkerJobConfiguration.from_template_and_values(template, {"gpus": 1}))
    made.prepare_for_flow_run(FlowRun(id=uuid.uuid4(), flow_id=uuid.uuid4(), name="nightly"))
    pod = made.job_manifest["spec"]["template"]["spec"]
    assert [pod.pop(field) for field in ("parallelism", "completions")] == [1, 1]  # see tests/deployments
    kubernetes_validate.validate(made.job_manifest, "1.33", strict=True)
    (container,) = pod["containers"]
    environment = {item["name"]: item.get("value") for item in container["env"]}
    assert environment["PREFECT_FLOW_RUN_EXECUTE_SIGTERM_BEHAVIOR"] == "reschedule"
    assert container["args"] == ["python", "-m", "prefect", "flow-run", "execute"]
