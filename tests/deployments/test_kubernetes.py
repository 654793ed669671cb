"""The Kubernetes templates: rendered as Prefect renders them, and checked against Kubernetes' own schemas."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from jsonschema import Draft202012Validator
from prefect.utilities.templating import apply_values, find_placeholders

from mtl.settings.service import ServeSettings

FOLDER = Path("deployments/kubernetes")
VERSIONS = ("1.31", "1.33")
GIVEN = {"name": "nightly-run", "env": {"A": "b"}}


def template(name: str) -> dict[str, Any]:
    return dict(json.loads((FOLDER / name).read_text()))


def render(name: str, **given: Any) -> dict[str, Any]:
    """The job that a pool with this template makes with its defaults and `given`."""
    found = template(name)
    Draft202012Validator.check_schema(found["variables"])
    properties = found["variables"]["properties"]
    values = {key: schema["default"] for key, schema in properties.items() if "default" in schema}
    values |= GIVEN | given
    Draft202012Validator(found["variables"]).validate(values)
    manifest: dict[str, Any] = apply_values(found["job_configuration"]["job_manifest"], values)
    container = manifest["spec"]["template"]["spec"]["containers"][0]
    container["args"] = container["args"].split()  # as the worker does
    pod = manifest["spec"]["template"]["spec"]  # the worker demands these of a pod, and Kubernetes leaves them out
    assert [pod.pop(name) for name in ("parallelism", "completions")] == [1, 1]
    return manifest


def pod(manifest: dict[str, Any]) -> dict[str, Any]:
    return dict(manifest["spec"]["template"]["spec"])


@pytest.mark.parametrize("version", VERSIONS)
def test_the_job_is_one_that_kubernetes_takes(version: str) -> None:
    for given in ({}, {"gpus": 4, "trainer_processes": "4", "node_selector": {"gpu": "h100"}, "tolerations": []}):
        kubernetes_validate.validate(render("pool.json", **given), version, strict=True)


def test_a_wrong_job_is_not_taken() -> None:
    manifest = render("pool.json")
    manifest["spec"]["template"]["spec"]["terminationGracePeriod"] = 1
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(manifest, VERSIONS[-1], strict=True)


def test_every_variable_is_used_and_every_placeholder_is_a_variable() -> None:
    found = template("pool.json")
    used = {place.name for place in find_placeholders(json.dumps(found["job_configuration"]))}
    assert used == set(found["variables"]["properties"])
    assert all(schema.get("description") for schema in found["variables"]["properties"].values())


def test_it_runs_unprivileged_and_gets_secrets_by_reference_alone() -> None:
    manifest = render("pool.json")
    spec, container = pod(manifest), pod(manifest)["containers"][0]
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["automountServiceAccountToken"] is False
    assert container["securityContext"]["readOnlyRootFilesystem"] is True
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert container["envFrom"] == [{"secretRef": {"name": "mtl-env"}}]
    assert not {"privileged", "hostNetwork", "hostPath"} & set(str(manifest).replace("'", " ").split())
    written = {mount["mountPath"] for mount in container["volumeMounts"]}
    assert written == {"/var/lib/mtl", "/tmp", "/dev/shm"}


def test_a_spot_node_that_is_taken_leaves_time_for_a_checkpoint_and_prefect_reschedules() -> None:
    manifest = render("pool.json")
    assert manifest["spec"]["backoffLimit"] == 0  # with it, Prefect's worker lets the run be rescheduled on SIGTERM
    assert pod(manifest)["restartPolicy"] == "Never"
    assert pod(manifest)["terminationGracePeriodSeconds"] >= 60
    keys = {toleration["key"] for toleration in pod(manifest)["tolerations"]}
    assert {"cloud.google.com/gke-spot", "nvidia.com/gpu"} <= keys


def test_a_gpu_is_asked_for_only_when_wanted() -> None:
    assert pod(render("pool.json"))["containers"][0]["resources"]["limits"]["nvidia.com/gpu"] == 0
    limits = pod(render("pool.json", gpus=2))["containers"][0]["resources"]["limits"]
    assert limits["nvidia.com/gpu"] == 2


def objects(name: str = "mtl.yaml") -> list[dict[str, Any]]:
    return list(yaml.safe_load_all((FOLDER / name).read_text()))


@pytest.mark.parametrize("name", ["mtl.yaml", "serve.yaml"])
@pytest.mark.parametrize("version", VERSIONS)
def test_the_clusters_objects_are_valid(version: str, name: str) -> None:
    for item in objects(name):
        kubernetes_validate.validate(item, version, strict=True)
    assert {item["metadata"].get("namespace", "mtl") for item in objects(name)} == {"mtl"}


def test_the_server_is_reached_by_its_name_only_when_it_can_answer_and_runs_unprivileged() -> None:
    deployment, service, budget, policy = objects("serve.yaml")
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    selectors = [deployment["spec"]["selector"], budget["spec"]["selector"], policy["spec"]["podSelector"]]
    assert [its["matchLabels"] for its in selectors] == [service["spec"]["selector"]] * 3 == [labels] * 3
    spec = deployment["spec"]["template"]["spec"]
    (container,) = spec["containers"]
    assert container["readinessProbe"]["httpGet"] == {"path": "/health", "port": "http"}
    assert container["livenessProbe"]["httpGet"]["path"] != "/health"  # which is 503 while there is no champion
    (port,) = service["spec"]["ports"]
    assert port["targetPort"] == container["ports"][0]["name"]
    assert (spec["securityContext"]["runAsNonRoot"], spec["automountServiceAccountToken"]) == (True, False)
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert {"requests", "limits"} <= set(container["resources"])
    assert container["envFrom"] == [{"secretRef": {"name": "mtl-serve-env"}}]
    assert spec["terminationGracePeriodSeconds"] > ServeSettings(key=None).seconds + 40  # docs/serving.md
