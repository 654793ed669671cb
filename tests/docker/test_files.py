"""Dockerfile, compose file, policies: checked by their linters and schemas. No image is built here."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import boto3
import pytest
import yaml
from botocore.exceptions import ClientError
from moto import mock_aws
from moto.core import set_initial_no_auth_action_count

from mtl.errors import PermanentError
from mtl.settings_service import KNOWN
from mtl.store.probe import probe_store
from mtl.store.s3 import S3Store

FOLDER = Path("docker")
OURS = ("mlflow", "prefect", "webhooks", "worker", "worker-gpu", "bucket")


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    return dict(yaml.safe_load((FOLDER / "compose.yaml").read_text()))


def run(*command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, **environment})


def test_hadolint_finds_nothing() -> None:
    hadolint = Path(sys.executable).parent / "hadolint"
    done = run(str(hadolint), str(FOLDER / "Dockerfile"))
    assert (done.returncode, done.stdout) == (0, "")


def test_the_scripts_are_whole_and_posix() -> None:
    for script in FOLDER.glob("*.sh"):
        assert run("sh", "-n", str(script)).returncode == 0
        assert os.access(script, os.X_OK)
        assert "set -eu" in script.read_text()


def test_the_compose_file_is_valid_by_the_published_schema() -> None:
    done = run(
        *(sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec"),
        str(FOLDER / "compose.yaml"),
    )
    assert done.returncode == 0, done.stdout


def test_images_are_pinned_and_everything_runs_unprivileged_and_read_only(compose: dict[str, Any]) -> None:
    for name, service in compose["services"].items():
        assert not service["image"].endswith(":latest"), name
        assert re.search(r":[\w.-]+$", service["image"]), name
        assert service["read_only"] is True, name
        assert service["cap_drop"] == ["ALL"], name
        assert "no-new-privileges:true" in service["security_opt"], name
        assert "privileged" not in service, name
    dockerfile = (FOLDER / "Dockerfile").read_text()
    assert re.search(r"^USER 10001:10001$", dockerfile, re.M)
    assert "/opt/mtl/bin" in dockerfile


def test_only_loopback_is_published_and_nothing_but_what_people_open(compose: dict[str, Any]) -> None:
    ports = {name: service["ports"] for name, service in compose["services"].items() if "ports" in service}
    assert set(ports) == {"mlflow", "prefect", "webhooks"}
    assert all(port.startswith("127.0.0.1:") for published in ports.values() for port in published)


def test_no_secret_has_a_default_and_the_example_names_them_all() -> None:
    text = (FOLDER / "compose.yaml").read_text()
    example = dict(
        line.split("=", 1)
        for line in (FOLDER / ".env.example").read_text().splitlines()
        if re.match(r"[A-Z_0-9]+=", line)
    )
    used = set(re.findall(r"\$\{(\w+)", text))
    assert used <= set(example)
    required = set(re.findall(r"\$\{(\w+):\?", text))
    optional = set(re.findall(r"\$\{(\w+):-", text))
    secret = {name for name in used if re.search("PASSWORD|SECRET|KEY|TOKEN|AUTH", name)}
    assert secret <= required
    assert not secret & optional
    assert all(example[name] == "" for name in secret)


def test_every_setting_in_it_is_one_that_something_reads(compose: dict[str, Any]) -> None:
    own = {"MTL_POSTGRES_MLFLOW_PASSWORD", "MTL_POSTGRES_PREFECT_PASSWORD", "MTL_MLFLOW_AUTH_DATABASE", "MTL_ARTIFACTS"}
    own |= {"MTL_CONFIG"}
    scripts = "".join(script.read_text() for script in FOLDER.glob("*.sh"))
    for service in compose["services"].values():
        for name in service.get("environment", {}):
            if name.startswith("MTL_"):
                assert name in KNOWN or (name in own and name in scripts), name


def test_services_wait_for_what_they_need_and_say_whether_they_are_well(compose: dict[str, Any]) -> None:
    services = compose["services"]
    for name, service in services.items():
        for needed, how in service.get("depends_on", {}).items():
            assert needed in services, name
            if how["condition"] == "service_healthy":
                assert "healthcheck" in services[needed], needed
    assert services["worker"]["depends_on"]["bucket"]["condition"] == "service_completed_successfully"


def test_the_commands_in_it_exist(compose: dict[str, Any]) -> None:
    """By name: those of our image are run natively by the tests of the stack and of these scripts."""
    ours = Path(sys.executable).parent
    for name in OURS:
        program = compose["services"][name]["command"][0]
        assert (FOLDER / program).exists() or (ours / program).exists() or shutil.which(program), program


@pytest.mark.parametrize("missing", ["MLFLOW_BACKEND_STORE_URI", "MLFLOW_AUTH_ADMIN_PASSWORD", "MTL_ARTIFACTS"])
def test_mlflow_does_not_start_half_configured(missing: str) -> None:
    given = {
        "MLFLOW_BACKEND_STORE_URI": "x",
        "MTL_MLFLOW_AUTH_DATABASE": "x",
        "MLFLOW_AUTH_ADMIN_PASSWORD": "x",
        "MLFLOW_FLASK_SERVER_SECRET_KEY": "x",
        "MTL_ARTIFACTS": "x",
    }
    done = run(str(FOLDER / "mlflow-server.sh"), **(given | {missing: ""}))
    assert done.returncode != 0
    assert missing in done.stderr


@pytest.fixture
def clients(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A maker of S3 clients of users with a policy, on an S3 that asks IAM about each request."""
    for name in ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "root")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "root-secret")

    def make(policy: str) -> Any:
        iam = boto3.client("iam", region_name="us-east-1")
        iam.create_user(UserName=policy)
        document = (FOLDER / policy).read_text()
        iam.put_user_policy(UserName=policy, PolicyName="mtl", PolicyDocument=document)
        key = iam.create_access_key(UserName=policy)["AccessKey"]
        return boto3.client(
            "s3",
            region_name="us-east-1",
            aws_access_key_id=key["AccessKeyId"],
            aws_secret_access_key=key["SecretAccessKey"],
        )

    return make


@mock_aws
def test_the_policy_is_enough_for_the_store_and_for_no_more(clients: Any, tmp_path: Path) -> None:
    boto3.client("s3", region_name="us-east-1").create_bucket(Bucket="mtl")
    client = clients("s3-policy.json")
    big = tmp_path / "big"
    big.write_bytes(b"x" * (6 << 20))

    @set_initial_no_auth_action_count(0)
    def with_iam() -> None:
        store = S3Store("mtl", "store", client, part=5 << 20, patience=5.0)
        probe_store(store)
        store.put_file("big", big)  # in parts
        store.get_file("big", tmp_path / "back")
        assert store.head("missing") is None
        assert store.sweep(before=0.0) == 0
        with pytest.raises(PermanentError, match="access denied"):
            S3Store("mtl", "elsewhere", client, patience=5.0).put("x", b"x")
        for refused in ("delete_bucket", "get_bucket_policy"):
            with pytest.raises(ClientError, match="AccessDenied"):
                getattr(client, refused)(Bucket="mtl")

    with_iam()


@mock_aws
def test_a_consumer_reads_releases_alone(clients: Any) -> None:
    boto3.client("s3", region_name="us-east-1").create_bucket(Bucket="mtl")
    owner = S3Store("mtl", "store", clients("s3-policy.json"), patience=5.0)
    for key in ("releases/m/v1/manifest.json", "runs/secret"):
        owner.put(key, b"{}")
    client = clients("s3-policy-consumer.json")

    @set_initial_no_auth_action_count(0)
    def with_iam() -> None:
        store = S3Store("mtl", "store", client, patience=5.0)
        assert store.get("releases/m/v1/manifest.json") == b"{}"
        assert [info.key for info in store.list("releases/m/")] == ["releases/m/v1/manifest.json"]
        for refused in (lambda: store.get("runs/secret"), lambda: store.put("releases/m/v1/manifest.json", b"x")):
            with pytest.raises(PermanentError, match="access denied"):
                refused()

    with_iam()


def test_policies_name_no_wildcard_action() -> None:
    for path in FOLDER.glob("s3-policy*.json"):
        for statement in json.loads(path.read_text())["Statement"]:
            actions = statement["Action"]
            assert all("*" not in action for action in ([actions] if isinstance(actions, str) else actions))
