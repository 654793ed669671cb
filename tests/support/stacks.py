"""A whole stack for tests: made by `mtl stack up`, asked over the network as a user would, and ended by `down`."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3
import httpx
import psutil

from mtl.stack.s3 import BINARIES
from mtl.stack.state import USUAL, make_stack
from mtl.stack.supervisor import MARK
from tests.support.bases import save_base
from tests.support.retrains import small_values

PROJECT = Path(__file__).parents[2]
RARELY = "0 0 1 1 *"
"""The schedule of retrain/nightly in tests: it must be on, because some of them look at it, and start nothing."""


def why_not() -> str:
    """Why no stack can be started here; '' if one can."""
    missing = [name for name in BINARIES if shutil.which(name) is None]
    if not list(Path("/usr/lib/postgresql").glob("*/bin/postgres")):
        missing.append("postgresql")
    return f"not installed: {', '.join(missing)}" if missing else ""


@dataclass
class Service:
    """A running stack. home: its MTL_HOME. base: a model to train."""

    home: Path
    base: Path
    environment: dict[str, str] = field(default_factory=dict)

    def mtl(self, *arguments: str, seconds: float = 240) -> dict[str, Any]:
        """The document of a command, which must succeed."""
        done = self.run(*arguments, seconds=seconds)
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
        document: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        return document

    def run(self, *arguments: str, seconds: float = 240) -> subprocess.CompletedProcess[str]:
        """Run a command as a user of the stack would."""
        return subprocess.run(
            [sys.executable, "-m", "mtl.cli", *arguments, "--json"],
            env={**_plain(), "MTL_HOME": str(self.home), **self.environment},
            cwd=PROJECT,
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )

    def up(self) -> dict[str, Any]:
        """Bring it up; its environment is known then."""
        document = self.mtl("stack", "up")
        self.environment = self.mtl("stack", "env")
        return document

    def config(self, model: str, **train: Any) -> dict[str, Any]:
        """A small configuration whose versions go to a registered model of their own."""
        values = small_values(self.base, **{"max_steps": 24, **train})
        return values | {"register": {"model": model, "experiment": model}}

    def api(self, method: str, path: str, document: Any = None) -> Any:
        """Ask Prefect, patiently: it may just be restarted."""
        user, _, password = self.environment["PREFECT_API_AUTH_STRING"].partition(":")
        url = f"{self.environment['PREFECT_API_URL']}/{path}"
        deadline = time.monotonic() + 90
        while True:
            try:
                answer = httpx.request(method, url, json=document, auth=(user, password), timeout=20)
                if answer.status_code < 500:
                    assert answer.status_code < 300, f"{path}: {answer.status_code} {answer.text[:2000]}"
                    return answer.json() if answer.content else None
            except httpx.HTTPError:
                assert time.monotonic() < deadline, f"{url} does not answer"
            time.sleep(0.5)

    def trigger(self, deployment: str, parameters: dict[str, Any]) -> str:
        """Start a run of a deployment: its id."""
        found = self.api("GET", f"deployments/name/{deployment}")
        run = self.api("POST", f"deployments/{found['id']}/create_flow_run", {"parameters": parameters})
        return str(run["id"])

    def wait(self, run: str, *, seconds: float = 300) -> dict[str, Any]:
        """The flow run once it completed. A crash in between is mended by the service, not by the test."""
        return self.until(run, lambda found: found["state_type"] == "COMPLETED", seconds=seconds)

    def until(self, run: str, wanted: Callable[[dict[str, Any]], bool], *, seconds: float = 300) -> dict[str, Any]:
        """The flow run once it is as wanted; a failure ends the waiting."""
        deadline = time.monotonic() + seconds
        while True:
            found: dict[str, Any] = self.api("GET", f"flow_runs/{run}")
            if wanted(found):
                return found
            state = found["state"]
            assert state["type"] not in ("FAILED", "CANCELLED"), f"{state}\n{self.log('worker')}"
            assert time.monotonic() < deadline, f"still {state} after {seconds} s\n{self.log('worker')}"
            time.sleep(0.3)

    def until_checkpoint(self, *, seconds: float = 150) -> None:
        """Until the store holds a commit of a run."""
        deadline = time.monotonic() + seconds
        while not any(b'"kind":"commit"' in self.read(key) for key in self.keys("runs/") if "/log/" in key):
            assert time.monotonic() < deadline, f"no checkpoint in {seconds} s\n{self.log('worker')}"
            time.sleep(0.2)

    def keys(self, prefix: str) -> list[str]:
        """Keys of the object store, without its own prefix."""
        bucket, _, root = self._place()
        pages = self._s3().get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=f"{root}/{prefix}")
        return [item["Key"].removeprefix(f"{root}/") for page in pages for item in page.get("Contents", ())]

    def read(self, key: str) -> bytes:
        bucket, _, root = self._place()
        return bytes(self._s3().get_object(Bucket=bucket, Key=f"{root}/{key}")["Body"].read())

    def forget_runs(self) -> None:
        """Remove every training run, so that the next one trains again."""
        bucket, _, root = self._place()
        for key in self.keys("runs/"):
            self._s3().delete_object(Bucket=bucket, Key=f"{root}/{key}")

    def adapter(self, model: str) -> str:
        """sha256 of the one version's adapter; that there is no other is checked in MLflow too."""
        manifests = [key for key in self.keys(f"releases/{model}/v") if key.endswith("/manifest.json")]
        assert manifests == [f"releases/{model}/v1/manifest.json"]
        assert [version["version"] for version in self.versions(model)] == ["1"]
        return str(json.loads(self.read(manifests[0]))["adapter_sha256"])

    def versions(self, model: str) -> list[dict[str, Any]]:
        """What MLflow says of a registered model's versions."""
        answer = httpx.get(
            f"{self.environment['MLFLOW_TRACKING_URI']}/api/2.0/mlflow/model-versions/search",
            params={"filter": f"name='{model}'"},
            auth=(self.environment["MLFLOW_TRACKING_USERNAME"], self.environment["MLFLOW_TRACKING_PASSWORD"]),
            timeout=30,
        )
        found: list[dict[str, Any]] = answer.raise_for_status().json().get("model_versions", [])
        return found

    def pid(self, name: str) -> int:
        """Process id of a service."""
        from mtl.stack.state import open_stack
        from mtl.stack.supervisor import states

        return int(states(open_stack(self.home))[name]["pid"])

    def kill(self, name: str, number: int = signal.SIGKILL) -> None:
        """Send a signal to a service's process; supervisord starts it again."""
        os.kill(self.pid(name), number)

    def children(self, name: str) -> list[psutil.Process]:
        """Everything that a service started."""
        return psutil.Process(self.pid(name)).children(recursive=True)

    def log(self, name: str) -> str:
        return (self.home / "stack" / "logs" / f"{name}.log").read_text(errors="replace")[-5000:]

    def _place(self) -> tuple[str, str, str]:
        return self.environment["MTL_STORE"].removeprefix("s3://").partition("/")

    def _s3(self) -> Any:
        return boto3.client(
            "s3",
            endpoint_url=self.environment["AWS_ENDPOINT_URL_S3"],
            aws_access_key_id=self.environment["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=self.environment["AWS_SECRET_ACCESS_KEY"],
            region_name="us-east-1",
        )


def processes(service: Service) -> Iterator[psutil.Process]:
    """Everything that belongs to the stack."""
    for process in psutil.process_iter():
        try:
            if process.environ().get(MARK) == str(service.home / "stack"):
                yield process
        except psutil.Error:
            continue


def _plain() -> dict[str, str]:
    """This environment without what leads to other services."""
    other = ("PREFECT_", "MLFLOW_", "AWS_", "MTL_")
    return {name: value for name, value in os.environ.items() if not name.startswith(other)} | {"OMP_NUM_THREADS": "1"}


@contextmanager
def running_stack() -> Iterator[Service]:
    """A stack of one's own, with ports that nobody else expects, while the block runs."""
    home = Path(tempfile.mkdtemp(prefix="mtl-stack-"))
    home.chmod(0o711)  # PostgreSQL's user must pass
    make_stack(home, usual=dict.fromkeys(USUAL))
    save_base(home / "base")
    service = Service(home, home / "base")
    try:
        yield service
    finally:
        service.run("stack", "down", "--wait", "0")
        shutil.rmtree(home, ignore_errors=True)
