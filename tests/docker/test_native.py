"""What the containers start, run here without containers: the same scripts, arguments and settings."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]
SCRIPTS = Path("docker").resolve()
PASSWORDS = {"MTL_POSTGRES_MLFLOW_PASSWORD": "of-mlflow-7'x", "MTL_POSTGRES_PREFECT_PASSWORD": "of-prefect-8"}


@dataclass
class Postgres:
    """A server of this machine's own, with the superuser `postgres` on its socket."""

    folder: Path
    port: int

    @property
    def environment(self) -> dict[str, str]:
        return {"PGHOST": str(self.folder), "PGPORT": str(self.port), "POSTGRES_USER": "postgres", **PASSWORDS}

    def psql(self, user: str, password: str, database: str, sql: str = "select 1") -> subprocess.CompletedProcess[str]:
        command = ["psql", "-w", "-h", "127.0.0.1", "-p", str(self.port), "-U", user, "-tAc", sql, database]
        environment = {"PGPASSWORD": password, "PATH": os.environ["PATH"]}
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


@pytest.fixture(scope="module")
def postgres() -> Iterator[Postgres]:
    binaries = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    if not binaries:
        pytest.skip("postgresql is not installed")
    folder = Path(tempfile.mkdtemp(prefix="mtl-pg-"))  # short: paths of sockets are limited
    user = "postgres" if os.getuid() == 0 else None
    if user:
        shutil.chown(folder, user)
    made = Postgres(folder, free_port())

    def run(*command: str) -> None:
        done = subprocess.run(command, user=user, cwd="/", capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr

    data, options = str(folder / "data"), f"-k {folder} -p {made.port} -c listen_addresses=127.0.0.1"
    run(str(binaries[-1] / "initdb"), "-D", data, "-U", "postgres", "--auth-local=trust", "--auth-host=scram-sha-256")
    run(str(binaries[-1] / "pg_ctl"), "-D", data, "-o", options, "-l", str(folder / "log"), "-w", "start")
    yield made
    run(str(binaries[-1] / "pg_ctl"), "-D", data, "-m", "immediate", "stop")
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def databases(postgres: Postgres) -> Postgres:
    """After docker/postgres-init.sh."""
    done = subprocess.run(
        [str(SCRIPTS / "postgres-init.sh")],
        env={**os.environ, **postgres.environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert not [password for password in PASSWORDS.values() if password in done.stdout + done.stderr]
    return postgres


def test_each_service_has_its_databases_and_cannot_get_into_others(databases: Postgres) -> None:
    mlflow, prefect = PASSWORDS.values()
    own = [("mlflow", mlflow, "mlflow"), ("mlflow", mlflow, "mlflow_auth"), ("prefect", prefect, "prefect")]
    for user, password, database in own:
        done = databases.psql(user, password, database, "create table t (x int); drop table t; select 1")
        assert done.returncode == 0, done.stderr
    assert "permission denied for database" in databases.psql("mlflow", mlflow, "prefect").stderr
    assert "permission denied for database" in databases.psql("prefect", prefect, "mlflow").stderr
    assert "password authentication failed" in databases.psql("mlflow", "wrong", "mlflow").stderr


def test_mlflow_starts_as_in_its_container_and_asks_for_the_password(databases: Postgres, tmp_path: Path) -> None:
    port = free_port()
    address = f"postgresql+psycopg2://mlflow:of-mlflow-7%27x@127.0.0.1:{databases.port}"
    environment = {
        **os.environ,
        "MLFLOW_BACKEND_STORE_URI": f"{address}/mlflow",
        "MTL_MLFLOW_AUTH_DATABASE": f"{address.replace('%', '%%')}/mlflow_auth",  # % is a sign of ini files
        "MLFLOW_AUTH_ADMIN_PASSWORD": "of-admin-9-and-more",
        "MLFLOW_FLASK_SERVER_SECRET_KEY": "sessions",
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "MTL_ARTIFACTS": str(tmp_path / "artifacts"),
        "MTL_BIND": "127.0.0.1",
        "MTL_PORT": str(port),
        "TMPDIR": str(tmp_path),
    }
    with (tmp_path / "log").open("wb") as log:
        server = subprocess.Popen(
            [str(SCRIPTS / "mlflow-server.sh")], env=environment, stdout=log, stderr=log, start_new_session=True
        )
    url = f"http://127.0.0.1:{port}/api/2.0/mlflow/experiments/search?max_results=1"
    try:
        answer = _patiently(url, ("admin", "of-admin-9-and-more"), server, tmp_path / "log")
        assert answer == 200, (tmp_path / "log").read_text()[-2000:]
        assert httpx.get(url, timeout=30).status_code == 401
        assert httpx.get(url, auth=("admin", "password1234"), timeout=30).status_code == 401  # MLflow's default
        (config,) = tmp_path.glob("tmp.*/auth.ini")
        assert config.stat().st_mode & 0o077 == 0
        command = Path(f"/proc/{server.pid}/cmdline").read_text()
        assert "of-admin" not in command
        assert "of-mlflow" not in command
    finally:
        os.killpg(server.pid, signal.SIGKILL)
        server.wait()


def _patiently(url: str, auth: tuple[str, str], server: subprocess.Popen[bytes], log: Path) -> int:
    """Status of the first answer."""
    deadline = time.monotonic() + 200
    while True:
        try:
            return httpx.get(url, auth=auth, timeout=30).status_code
        except httpx.HTTPError:
            assert server.poll() is None, log.read_text()[-2000:]
            assert time.monotonic() < deadline, log.read_text()[-2000:]
            time.sleep(0.5)
