"""examine: every check, one after the other, on the settings of the environment."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any

from mtl.config.register import RegisterConfig
from mtl.config.retrain import RetrainConfig
from mtl.doctor import cluster, databases, machine, models, server, services, signatures, storage, variables
from mtl.doctor.data import data, training
from mtl.doctor.result import CheckResult, guarded
from mtl.doctor.worker import worker
from mtl.settings import current, load_settings, prefect_settings, s3_endpoint
from mtl.settings.service import serve_url


def run_checks(config: RetrainConfig | None = None) -> Iterator[CheckResult]:
    """What is found, as it is found. config: whose data, base and tokenizer are looked at, or the shipped base."""
    settings, prefect = load_settings(), prefect_settings()
    servers = _servers(settings.store, settings.tracking_uri, prefect.url)
    checks: list[tuple[str, Callable[[], Iterable[CheckResult]]]] = [
        ("settings", partial(variables.variables, current())),
        ("proxy", partial(services.proxies, servers)),
        ("versions", machine.versions),
        ("state", partial(machine.writable, settings.home)),
        ("disk", partial(machine.disk, settings.home)),
        ("memory", machine.memory),
        ("worker", partial(worker, settings)),
        ("prefect", partial(services.prefect, prefect)),
        ("prefect", partial(databases.prefect, prefect)),
        ("mlflow", partial(services.mlflow, settings)),
        ("mlflow", partial(databases.mlflow, settings)),
        ("mlflow", partial(services.experiment, settings, _experiment(config))),
        ("mlflow", partial(databases.experiment, settings, _experiment(config))),
        ("store", partial(storage.store, settings)),
        ("cluster", partial(cluster.cluster, settings, config)),
        ("signatures", partial(signatures.signatures, config)),
        ("server", lambda: server.server(serve_url())),
        ("clock", partial(services.clocks, servers)),
        ("device", partial(machine.device, settings)),
        ("data", partial(data, settings, config)),
        ("train", partial(training, config)),
        ("base", partial(models.base, **_base(config))),
    ]
    for name, look in checks:
        yield from guarded(name, look)


def _servers(store: str, tracking_uri: str, prefect: str | None) -> dict[str, str]:
    found = {"S3": s3_endpoint()} if store.startswith("s3://") else {}
    found |= {"MLflow": f"{tracking_uri.rstrip('/')}/health"} if tracking_uri.startswith("http") else {}
    return found | ({"Prefect": f"{prefect}/health"} if prefect else {})


def _experiment(config: RetrainConfig | None) -> str:
    return (config.register_ if config else RegisterConfig()).experiment


def _base(config: RetrainConfig | None) -> dict[str, Any]:
    if config is None:
        return {}
    model = config.model
    return {"name": model.base, "revision": model.revision, "tokenizer": model.tokenizer}


def summary(findings: Iterable[CheckResult]) -> dict[str, Any]:
    """The document of `mtl doctor --json`."""
    documents = [finding.to_dict() for finding in findings]
    levels = [document["level"] for document in documents]
    return {
        "ok": "fault" not in levels,
        "faults": levels.count("fault"),
        "warnings": levels.count("warning"),
        "findings": documents,
    }
