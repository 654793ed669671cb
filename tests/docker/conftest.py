"""A PostgreSQL server like that of the container, started here, with the databases of docker/postgres-init.sh."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

SCRIPTS = Path("docker").resolve()
PASSWORDS = {"MTL_POSTGRES_MLFLOW_PASSWORD": "of-mlflow-7'x%", "MTL_POSTGRES_PREFECT_PASSWORD": "of-prefect-8@/x"}


@dataclass
class Postgres:
    """A server of this machine's own, with the superuser `postgres` on its socket."""

    folder: Path
    port: int

    @property
    def environment(self) -> dict[str, str]:
        return {"PGHOST": str(self.folder), "PGPORT": str(self.port), "POSTGRES_USER": "postgres"}

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
def databases(postgres: Postgres, tmp_path_factory: pytest.TempPathFactory) -> Postgres:
    """After docker/postgres-init.sh."""
    secrets = tmp_path_factory.mktemp("secrets")
    for name, password in PASSWORDS.items():
        (secrets / name).write_text(password)
    done = subprocess.run(
        [str(SCRIPTS / "postgres-init.sh")],
        env={**os.environ, **postgres.environment, "MTL_SECRETS": str(secrets)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert not [password for password in PASSWORDS.values() if password in done.stdout + done.stderr]
    return postgres
