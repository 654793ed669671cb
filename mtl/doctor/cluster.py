"""The Ray cluster: does every node answer, with the same code as here, and does it reach the same object store?

The check is one Ray task for each node, which costs no CPU of it: a busy cluster can be checked too.
"""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from mtl.cluster import connected
from mtl.cluster.code import differences, versions
from mtl.config.retrain import RetrainConfig
from mtl.doctor import machine
from mtl.doctor.result import CheckResult, fault, guarded, ok, warning
from mtl.errors import DamageError, MtlError, NotFoundError, TransientError
from mtl.settings import Settings, current, load_settings, ray_address
from mtl.store.base import ObjectStore
from mtl.store.open import open_store
from mtl.store.probe import PROBE

Node = dict[str, Any]
"""What Ray says of a node."""

_PATIENCE = 45.0  # seconds, for all nodes together: a cold worker imports this package first
_STORE_PATIENCE = 15.0  # less than that, so that a store that does not answer is said by the node itself
_SHARED = (
    "set MTL_STORE to an object store that all machines reach (s3://bucket/prefix), and give its AWS_* variables to the"
    " environment of ray start on that node"
)
_SAME = (
    "install the same versions on all machines (pip install -c constraints.txt 'mtl-retrain[ray]'), and start Ray there"
    " again"
)


@dataclass(frozen=True, slots=True)
class NodeReport:
    """What one node says of itself. versions: name -> version, the source of this package included. gpus: it has."""

    versions: Mapping[str, str]
    found: tuple[CheckResult, ...]
    gpus: int


def cluster(settings: Settings, config: RetrainConfig | None, *, patience: float = _PATIENCE) -> Iterator[CheckResult]:
    """Nothing where neither the configuration nor RAY_ADDRESS asks for a cluster.

    patience: seconds that the nodes have to answer, all together. Errors: those of `connected` and of the store.
    """
    if not (current().get("RAY_ADDRESS") or (config and config.run.engine == "ray")):
        return
    _check_head(ray_address())
    with connected() as ray:
        nodes = [node for node in ray.nodes() if node["Alive"]]
        yield from _size(nodes)
        opened, key = open_store(settings.store, patience=_STORE_PATIENCE), f"{PROBE}/{uuid.uuid4().hex}"
        opened.put(key, key.encode())
        try:
            yield from _nodes(ray, _ask(ray, nodes, opened.uri, key), patience)
        finally:
            opened.delete(key)


def _check_head(address: str) -> None:
    """TransientError for a head that takes connections and does not answer, for which `connected` would wait."""
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host, int(port)), timeout=_PATIENCE).close()
    except (OSError, ValueError):
        return  # `connected` says it
    command = [sys.executable, "-m", "ray.scripts.scripts", "status", "--address", address]
    try:
        subprocess.run(command, capture_output=True, timeout=_PATIENCE, check=False)
    except subprocess.TimeoutExpired:
        raise TransientError(
            f"the head of the Ray cluster at {address} did not answer within {_PATIENCE:.0f} s",
            field="RAY_ADDRESS",
            hint="look whether its machine hangs or is overloaded; then ray stop and ray start --head there",
        ) from None


def _size(nodes: list[Node]) -> Iterator[CheckResult]:
    cpus, gpus = (sum(node["Resources"].get(kind, 0) for node in nodes) for kind in ("CPU", "GPU"))
    detail = f"{len(nodes)} nodes with {cpus:.0f} CPUs and {gpus:.0f} GPUs for work"
    if cpus:
        yield ok("cluster", detail)
        return
    do = "start workers: ray start --address HEAD:6379; with an autoscaler, they start when there is work"
    yield warning("cluster", detail, do)


def _ask(ray: Any, nodes: list[Node], store: str, key: str) -> dict[Any, Node]:
    """A task on each node, with the node that it is on."""
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy as On

    look = ray.remote(num_cpus=0, max_retries=0)(report_of_node)
    return {look.options(scheduling_strategy=On(node["NodeID"], soft=False)).remote(store, key): node for node in nodes}


def _nodes(ray: Any, asked: dict[Any, Node], patience: float) -> Iterator[CheckResult]:
    """What the nodes find; those are named that do not answer in time."""
    answered, late = ray.wait(list(asked), num_returns=len(asked), timeout=patience)
    reports = []
    for task in answered:
        try:
            reports.append((asked[task], ray.get(task)))
        except ray.exceptions.RayError as error:
            yield _failed(_name(asked[task]), error)
    for task in late:
        ray.cancel(task, force=True)
        yield _late(_name(asked[task]), patience)
    yield from compare({_name(node): report.versions for node, report in reports}, versions())
    for node, report in reports:
        yield from _of_node(node, report)


def _name(node: Node) -> str:
    return f"{node['NodeManagerHostname']} ({node['NodeManagerAddress']})"


def _late(name: str, patience: float) -> CheckResult:
    do = "look whether that machine hangs or is overloaded; ray stop there takes it out of the cluster"
    return fault("cluster", f"{name} did not answer within {patience:.0f} s", do)


def _failed(name: str, error: Exception) -> CheckResult:
    lines = [line for line in str(error).splitlines() if line.strip()]
    return fault("cluster", f"{name} could not be checked: {lines[-1][:300] if lines else type(error).__name__}", _SAME)


def compare(nodes: Mapping[str, Mapping[str, str]], here: Mapping[str, str]) -> Iterator[CheckResult]:
    """One fault for each node that differs from this machine. nodes: name -> its versions."""
    for node, there in nodes.items():
        if listed := differences(there, here):
            yield fault("cluster", f"{node} has other versions: {listed}", _SAME)
    if nodes and all(dict(there) == dict(here) for there in nodes.values()):
        said = ", ".join(f"{name} {here[name]}" for name in ("Python", "ray", "mtl-retrain"))
        yield ok("cluster", f"all nodes that answered have the same versions as this machine: {said}")


def _of_node(node: Node, report: NodeReport) -> Iterator[CheckResult]:
    """Its faults and warnings, or one line for it as a whole."""
    name, cpus, known = _name(node), node["Resources"].get("CPU", 0), int(node["Resources"].get("GPU", 0))
    bad = [result for result in report.found if result.level != "ok"]
    for result in bad:
        yield CheckResult("cluster", result.level, f"{name}: {result.detail}", result.do)
    if not bad:
        yield ok("cluster", f"{name}: {cpus:.0f} CPUs, {known} GPUs, uses the same object store as this machine")
    if report.gpus > known:
        do = f"start Ray there with --num-gpus={report.gpus}, if run.gpu is meant to take them"
        yield warning("cluster", f"{name} has {report.gpus} GPUs, of which Ray uses {known}", do)


def report_of_node(store: str, key: str) -> NodeReport:
    """Runs on the node. store: URI of the driver's. key: of the object that the driver has put there."""
    home = load_settings().home
    checks = {
        "store": partial(_same_store, store, key),
        "state": partial(machine.writable, home),
        "disk": partial(machine.disk, home),
    }
    found = tuple(result for name, look in checks.items() for result in guarded(name, look))
    return NodeReport(versions(), found, _gpus())


def _same_store(uri: str, key: str) -> Iterator[CheckResult]:
    """Reads what the driver has put, and writes: a folder or a server of this name may be another one here."""
    try:
        _exchange(open_store(uri, patience=_STORE_PATIENCE), key)
    except (NotFoundError, DamageError):
        yield fault("store", f"{uri} is another store here: what the driver has put is not there", _SHARED)
    except MtlError as error:
        yield fault("store", f"{uri} cannot be used: {error.message}", _SHARED)
    else:
        yield ok("store", f"{uri}: reads what this machine has put, and writes")


def _exchange(store: ObjectStore, key: str) -> None:
    if store.get(key) != key.encode():
        raise DamageError(f"{store.uri} has other bytes", field="MTL_STORE")
    own = f"{key}-{uuid.uuid4().hex}"
    store.put(own, b"")
    store.delete(own)


def _gpus() -> int:
    """GPUs of this machine, whether or not Ray was told of them."""
    if not shutil.which("nvidia-smi"):
        return 0
    try:
        done = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, timeout=10, check=False)
    except subprocess.TimeoutExpired:
        return 0
    return sum(line.startswith("GPU ") for line in done.stdout.splitlines())
