"""The Ray manifests: checked against KubeRay's published schemas, and their pods against Kubernetes' own."""

from __future__ import annotations

import json
import lzma
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from jsonschema import Draft202012Validator, ValidationError

from mtl.config.retrain import load_config

FOLDER = Path("deployments/kubernetes")
SCHEMAS = Path(__file__).parent / "kuberay"
VERSIONS = ("1.31", "1.33")
NAMES = {"RayCluster": "ray-cluster.yaml", "RayJob": "ray-job.yaml"}
KINDS = sorted(NAMES)

Document = dict[str, Any]


def manifest(kind: str) -> Document:
    """The manifest as a tree without YAML's anchors, so that a test may change one place alone."""
    return dict(json.loads(json.dumps(yaml.safe_load((FOLDER / NAMES[kind]).read_text()))))


def validate(item: Document) -> None:
    """As `kubectl create` does it: an unknown field is refused too."""
    schema = json.loads(lzma.decompress((SCHEMAS / f"{item['kind'].lower()}s.json.xz").read_bytes()))
    Draft202012Validator(closed(schema)).validate(item)


def closed(schema: Any) -> Any:
    """The schema, in which objects have no other properties than those that it names; `metadata` it leaves open."""
    if isinstance(schema, list):
        return [closed(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    found = {name: closed(value) for name, value in schema.items()}
    if isinstance(schema.get("properties"), dict) and schema.get("type") == "object":
        found.setdefault("additionalProperties", False)
    return found


def cluster(item: Document) -> Document:
    found: Document = item["spec"] if item["kind"] == "RayCluster" else item["spec"]["rayClusterSpec"]
    return found


def groups(item: Document) -> dict[str, Document]:
    return {group["groupName"]: group for group in cluster(item)["workerGroupSpecs"]}


def templates(item: Document) -> dict[str, Document]:
    """Every pod that comes of the manifest, by what it is."""
    found = {"head": cluster(item)["headGroupSpec"]["template"]}
    found |= {name: group["template"] for name, group in groups(item).items()}
    return found | ({"submitter": item["spec"]["submitterPodTemplate"]} if item["kind"] == "RayJob" else {})


@pytest.mark.parametrize("kind", KINDS)
def test_kuberay_takes_it(kind: str) -> None:
    item = manifest(kind)
    validate(item)
    assert (item["apiVersion"], item["kind"], item["metadata"]["namespace"]) == ("ray.io/v1", kind, "mtl")


def _misspell(spec: Document) -> None:
    spec["enableAutoscaling"] = spec.pop("enableInTreeAutoscaling")


def _forget(spec: Document) -> None:
    del spec["workerGroupSpecs"][1]["groupName"]


def _number(spec: Document) -> None:
    spec["headGroupSpec"]["rayStartParams"]["num-cpus"] = 0


def _unknown_mode(spec: Document) -> None:
    spec["authOptions"]["mode"] = "password"


def _grace(spec: Document) -> None:
    spec["workerGroupSpecs"][0]["template"]["spec"]["terminationGracePeriod"] = 110


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (_misspell, "'enableAutoscaling' was unexpected"),
        (_forget, "'groupName' is a required property"),
        (_number, "0 is not of type 'string'"),
        (_unknown_mode, "'password' is not one of"),
        (_grace, "'terminationGracePeriod' was unexpected"),
    ],
)
def test_a_wrong_one_is_refused(kind: str, spoil: Callable[[Document], None], said: str) -> None:
    item = manifest(kind)
    spoil(cluster(item))
    with pytest.raises(ValidationError) as caught:
        validate(item)
    assert said in caught.value.message


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("version", VERSIONS)
def test_its_pods_are_ones_that_kubernetes_takes(kind: str, version: str) -> None:
    for name, template in templates(manifest(kind)).items():
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, **template["metadata"]}}
        kubernetes_validate.validate(pod | {"spec": template["spec"]}, version, strict=True)


@pytest.mark.parametrize("kind", KINDS)
def test_pods_run_unprivileged_on_a_read_only_root(kind: str) -> None:
    item = manifest(kind)
    contexts = [cluster(item)["autoscalerOptions"]["securityContext"]]
    for template in templates(item).values():
        spec = template["spec"]
        assert (spec["securityContext"]["runAsNonRoot"], spec["securityContext"]["runAsUser"]) == (True, 10001)
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert not {"hostNetwork", "hostPID", "hostPath"} & set(str(spec).replace("'", " ").split())
        contexts += [container["securityContext"] for container in spec["containers"]]
    for context in contexts:
        assert context["allowPrivilegeEscalation"] is False
        assert context["readOnlyRootFilesystem"] is True
        assert context["capabilities"] == {"drop": ["ALL"]}


@pytest.mark.parametrize("kind", KINDS)
def test_secrets_come_by_reference_and_only_the_head_may_speak_to_kubernetes(kind: str) -> None:
    item = manifest(kind)
    for name, template in templates(item).items():
        spec = template["spec"]
        assert (spec.get("automountServiceAccountToken", True), spec["serviceAccountName"]) == (
            (True, "mtl-ray-head") if name == "head" else (False, "mtl-run")
        )
        for container in spec["containers"] if name != "submitter" else []:
            assert container["envFrom"] == [{"secretRef": {"name": "mtl-env"}}]
            assert not [variable for variable in container.get("env", []) if "SECRET" in variable["name"]]
    assert cluster(item)["authOptions"] == {"mode": "token"}


@pytest.mark.parametrize("kind", KINDS)
def test_every_pod_writes_to_volumes_of_its_own(kind: str) -> None:
    for name, template in templates(manifest(kind)).items():
        volumes = {volume["name"]: volume for volume in template["spec"]["volumes"]}
        for container in template["spec"]["containers"]:
            written = [mount for mount in container["volumeMounts"] if not mount.get("readOnly")]
            assert all("emptyDir" in volumes[mount["name"]] for mount in written)
            places = {mount["mountPath"] for mount in written}
            assert places == ({"/tmp"} if name == "submitter" else {"/var/lib/mtl", "/tmp", "/dev/shm"})


@pytest.mark.parametrize("kind", KINDS)
def test_the_head_does_no_work_and_workers_grow_from_nothing_on_spot_nodes(kind: str) -> None:
    item = manifest(kind)
    assert cluster(item)["headGroupSpec"]["rayStartParams"]["num-cpus"] == "0"
    assert "tolerations" not in templates(item)["head"]["spec"]  # whoever drives the work is not taken away
    assert cluster(item)["enableInTreeAutoscaling"] is True
    assert set(groups(item)) == {"cpu", "gpu"}
    for name, group in groups(item).items():
        assert group["minReplicas"] == 0 < group["maxReplicas"]
        spec = group["template"]["spec"]
        assert spec["terminationGracePeriodSeconds"] >= 60
        keys = {toleration["key"] for toleration in spec["tolerations"]}
        assert {"cloud.google.com/gke-spot", "kubernetes.azure.com/scalesetpriority", "spot"} <= keys
        limits = spec["containers"][0]["resources"]["limits"]
        assert ("nvidia.com/gpu" in keys, "nvidia.com/gpu" in limits) == (name == "gpu", name == "gpu")


@pytest.mark.parametrize("kind", KINDS)
def test_the_ray_that_it_names_is_the_tested_one(kind: str) -> None:
    assert cluster(manifest(kind))["rayVersion"] == metadata.version("ray")


def test_runs_are_driven_where_the_cluster_is() -> None:
    """The job's entry point, and Prefect's worker beside the head, which is in the cluster as the head is."""
    assert manifest("RayJob")["spec"]["entrypoint"] == "env RAY_ADDRESS=auto mtl retrain -c retrain.yaml"
    item = manifest("RayCluster")
    spec = templates(item)["head"]["spec"]
    head, worker = spec["containers"]
    assert worker["command"][:3] == ["prefect", "worker", "start"]
    assert worker["volumeMounts"] == head["volumeMounts"]
    assert spec["shareProcessNamespace"] is True
    environment = {variable["name"]: variable for variable in worker["env"]}
    token = {"name": item["metadata"]["name"], "key": "auth_token"}  # as KubeRay names it
    assert environment["RAY_AUTH_TOKEN"]["valueFrom"] == {"secretKeyRef": token}
    assert environment["RAY_ADDRESS"]["value"] == "auto"


def objects() -> list[Document]:
    return list(yaml.safe_load_all((FOLDER / "ray.yaml").read_text()))


@pytest.mark.parametrize("version", VERSIONS)
def test_what_the_pods_find_in_the_namespace_is_valid(version: str) -> None:
    for item in objects():
        kubernetes_validate.validate(item, version, strict=True)
    assert {item["metadata"]["namespace"] for item in objects()} == {"mtl"}


@pytest.mark.parametrize("kind", KINDS)
def test_pods_are_reached_by_one_another(kind: str) -> None:
    (policy,) = [item for item in objects() if item["kind"] == "NetworkPolicy"]
    (account,) = [item for item in objects() if item["kind"] == "ServiceAccount"]
    member = policy["spec"]["podSelector"]["matchLabels"]
    assert policy["spec"]["ingress"][0] == {"from": [{"podSelector": {"matchLabels": member}}]}
    for template in templates(manifest(kind)).values():
        assert member.items() <= template["metadata"]["labels"].items()
    assert templates(manifest(kind))["head"]["spec"]["serviceAccountName"] == account["metadata"]["name"]


def test_a_configuration_says_that_ray_does_the_work(tmp_path: Path) -> None:
    path = tmp_path / "retrain.yaml"
    path.write_text(Path("conf/demo.yaml").read_text() + "\nrun: {engine: ray}\n")
    assert load_config(path).run.engine == "ray"
