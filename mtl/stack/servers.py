"""MLflow, Prefect, the worker, the receiver and the server of answers.

Every secret goes by environment or file, none on a command line.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from mtl.errors import TransientError
from mtl.stack import postgres
from mtl.stack.environment import client_environment, prefect_login, s3_environment
from mtl.stack.service import Service, answers, ask, run
from mtl.stack.state import BUCKET, POOL, Stack, previous_secrets
from mtl.tracking.revisions import check_not_newer, revisions

HEARTBEAT_SECONDS = 30
"""Prefect takes no less."""


def mlflow(stack: Stack, *, needs: tuple[str, ...]) -> Service:
    """MLflow's server with its login, on PostgreSQL, with artifacts in the object store."""
    config = stack.folder / "mlflow-auth.ini"
    return Service(
        name="mlflow",
        command=(
            *(sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(stack.ports["mlflow"])),
            *("--workers", "1", "--app-name", "basic-auth", "--artifacts-destination", _artifacts(stack)),
        ),
        environment={
            "MLFLOW_BACKEND_STORE_URI": postgres.address(stack, "mlflow", driver="psycopg2"),
            "MLFLOW_AUTH_CONFIG_PATH": str(config),
            "MLFLOW_AUTH_ADMIN_PASSWORD": stack.secrets["mlflow"],
            "MLFLOW_FLASK_SERVER_SECRET_KEY": stack.secrets["mlflow_session"],
            "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",  # 0.5 GB instead of 2.5
            "MLFLOW_DISABLE_TELEMETRY": "true",
            # Webhooks of the registry go to a receiver on this machine.
            "MLFLOW_WEBHOOK_SECRET_ENCRYPTION_KEY": stack.secrets["webhook_encryption"],
            "MLFLOW_WEBHOOK_ALLOWED_SCHEMES": "http,https",
            "MLFLOW_WEBHOOK_ALLOW_PRIVATE_IPS": "true",
            "MLFLOW_WEBHOOK_CACHE_TTL": "5",  # a receiver that was just registered is heard of at once
            **s3_environment(stack),
        },
        needs=needs,
        before=lambda: _prepare_mlflow(stack, config),
        healthy=lambda: _mlflow_answers(stack),
        public=stack.url("mlflow"),
    )


def _mlflow_answers(stack: Stack) -> bool:
    """Whether it takes the password; after a rotation it is told the new one first."""
    login, before = {"user": "admin", "password": stack.secrets["mlflow"]}, previous_secrets(stack)
    if answers(f"{stack.url('mlflow')}/api/2.0/mlflow/experiments/search?max_results=1", **login):
        return True
    if before is not None:
        body = {"username": "admin", "password": stack.secrets["mlflow"], "current_password": before["mlflow"]}
        address = f"{stack.url('mlflow')}/api/2.0/mlflow/users/update-password"
        answers(address, user="admin", password=before["mlflow"], body=body, method="PATCH")
    return False


def _artifacts(stack: Stack) -> str:
    """A prefix beside the store's; a folder stays a folder, as an address that MLflow may decode."""
    if stack.store is None:
        return f"s3://{BUCKET}/mlflow"
    store = stack.store.rstrip("/")
    return f"{store if '://' in store else Path(store).absolute().as_uri()}/mlflow"


def _prepare_mlflow(stack: Stack, config: Path) -> None:
    """Its login, and tables as it expects them: it refuses to start on those of an older version."""
    found = postgres.revision(stack, "mlflow")
    if found is not None:
        check_not_newer("mlflow", found, where="the stack's database mlflow")
        if found != revisions("mlflow").head:
            address = postgres.address(stack, "mlflow", driver="psycopg2")
            run(sys.executable, "-m", "mtl.mlflow_backend.schema", folder=stack.folder, stdin=address)
    _write_auth(stack, config)


def _check_prefect(stack: Stack) -> None:
    """It upgrades tables of an older version itself."""
    found = postgres.revision(stack, "prefect")
    if found is not None:
        check_not_newer("prefect on PostgreSQL", found, where="the stack's database prefect")


def _write_auth(stack: Stack, config: Path) -> None:
    config.unlink(missing_ok=True)
    config.touch(mode=0o600)
    config.write_text(
        "[mlflow]\n"
        "default_permission = NO_PERMISSIONS\n"
        f"database_uri = {postgres.address(stack, 'mlflow_auth', driver='psycopg2')}\n"
        "admin_username = admin\n"
        "authorization_function = mlflow.server.auth:authenticate_request_basic_auth\n"
        "auth_cache_ttl_seconds = 60\n"  # a hash of a password costs more than most requests
    )


def prefect(stack: Stack) -> Service:
    """Prefect's server and its background services in one process: their events then need no broker."""
    api = f"{stack.url('prefect')}/api"
    return Service(
        name="prefect",
        command=(
            *(sys.executable, "-m", "prefect", "server", "start"),
            *("--host", "127.0.0.1", "--port", str(stack.ports["prefect"])),
        ),
        environment={
            "PREFECT_HOME": str(stack.folder / "prefect"),
            "PREFECT_SERVER_DATABASE_CONNECTION_URL": postgres.address(stack, "prefect", driver="asyncpg"),
            "PREFECT_SERVER_API_AUTH_STRING": prefect_login(stack),
            "PREFECT_API_AUTH_STRING": prefect_login(stack),
            "PREFECT_API_URL": api,
            "PREFECT_SERVER_UI_API_URL": api,
            # By default it copies its pages into the installed package, which may be another user's.
            "PREFECT_SERVER_UI_STATIC_DIRECTORY": str(stack.folder / "prefect" / "ui"),
            # In memory, its default, a restart would leak the slots that are held.
            "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": "prefect.server.concurrency.lease_storage.filesystem",
            "PREFECT_SERVER_DEPLOYMENTS_CONCURRENCY_SLOT_WAIT_SECONDS": "10",  # a queued run asks again so soon
            "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
            "DO_NOT_TRACK": "1",
        },
        needs=("postgres",),
        before=lambda: _check_prefect(stack),
        healthy=lambda: answers(f"{api}/flows/count", **login(stack), body={}),
        public=stack.url("prefect"),
    )


def worker(stack: Stack, *, needs: tuple[str, ...]) -> Service:
    """The worker that runs flows on this machine. It stops at once: `mtl stack down` drains it first."""
    name = f"{os.uname().nodename}"
    return Service(
        name="worker",
        command=(
            *(sys.executable, "-m", "prefect", "worker", "start"),
            *("--pool", POOL, "--type", "process", "--name", name),
        ),
        environment={
            **client_environment(stack),
            "PREFECT_HOME": str(stack.folder / "prefect"),
            "PREFECT_FLOWS_HEARTBEAT_FREQUENCY": str(HEARTBEAT_SECONDS),
            "PREFECT_WORKER_QUERY_SECONDS": "3",
        },
        needs=needs,
        stop_seconds=60,
        healthy=lambda: _online(stack, name),
    )


def webhooks(stack: Stack, *, needs: tuple[str, ...]) -> Service:
    """The receiver: MLflow tells it of moved aliases, others of new data."""
    return Service(
        name="webhooks",
        command=(
            *(sys.executable, "-m", "mtl.cli", "webhooks", "--register"),
            *("--host", "127.0.0.1", "--port", str(stack.ports["webhooks"])),
        ),
        environment={**client_environment(stack), "MTL_WEBHOOK_MLFLOW_SECRET": stack.secrets["webhook"]},
        needs=needs,
        healthy=lambda: answers(f"{stack.url('webhooks')}/health"),
        public=stack.url("webhooks"),
    )


def serve(stack: Stack, *, needs: tuple[str, ...]) -> Service:
    """The server of answers. It follows the champion, and waits for the first one."""
    return Service(
        name="serve",
        command=(
            *(sys.executable, "-m", "mtl.cli", "serve", "champion", "--wait"),
            *("--host", "127.0.0.1", "--port", str(stack.ports["serve"])),
        ),
        environment=client_environment(stack),
        needs=needs,
        stop_seconds=100,  # it answers what it has begun, and writes the counts and the log
        # Its /health answers 503 while there is no champion yet, and the stack is up without one.
        healthy=lambda: answers(f"{stack.url('serve')}/metrics"),
        public=stack.url("serve"),
    )


def login(stack: Stack) -> dict[str, str]:
    """Options of `ask` for Prefect's API."""
    return {"user": "admin", "password": stack.secrets["prefect"]}


def _online(stack: Stack, name: str) -> bool:
    url = f"{stack.url('prefect')}/api/work_pools/{POOL}/workers/filter"
    try:
        workers = ask(url, **login(stack), body={})
    except TransientError:
        return False
    return any(worker["name"] == name and worker["status"] == "ONLINE" for worker in workers)
