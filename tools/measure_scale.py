"""What one retrain costs the services: rows in Prefect's and MLflow's databases, and requests to S3. For docs/scale.md.

    python tools/measure_scale.py [--steps 20]      prints one JSON object, last

A whole retrain of the demo (with fewer rows and steps) in a process of its own, on an S3 server that counts.
"""

from __future__ import annotations

import argparse
import json
import os
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import boto3
import yaml

from mtl.sqlite import read_only

CONF = Path(__file__).parents[1] / "conf" / "demo.yaml"


@contextmanager
def counting_s3(seen: Counter[str]) -> Iterator[str]:
    """moto's S3 server; every request is counted by method and by the first part of its key."""
    from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
    from werkzeug.serving import WSGIRequestHandler, make_server

    inner: Any = DomainDispatcherApplication(create_backend_app)

    def counted(environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        parts = environ["PATH_INFO"].strip("/").split("/")
        place = "/".join(parts[1:3]) if len(parts) > 1 else "list"
        seen[f"{environ['REQUEST_METHOD']} {place}"] += 1
        answer: Iterable[bytes] = inner(environ, start)
        return answer

    class Quiet(WSGIRequestHandler):
        def log(self, type: str, message: str, *args: object) -> None:  # noqa: A002
            pass

    server = make_server("127.0.0.1", 0, counted, threaded=True, request_handler=Quiet)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()


def rows(database: Path) -> dict[str, int]:
    """table -> rows, of a SQLite file."""
    if not database.exists():
        return {}
    with closing(sqlite3.connect(read_only(database), uri=True)) as opened:
        tables = [name for (name,) in opened.execute("select name from sqlite_master where type = 'table'")]
        return {name: opened.execute(f'select count(*) from "{name}"').fetchone()[0] for name in tables}  # noqa: S608


def grown(before: dict[str, int], after: dict[str, int]) -> dict[str, int]:
    """What came to each table, most first; tables that did not grow are left out."""
    found = {name: count - before.get(name, 0) for name, count in after.items()}
    return {name: more for name, more in sorted(found.items(), key=lambda item: -item[1]) if more > 0}


def retrain(folder: Path, steps: int, seed: int, endpoint: str) -> dict[str, Any]:
    """One retrain from nothing to a decision; its document."""
    values = yaml.safe_load(CONF.read_text())
    values["seed"] = seed
    for source in values["data"]["sources"]:
        source["rows"] = {"train": 200, "validation": 20, "test": 20}
    values["train"] |= {"max_steps": steps, "save_steps": max(1, steps // 4), "warmup_steps": 2, "threads": 1}
    values["evaluate"]["max_examples"] = 20
    conf = folder / f"conf-{seed}.yaml"
    conf.write_text(yaml.safe_dump(values))
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith(("MTL_", "PREFECT_", "MLFLOW_"))},
        "MTL_HOME": str(folder / "home"),
        "MTL_STORE": "s3://bucket/store",
        "AWS_ENDPOINT_URL_S3": endpoint,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test-secret",
        "AWS_REGION": "us-east-1",
    }
    command = [sys.executable, "-m", "mtl.cli", "retrain", "-c", str(conf), "--json"]
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    return dict(json.loads(done.stdout.splitlines()[-1]))


def measure(steps: int) -> dict[str, Any]:
    """The second of two retrains, so that nothing is counted that happens once; then one in which nothing changed."""
    seen: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as name, counting_s3(seen) as endpoint:
        folder = Path(name)
        boto3.client(
            "s3",
            endpoint_url=endpoint,
            region_name="us-east-1",
            aws_access_key_id="test",
            aws_secret_access_key="test-secret",  # noqa: S106  # of a server in this process
        ).create_bucket(Bucket="bucket")
        files = {"prefect": folder / "home" / "prefect" / "prefect.db", "mlflow": folder / "home" / "mlflow.db"}
        retrain(folder, steps, 1, endpoint)
        results: dict[str, Any] = {"steps": steps}
        for what, seed in (("retrain", 2), ("unchanged", 2)):
            before = {name: (rows(file), file.stat().st_size) for name, file in files.items()}
            seen.clear()
            started = time.monotonic()
            document = retrain(folder, steps, seed, endpoint)
            results[what] = {
                "seconds": round(time.monotonic() - started, 1),
                "step_seconds": {step: found["seconds"] for step, found in document["steps"].items()},
                "s3_requests": sum(seen.values()),
                "s3": dict(seen.most_common()),
            }
            for name, file in files.items():
                more = grown(before[name][0], rows(file))
                results[what][name] = {"rows": sum(more.values()), "tables": more}
                results[what][name]["bytes"] = file.stat().st_size - before[name][1]
    return results


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Rows and requests of one retrain")
    parser.add_argument("--steps", type=int, default=20)
    print(json.dumps(measure(parser.parse_args().steps)))
