"""Dockerfile, compose files, scripts, policies: checked by their linters and schemas. No image is built here."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

import boto3
import pytest
import yaml
from botocore.exceptions import ClientError
from cryptography.fernet import Fernet
from moto import mock_aws
from moto.core import set_initial_no_auth_action_count
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from mtl.errors import PermanentError
from mtl.settings.table import KNOWN
from mtl.store.probe import probe_store
from mtl.store.s3 import S3Store

FOLDER = Path("docker")
SERVERS = ("mlflow", "prefect", "webhooks", "bucket")
OURS = (*SERVERS, "worker", "serve")


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


@pytest.mark.parametrize("name", ["compose.yaml", "compose.gpu.yaml"])
def test_the_compose_files_are_valid_by_the_published_schema(name: str) -> None:
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", str(FOLDER / name)]
    done = run(*command)
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
    assert set(ports) == {"mlflow", "prefect", "webhooks", "serve"}
    assert all(port.startswith("127.0.0.1:") for published in ports.values() for port in published)


def mounted(service: dict[str, Any]) -> dict[str, str]:
    """Of each secret of a service its name in the container -> its name in the file."""
    pairs: list[dict[str, str]] = [
        item if isinstance(item, dict) else {"source": item} for item in service.get("secrets", [])
    ]
    return {item.get("target", item["source"]): item["source"] for item in pairs}


def test_secrets_are_files_and_none_is_in_an_environment_that_docker_inspect_shows(compose: dict[str, Any]) -> None:
    for name, service in compose["services"].items():
        found = {variable for variable in service.get("environment", {}) if _SECRET.search(variable)}
        assert found <= {"POSTGRES_PASSWORD_FILE"}, name
        assert set(mounted(service).values()) <= set(compose["secrets"]), name
    used = {source for service in compose["services"].values() for source in mounted(service).values()}
    assert used == set(compose["secrets"])
    assert all(secret == {"file": f"./secrets/{name}"} for name, secret in compose["secrets"].items())


_SECRET = re.compile("PASSWORD|SECRET|KEY|TOKEN|AUTH_STRING|SLACK|SMTP")


def test_setup_makes_every_secret_for_nobody_else_and_keeps_what_is_there(
    compose: dict[str, Any], tmp_path: Path
) -> None:
    shutil.copy(FOLDER / "setup.sh", tmp_path)
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "POSTGRES_PASSWORD").write_text("mine")
    for _ in range(2):
        assert run(str(tmp_path / "setup.sh")).returncode == 0
    secrets = {file.name: file.read_text() for file in (tmp_path / "secrets").iterdir()}
    assert set(secrets) == set(compose["secrets"])
    assert secrets["POSTGRES_PASSWORD"] == "mine"
    assert {name for name, value in secrets.items() if not value} == {name for name in secrets if "NOTIFY" in name}
    made = [value for value in secrets.values() if value]
    assert len(set(made)) == len(made)
    assert all(len(value) >= 40 for value in made if value != "mine")
    Fernet(secrets["MLFLOW_WEBHOOK_SECRET_ENCRYPTION_KEY"])  # raises unless it is one
    # Others cannot get into the folder; the users of the containers can read the files that are mounted from it.
    assert (tmp_path / "secrets").stat().st_mode & 0o777 == 0o700
    assert {file.stat().st_mode & 0o777 for file in (tmp_path / "secrets").iterdir()} == {0o444}
    assert (tmp_path / "project").stat().st_mode & 0o777 == 0o755


def test_every_notification_setting_reaches_the_worker(compose: dict[str, Any]) -> None:
    worker = compose["services"]["worker"]
    given = set(worker["environment"]) | set(mounted(worker))
    assert {name for name in KNOWN if name.startswith("MTL_NOTIFY_")} | {"MTL_COST_PER_HOUR"} <= given


def test_the_example_names_every_variable_of_the_compose_file() -> None:
    example = set(re.findall(r"^([A-Z_]+)=", (FOLDER / ".env.example").read_text(), re.M))
    assert set(re.findall(r"\$\{(\w+)", (FOLDER / "compose.yaml").read_text())) == example


def test_every_setting_in_it_is_one_that_something_reads(compose: dict[str, Any]) -> None:
    scripts = "".join(script.read_text() for script in FOLDER.glob("*.sh"))
    for service in compose["services"].values():
        for name in (*service.get("environment", {}), *mounted(service)):
            if name.startswith("MTL_"):
                assert name in KNOWN or name in scripts, name


def test_one_worker_starts_by_itself_under_one_name_and_with_limits(compose: dict[str, Any]) -> None:
    services = compose["services"]
    assert not [name for name, service in services.items() if "profiles" in service]
    worker = services["worker"]
    assert worker["environment"]["MTL_WORKER_NAME"] == "worker"
    assert "healthcheck" in worker
    assert worker["stop_grace_period"] == "5m"
    assert services["serve"]["stop_grace_period"] == "2m"  # it ends within 100 s: docs/serving.md
    assert "cpus" in worker
    for name, service in services.items():
        assert service["init"] is True, name
        assert service["mem_limit"], name
        assert service["pids_limit"], name


def test_data_and_configurations_come_from_a_folder_of_the_host(compose: dict[str, Any]) -> None:
    assert "${MTL_PROJECT:-./project}:/opt/project:ro" in compose["services"]["worker"]["volumes"]
    assert "WORKDIR /opt/project\n" in (FOLDER / "Dockerfile").read_text()


def stages() -> dict[str, list[str]]:
    """Stage of the Dockerfile -> its instructions and those of the stages that it builds on, in their order."""
    found: dict[str, list[str]] = {}
    for text in re.split(r"^FROM ", (FOLDER / "Dockerfile").read_text().replace("\\\n", ""), flags=re.M)[1:]:
        first, *lines = text.splitlines()
        base, _, name = first.partition(" AS ")
        found[name] = [*found.get(base, []), *(line for line in lines if line and not line.startswith("#"))]
    return found


def test_servers_are_images_without_torch(compose: dict[str, Any]) -> None:
    for name in SERVERS:
        target = compose["services"][name]["build"]["target"]
        assert compose["services"][name]["image"] == f"mtl-retrain:{target}"
        assert "torch" not in "\n".join(stages()[target])


@pytest.mark.parametrize("target", ["cpu", "cuda"])
def test_a_changed_line_of_ours_leaves_the_layers_of_torch_and_of_packages(target: str) -> None:
    instructions = stages()[target]
    installs = [line for line in instructions if "pip install" in line]
    torch, packages, ours = installs
    assert torch.endswith(" torch")
    assert "--requirement /tmp/requirements.txt" in packages
    assert "from=wheel" in ours
    assert not [line for line in instructions[: instructions.index(packages) + 1] if line.startswith("COPY")]


@pytest.mark.parametrize(
    ("extras", "more"), [("", []), ("ray", ["ray[default,train]"]), ("ray sign", ["ray[", "model-"])]
)
def test_packages_of_an_extra_are_added_when_asked_for(extras: str, more: list[str], tmp_path: Path) -> None:
    """The line of the Dockerfile, run here."""
    (line,) = [line for line in stages()["requirements"] if line.startswith("RUN python")]
    shutil.copy("pyproject.toml", tmp_path)
    script = f"cd '{tmp_path}'; {line.removeprefix('RUN ')}; cat requirements.txt"
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    done = run("sh", "-ec", script, EXTRAS=extras, PATH=path)
    assert done.returncode == 0, done.stderr
    found = done.stdout.splitlines()
    assert any(name.startswith("torch>=") for name in found)
    assert [any(name.startswith(start) for name in found) for start in more] == [True] * len(more)
    assert any(name.startswith("ray[") for name in found) == ("ray" in extras)


def test_the_image_of_webhooks_has_what_they_import() -> None:
    """The receiver and the maker of the bucket, without any package that is not installed there."""
    install = next(line for line in stages()["webhooks"] if "pip install --constraint" in line)
    there = with_requirements(install.split("/tmp/constraints.txt")[-1].split()) | {"mtl-retrain"}
    owners = metadata.packages_distributions().items()
    absent = [name for name, found in owners if not there & {canonicalize_name(owner) for owner in found}]
    modules = (
        "store.bucket",
        "cli.main",
        "cli.receiving",
        "connections",
        "service.metrics",
        "service.prefect_api",
        "service.webhooks",
        "service.registering",
        "service.status",
        "store.folder",
        "store.s3",
    )
    code = f"import sys; sys.modules.update(dict.fromkeys({absent!r}))\n"
    done = run(sys.executable, "-c", f"{code}import uvicorn, {', '.join(f'mtl.{name}' for name in modules)}")
    assert "torch" in absent
    assert done.returncode == 0, done.stderr[-2000:]


def with_requirements(names: list[str]) -> set[str]:
    """The distributions and what they require, as they are installed here."""
    found: set[str] = set()
    left = {canonicalize_name(name) for name in names}
    while left:
        found.add(name := left.pop())
        wanted = map(Requirement, metadata.requires(name) or [])
        here = [each.name for each in wanted if not each.marker or each.marker.evaluate({"extra": ""})]
        left |= {canonicalize_name(each) for each in here} - found
    return found


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
