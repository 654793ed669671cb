"""The services of docker/compose.yaml as processes of this machine: commands, environments, secrets, health checks.

Containers aside, they start as `docker compose up` starts them, on a PostgreSQL and an S3 server of this machine.
"""

from __future__ import annotations

import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
import yaml

from tests.docker.conftest import PASSWORDS, SCRIPTS, Postgres, free_port
from tests.support.s3 import moto

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
COMPOSE = yaml.safe_load((SCRIPTS / "compose.yaml").read_text())
_HOSTS = re.compile(r"\b(?:postgres|s3|mlflow|prefect|webhooks|serve|localhost|127\.0\.0\.1|0\.0\.0\.0):(\d+)")


class Here:
    """Runs services of the compose file, with this machine's ports in the place of theirs."""

    def __init__(self, folder: Path, ports: dict[str, int]) -> None:
        self.folder, self.ports = folder, ports
        self.processes: dict[str, subprocess.Popen[bytes]] = {}

    def here(self, text: str) -> str:
        """An address, a port or a host of the compose file, as it is on this machine."""
        moved = _HOSTS.sub(lambda found: f"127.0.0.1:{self.ports.get(found[1], found[1])}", text)
        moved = re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", moved)
        return {"0.0.0.0": "127.0.0.1", "postgres": "127.0.0.1"}.get(moved, str(self.ports.get(moved, moved)))

    def environment(self, name: str) -> dict[str, str]:
        """What `docker inspect` would show, and where the secrets are."""
        service = COMPOSE["services"][name]
        secrets = self.folder / f"secrets-{name}"
        secrets.mkdir(exist_ok=True)
        for item in service["secrets"]:
            source, target = (item["source"], item["target"]) if isinstance(item, dict) else (item, item)
            shutil.copy(self.folder / "docker" / "secrets" / source, secrets / target)
        path = f"{Path(sys.executable).parent}:{SCRIPTS}:/usr/bin:/bin"
        listen = {"MTL_BIND": "127.0.0.1", "MTL_PORT": str(self.ports["5000"])} if name == "mlflow" else {}
        image = {"PATH": path, "MTL_HOME": str(self.folder / name), "PREFECT_HOME": str(self.folder / name / "prefect")}
        given = {key: self.here(value) for key, value in service["environment"].items()}
        return {
            **image,
            **listen,
            "MTL_SECRETS": str(secrets),
            "TMPDIR": str(self.folder),
            "HOME": str(self.folder),
            **given,
        }

    def start(self, name: str) -> None:
        command = ["with-secrets.sh", *(self.here(word) for word in COMPOSE["services"][name]["command"])]
        with (self.folder / f"{name}.log").open("wb") as log:
            self.processes[name] = subprocess.Popen(
                command, env=self.environment(name), cwd=self.folder, stdout=log, stderr=log, start_new_session=True
            )

    def wait(self, name: str, *, seconds: float) -> None:
        """Until its health check succeeds."""
        _, *check = COMPOSE["services"][name]["healthcheck"]["test"]
        program = [sys.executable, *(self.here(word) for word in check[1:])]
        deadline = time.monotonic() + seconds
        while subprocess.run(program, env=self.environment(name), capture_output=True, check=False).returncode:
            assert self.processes[name].poll() is None, self.log(name)
            assert time.monotonic() < deadline, self.log(name)
            time.sleep(0.5)

    def log(self, name: str) -> str:
        return (self.folder / f"{name}.log").read_text()[-3000:]

    def secrets(self) -> dict[str, str]:
        return {file.name: file.read_text() for file in (self.folder / "docker" / "secrets").iterdir()}

    def end(self) -> None:
        for process in self.processes.values():
            for each in [*psutil.Process(process.pid).children(recursive=True)] if process.poll() is None else []:
                each.kill()
            process.kill()
            process.wait()


@pytest.fixture(scope="module")
def up(databases: Postgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Here]:
    """All services, healthy."""
    folder = tmp_path_factory.mktemp("compose")
    shutil.copytree(SCRIPTS, folder / "docker", ignore=shutil.ignore_patterns("secrets", "project"))
    secrets = folder / "docker" / "secrets"
    secrets.mkdir()
    for name, password in PASSWORDS.items():
        (secrets / name).write_text(password)
    subprocess.run([str(folder / "docker" / "setup.sh")], check=True, capture_output=True)
    with ExitStack() as stack:
        s3 = stack.enter_context(moto())["AWS_ENDPOINT_URL_S3"]
        ports = {port: free_port() for port in ("5000", "4200", "4300", "5002", "8080")}
        ports |= {"5432": databases.port, "8333": int(s3.rpartition(":")[2])}
        here = Here(folder, ports)
        stack.callback(here.end)
        here.start("bucket")
        assert here.processes["bucket"].wait(60) == 0, here.log("bucket")
        for name in ("mlflow", "prefect", "serve"):
            here.start(name)
        for name in ("mlflow", "prefect", "serve"):
            here.wait(name, seconds=200)
        for name in ("webhooks", "worker"):
            here.start(name)
        for name in ("webhooks", "worker"):
            here.wait(name, seconds=200)
        yield here


def test_each_service_has_its_databases_and_cannot_get_into_others(databases: Postgres) -> None:
    mlflow, prefect = PASSWORDS.values()
    own = [("mlflow", mlflow, "mlflow"), ("mlflow", mlflow, "mlflow_auth"), ("prefect", prefect, "prefect")]
    for user, password, database in own:
        done = databases.psql(user, password, database, "create table t (x int); drop table t; select 1")
        assert done.returncode == 0, done.stderr
    assert "permission denied for database" in databases.psql("mlflow", mlflow, "prefect").stderr
    assert "permission denied for database" in databases.psql("prefect", prefect, "mlflow").stderr
    assert "password authentication failed" in databases.psql("mlflow", "wrong", "mlflow").stderr


def test_no_secret_is_in_what_docker_would_show_nor_on_a_command_line(up: Here) -> None:
    secrets = {value for value in up.secrets().values() if value}
    for name, process in up.processes.items():
        shown = up.environment(name).values()
        assert not [secret for secret in secrets if any(secret in value for value in shown)], name
        if process.poll() is None:
            for each in [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]:
                line = " ".join(each.cmdline())
                assert not [secret for secret in secrets if secret in line], name
    (config,) = up.folder.glob("tmp.*/auth.ini")
    assert not [secret for secret in secrets if secret in config.read_text()]


def test_mlflow_and_prefect_take_the_passwords_of_the_files_and_no_others(up: Here) -> None:
    mlflow = f"http://127.0.0.1:{up.ports['5000']}/api/2.0/mlflow/experiments/search?max_results=1"
    secrets = up.secrets()
    assert httpx.get(mlflow, auth=("admin", secrets["MLFLOW_AUTH_ADMIN_PASSWORD"]), timeout=30).status_code == 200
    assert httpx.get(mlflow, timeout=30).status_code == 401
    assert httpx.get(mlflow, auth=("admin", "password1234"), timeout=30).status_code == 401  # MLflow's default
    deadline = time.monotonic() + 90  # it enters the pool when it has started
    while not workers(up) and time.monotonic() < deadline:
        time.sleep(0.5)
    assert len(workers(up)) == 1
    refused = httpx.post(f"http://127.0.0.1:{up.ports['4200']}/api/flows/count", json={}, timeout=30)
    assert refused.status_code == 401


def test_the_server_waits_for_a_champion_and_asks_for_the_key(up: Here) -> None:
    url = f"http://127.0.0.1:{up.ports['5002']}"
    health = httpx.get(f"{url}/health", timeout=30)
    assert (health.status_code, health.json()["version"]) == (503, None)
    body = {"task": "summarize", "text": "The ferry left."}
    assert httpx.post(f"{url}/v1/generate", json=body, timeout=30).status_code == 401
    key = {"authorization": f"Bearer {up.secrets()['MTL_SERVE_KEY']}"}
    answer = httpx.post(f"{url}/v1/generate", json=body, headers=key, timeout=30)
    assert answer.status_code == 503
    assert "no champion" in answer.json()["error"]["message"]


def api(up: Here, path: str, body: dict[str, Any]) -> Any:
    user, password = up.secrets()["PREFECT_API_AUTH_STRING"].split(":")
    answer = httpx.post(f"http://127.0.0.1:{up.ports['4200']}/api/{path}", json=body, auth=(user, password), timeout=30)
    answer.raise_for_status()
    return answer.json()


def workers(up: Here) -> list[dict[str, Any]]:
    return list(api(up, "work_pools/mtl/workers/filter", {}))


def deployments(up: Here) -> dict[str, dict[str, Any]]:
    return {f"{item['entrypoint']} {item['name']}": item for item in api(up, "deployments/filter", {})}


def mtl(up: Here, *arguments: str) -> subprocess.CompletedProcess[str]:
    """A command as `docker compose exec worker mtl ...` runs it: the secrets are not in its environment."""
    command = [str(Path(sys.executable).with_name("mtl")), *arguments]
    return subprocess.run(
        command, env=up.environment("worker"), cwd=up.folder, capture_output=True, text=True, check=False
    )


def test_commands_in_the_workers_container_find_the_secrets(up: Here) -> None:
    done = mtl(up, "doctor")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "PREFECT_API_AUTH_STRING" in done.stdout


def test_a_worker_that_starts_again_keeps_its_name_and_what_was_deployed(up: Here) -> None:
    (up.folder / "mine.yaml").write_bytes(Path("mtl/conf/demo.yaml").read_bytes())
    done = mtl(up, "deploy", "-c", "mine.yaml", "--cron", "30 2 * * *", "--timezone", "Europe/Berlin")
    assert done.returncode == 0, done.stdout + done.stderr
    before = deployments(up)
    up.processes["worker"].send_signal(signal.SIGTERM)
    assert up.processes["worker"].wait(60) == 143, up.log("worker")
    up.start("worker")
    up.wait("worker", seconds=200)
    after = deployments(up)
    for name, item in after.items():
        assert all(item[key] == before[name][key] for key in ("parameters", "job_variables")), name
    schedule = after["flows.retrain.retrain nightly"]["schedules"][0]["schedule"]
    assert (schedule["cron"], schedule["timezone"]) == ("30 2 * * *", "Europe/Berlin")
    assert [worker["name"] for worker in workers(up)] == ["worker"]
