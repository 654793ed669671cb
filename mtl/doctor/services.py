"""The servers: do Prefect and MLflow answer, to whom, in which version, and what time do they think it is?"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from email.utils import parsedate_to_datetime
from importlib import metadata
from urllib.parse import quote, urlsplit

import httpx

from mtl.doctor.result import CheckResult, fault, ok, warning
from mtl.errors import MtlError
from mtl.http import Server, ask
from mtl.redact import clean
from mtl.service.deployments import missing_parts, on_this_machine
from mtl.service.mlflow_api import check_mlflow, experiments, mlflow_get
from mtl.service.prefect_api import PrefectApi
from mtl.settings import LOOPBACK, PrefectSettings, Settings, proxy_variable
from mtl.tracking.address import deleted_experiment

_TIMEOUT = 5.0
_MOST_SKEW = 60.0  # seconds; S3 refuses at 900, webhooks at 300
_SOME_SKEW = 5.0


def prefect(settings: PrefectSettings) -> Iterator[CheckResult]:
    """Answers, takes the credentials, asks everybody for them, and is not older than this client."""
    if settings.url is None:
        yield ok("prefect", f"embedded, state in {settings.home} (PREFECT_API_URL is not set)")
        return
    with PrefectApi(settings, timeout=_TIMEOUT) as api:
        api.check()
        server, client = api.version(), metadata.version("prefect")
        yield ok("prefect", f"{clean(settings.url)}: answers, version {server}")
        if _release(server) < _release(client):
            do = f"upgrade the server to {client} or newer, or pin this client: pip install prefect=={server}"
            yield fault("prefect", f"the server is {server}, older than this client ({client})", do)
        yield from _open_to_all("prefect", f"{settings.url}/flows/count", settings.url, method="POST")
        yield from _workers(api)
        yield from _deployments(api)


def _release(version: str) -> tuple[int, ...]:
    from packaging.version import Version

    return Version(version).release[:2]


def _workers(api: PrefectApi) -> Iterator[CheckResult]:
    """Is there somebody to run what the deployments schedule?"""
    pools = api.post("/work_pools/filter", {})
    if not pools:
        yield warning("workers", "there is no work pool, so scheduled runs cannot start", "run mtl deploy")
        return
    for pool in pools:
        name = pool["name"]
        online = [w for w in api.post(f"/work_pools/{name}/workers/filter", {}) if w.get("status") == "ONLINE"]
        if pool["is_paused"]:
            yield warning("workers", f"work pool {name} is paused", f"run prefect work-pool resume {name}")
        elif not online:
            do = f"run mtl stack up, or prefect worker start --pool {name}"
            yield warning("workers", f"work pool {name} has no worker online", do)
        else:
            yield ok("workers", f"work pool {name}: {len(online)} online")


def _deployments(api: PrefectApi) -> Iterator[CheckResult]:
    """Can the runs of each deployment start, where its paths are of this machine?"""
    if not on_this_machine(api.url):
        return
    found = api.deployments(api.flows())
    missing = missing_parts(found)
    for name, what in missing:
        do = "run mtl deploy in the project's folder, with the environment that the runs should use"
        yield fault("deployments", f"{name} cannot run: {what}", do)
    if found and not missing:
        yield ok("deployments", f"{len(found)}, each with its folder and interpreter")


def mlflow(settings: Settings) -> Iterator[CheckResult]:
    """Answers, takes the credentials, asks everybody for them, and speaks this client's version."""
    uri = settings.tracking_uri.rstrip("/")
    if not uri.startswith(("http://", "https://")):
        return
    check_mlflow(uri, timeout=_TIMEOUT)
    said = mlflow_get(uri, "/version", timeout=_TIMEOUT)
    server = said.text.strip() if said.status_code == 200 else "unknown"
    client = metadata.version("mlflow")
    yield ok("mlflow", f"{clean(uri)}: answers, version {server[:40]}")
    if server != client:
        do = "run the same version on both sides: constraints.txt names the one that was tested"
        yield warning("mlflow", f"the server is {server[:40]}, this client is {client}", do)
    yield from _open_to_all("mlflow", experiments(uri), uri)


def experiment(settings: Settings, name: str) -> Iterator[CheckResult]:
    """Can a run be recorded in it? That the server does not answer is another check's. Errors: InputError if not."""
    uri = settings.tracking_uri.rstrip("/")
    if not uri.startswith(("http://", "https://")):
        return
    path = f"/api/2.0/mlflow/experiments/get-by-name?experiment_name={quote(name, safe='')}"
    try:
        answer = mlflow_get(uri, path, timeout=_TIMEOUT)
        found = answer.json()["experiment"] if answer.status_code == 200 else {}
    except (MtlError, ValueError, KeyError):
        return
    if found.get("lifecycle_stage") == "deleted":
        raise deleted_experiment(name, found["experiment_id"], uri=uri)
    if found:
        yield ok("mlflow", f"experiment {name} was not deleted")


def _open_to_all(check: str, address: str, url: str, *, method: str = "GET") -> Iterator[CheckResult]:
    """A server that answers without credentials: a fault where others can reach it, a remark on loopback."""
    parts = urlsplit(address)
    bare = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
    with httpx.Client(trust_env=False) as stranger:  # who has no login in a .netrc either
        body: dict[str, str] | None = {} if method == "POST" else None
        answer = ask(Server(check, clean(url)), method, bare, timeout=_TIMEOUT, client=stranger, json=body)
    if answer.status_code >= 300:
        yield ok(check, f"asks for credentials ({answer.status_code} without)")
        return
    do = {
        "prefect": "set PREFECT_SERVER_API_AUTH_STRING on the server and PREFECT_API_AUTH_STRING here",
        "mlflow": "start the server with --app-name basic-auth",
    }[check] + "; mtl stack up does so"
    detail = f"{clean(url)} answers anybody, without credentials"
    loopback = urlsplit(url).hostname in LOOPBACK
    yield warning(check, detail, do) if loopback else fault(check, detail, do)


def proxies(addresses: Mapping[str, str]) -> Iterator[CheckResult]:
    """Which servers are reached through a proxy of the environment: a refusal may then be the proxy's.

    addresses: name -> URL.
    """
    for name, address in addresses.items():
        variable = proxy_variable(address)
        if variable is not None:
            host = urlsplit(address).hostname
            do = f"to reach it directly, add {host} to NO_PROXY; otherwise, check that the proxy allows these requests"
            yield warning("proxy", f"requests to {name} at {host} go through the proxy named in {variable}", do)


def clocks(addresses: Mapping[str, str]) -> Iterator[CheckResult]:
    """This machine's clock against the Date of each server's answers (any answer: a refusal has one too).

    addresses: name -> URL.
    """
    for name, address in addresses.items():
        before = time.time()
        try:
            answer = ask(Server(name, clean(address)), "GET", address, timeout=_TIMEOUT)
        except MtlError:
            continue  # another check says that it does not answer
        if "date" not in answer.headers:
            continue
        middle = (before + time.time()) / 2
        skew = middle - parsedate_to_datetime(answer.headers["date"]).timestamp() - 0.5  # Date has whole seconds
        detail = f"this clock is {abs(skew):.0f} s {'ahead of' if skew > 0 else 'behind'} {name}'s"
        do = "set both clocks by NTP (timedatectl set-ntp true): signatures and schedules depend on them"
        if abs(skew) > _MOST_SKEW:
            yield fault("clock", detail, do)
        elif abs(skew) > _SOME_SKEW:
            yield warning("clock", detail, do)
        else:
            yield ok("clock", f"agrees with {name}'s within {_SOME_SKEW:.0f} s")
