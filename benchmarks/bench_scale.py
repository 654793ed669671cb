"""What Ray costs: preparation, training and evaluation on a Ray cluster of as many workers as there are cores, against
the local path on the same cores.

    python benchmarks/bench_scale.py [--quick] [--rounds N] [--simulate]
    python benchmarks/bench_scale.py --simulate --measured FILE     # from the last line of an earlier run

The cluster is one of loopback: a head without work, and a node with one CPU for each core, each with a folder that the
others do not see (so it has to run as root on Linux). Both sides use the same S3 server (moto), and take turns. Each
measurement is a command that a user types, in a process of its own with an MTL_HOME and a store of its own. The last
line is one JSON object:

ratio      of the wall times, Ray to local, for each kind of work: the median over rounds (bar: 1.15 for work of more
           than two minutes)
seconds    of each measurement; `cpu` beside it, of all processes that took part
fixed      seconds to connect, for the first empty piece, which starts a worker, and for a later one
same       whether both sides made the same data set and the same adapter
simulated  with --simulate: scale_model.py, from these figures and from runs with a quarter of the data
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import yaml
from scale_model import PART, simulated

from mtl import layout
from mtl.sources.demo.corpus import articles, passages
from mtl.store.open import open_store

PROJECT = Path(__file__).parents[1]
sys.path.insert(0, str(PROJECT))

from tests.cluster.nodes import Nodes, ray_nodes  # noqa: E402
from tests.support.s3 import moto  # noqa: E402

CORES = os.cpu_count() or 1
BAR, LONG = 1.15, 120.0
SEED = 17
BUCKET = "scale"
_OBJECTS = 2_000_000_000
"""Bytes of each node's object store: Ray takes 30% of the memory by default, and what does not fit goes to the disk."""
FILES = 8
"""Files of one task's train rows, so that several workers read them."""

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Size:
    """rows: of each task to prepare. steps: of the training. judged: examples of each task to evaluate."""

    rows: int
    steps: int
    judged: int


SIZES = {False: Size(rows=220_000, steps=250, judged=3300), True: Size(rows=3000, steps=40, judged=40)}


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0])
    parser.add_argument("--quick", action="store_true", help="small work, for which the fixed cost is most of it")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--simulate", action="store_true", help="what 32 and 256 workers would take")
    parser.add_argument("--measured", type=Path, help="a file whose last line is that of an earlier run")
    options = parser.parse_args()
    if options.measured:
        found = json.loads(options.measured.read_text(encoding="utf-8").splitlines()[-1])
    else:
        found = measure(SIZES[options.quick], options.rounds, parts=options.simulate)
    if options.simulate:
        found["simulated"] = simulated(found)
    print(json.dumps(found))


def measure(size: Size, rounds: int, *, parts: bool) -> dict[str, Any]:
    """Both sides in turn, on one cluster. parts: what the model needs besides."""
    with tempfile.TemporaryDirectory(prefix="bench-scale-") as name, moto() as environment:
        root = Path(name)
        os.environ.update(environment)
        _make_bucket()
        driver = root / "driver"
        driver.mkdir()
        with ray_nodes(root / "nodes", CORES, _OBJECTS, hidden=(driver,), **environment) as nodes:
            os.environ["RAY_ADDRESS"] = nodes.address
            runs = [run for number in range(rounds) for run in _round(driver, size, nodes, number)]
            runs += _parts(driver, size, nodes) if parts else []
            fixed = _fixed()
    return _summary(runs, size, fixed)


def _round(driver: Path, size: Size, nodes: Nodes, number: int) -> Iterator[Row]:
    """Every kind of work on both sides, the first side changing from round to round."""
    large, small = _configs(driver, size)
    for engine in ("local", "ray") if number % 2 == 0 else ("ray", "local"):
        for kind, config in (("prepare", large), ("retrain", small)):
            run = _run(kind, config[engine], driver / f"{kind}-{engine}-{number}", nodes if engine == "ray" else None)
            yield {"kind": kind, "engine": engine, "round": number, **run}


def _parts(driver: Path, size: Size, nodes: Nodes) -> Iterator[Row]:
    """The same kinds of work with a share of the data, for the model."""
    share = Size(size.rows // PART, size.steps // PART, size.judged // PART)
    large, small = _configs(driver / "part", share)
    for kind, engine, config in (("prepare", "local", large), ("prepare", "ray", large), ("retrain", "local", small)):
        run = _run(kind, config[engine], driver / f"{kind}-{engine}-part", nodes if engine == "ray" else None)
        yield {"kind": f"{kind} part", "engine": engine, "round": 0, **run}


def _configs(driver: Path, size: Size) -> tuple[dict[str, Path], dict[str, Path]]:
    """{engine: configuration} of the preparation, and of the retrain."""
    values = yaml.safe_load((PROJECT / "conf" / "demo.yaml").read_text(encoding="utf-8"))
    values["train"] |= {"max_steps": size.steps, "save_steps": size.steps, "eval_steps": size.steps, "threads": 1}
    values["evaluate"] |= {"max_examples": size.judged}
    values["gate"]["min_examples"] = 10
    for source in values["data"]["sources"]:
        source["rows"]["validation"] = max(180, 2 * size.judged)
    large = json.loads(json.dumps(values))
    large["data"]["sources"] = [{"task": task, "uri": str(_rows(driver, task, size.rows))} for task in _MAKE]
    return _written(driver / "large", large), _written(driver / "small", values)


_MAKE: dict[str, Any] = {"summarize": articles, "mcq": passages}


def _rows(driver: Path, task: str, count: int) -> Path:
    folder = driver / "rows" / task
    if not folder.exists():
        folder.mkdir(parents=True)
        for number, split in enumerate(["train"] * FILES + ["validation"]):
            rows = _MAKE[task](SEED + number, count // FILES if split == "train" else 200)
            text = "".join(json.dumps(row) + "\n" for row in rows)
            (folder / f"{split}-{number}.jsonl").write_text(text, encoding="utf-8")
    return folder


def _written(folder: Path, values: Row) -> dict[str, Path]:
    folder.mkdir(parents=True, exist_ok=True)
    found = {"local": folder / "local.yaml", "ray": folder / "ray.yaml"}
    sides: dict[str, Row] = {"local": {}, "ray": {"run": {"engine": "ray", "trainers": CORES}}}
    for engine, path in found.items():
        path.write_text(yaml.safe_dump({**values, **sides[engine]}), encoding="utf-8")
    return found


def _run(kind: str, config: Path, home: Path, nodes: Nodes | None) -> Row:
    """One command: its wall time, its CPU time, its steps, and what it made."""
    environment = {**os.environ, "MTL_HOME": str(home), "MTL_STORE": f"s3://{BUCKET}/{home.name}"}
    environment |= {"HF_HUB_OFFLINE": "1", "MTL_TRAINER_PROCESSES": "1" if nodes else str(CORES)}
    for name in ("MLFLOW_TRACKING_URI", "PREFECT_API_URL"):
        environment.pop(name, None)
    before, began = _cpu(nodes), time.monotonic()
    command = [sys.executable, "-m", "mtl.cli", kind, "-c", str(config), "--json"]
    done = subprocess.run(command, env=environment, cwd=PROJECT, capture_output=True, text=True, check=False)
    wall, own, there = time.monotonic() - began, *(b - a for a, b in zip(before, _cpu(nodes), strict=True))
    if done.returncode:
        sys.exit(f"mtl {kind} -c {config} failed:\n{done.stderr[-3000:]}\n{done.stdout[-2000:]}")
    found = json.loads(done.stdout.splitlines()[-1])
    steps = {step: its["seconds"] for step, its in found.get("steps", {}).items()} if kind == "retrain" else {}
    run = {"seconds": round(wall, 2), "cpu": round(own + there, 2), "driver_cpu": round(own, 2), "steps": steps}
    print(f"{home.name}: {run}", file=sys.stderr, flush=True)
    return run | _made(kind, found, environment["MTL_STORE"])


def _cpu(nodes: Nodes | None) -> tuple[float, float]:
    """(CPU seconds of ended children of this process, of all processes of the cluster and their ended children)."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    there = 0.0
    for process in [each for node in (nodes.workers if nodes else []) for each in node.processes()]:
        try:
            times = process.cpu_times()
        except psutil.NoSuchProcess:
            continue
        there += times.user + times.system + times.children_user + times.children_system
    return used.ru_utime + used.ru_stime, there


def _made(kind: str, found: Row, store: str) -> Row:
    """The files of the data set with their hashes, or the adapter's; and bytes and pieces for the model."""
    if kind == "prepare":
        key = layout.dataset_manifest_key(found["fingerprint"])
        files = json.loads(open_store(store).get(key))["files"]
        return {"made": [file["sha256"] for file in files], "bytes": sum(file["bytes"] for file in files)}
    sizes = [
        info.size for info in open_store(store).list("releases/") if info.key.endswith("adapter_model.safetensors")
    ]
    return {"made": [found["train"]["adapter_sha256"]], "bytes": max(sizes)}


def _fixed() -> dict[str, float]:
    """Seconds to connect, for the first empty piece, which starts a worker, and for a later one."""
    code = (
        "import time, json; t = [time.monotonic()]; tick = lambda: t.append(time.monotonic())\n"
        "from mtl.cluster import connected\n"
        "with connected() as ray:\n"
        "    tick(); empty = ray.remote(num_cpus=1)(lambda: 0)\n"
        "    for _ in range(20): ray.get(empty.remote()); tick()\n"
        "print(json.dumps([b - a for a, b in zip(t, t[1:])]))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=PROJECT, stdout=subprocess.PIPE, text=True, check=True)
    connect, first, *others = json.loads(done.stdout.splitlines()[-1])
    # The median, because a piece that the other node gets starts a worker there.
    found = {"connect": connect, "first_piece": first, "next_piece": statistics.median(others)}
    return {name: round(seconds, 4) for name, seconds in found.items()}


def _summary(runs: list[Row], size: Size, fixed: dict[str, float]) -> Row:
    """Ratios and both sides of each."""
    sides = {kind: {engine: _walls(runs, kind, engine) for engine in ("local", "ray")} for kind in _KINDS}
    ratio = {
        kind: round(statistics.median(one / other for one, other in zip(its["ray"], its["local"], strict=True)), 3)
        for kind, its in sides.items()
    }
    long = [kind for kind, its in sides.items() if statistics.median(its["local"]) > LONG]
    made = {kind: {json.dumps(run["made"]) for run in runs if run["kind"] == kind} for kind in ("prepare", "retrain")}
    return {
        "benchmark": "scale",
        "ratio": ratio,
        "bar": BAR,
        "longer_than_two_minutes": long,
        "passed": {kind: ratio[kind] <= BAR for kind in long},
        "seconds": sides,
        "fixed": fixed,
        "same": {kind: len(its) == 1 for kind, its in made.items()},
        "cores": CORES,
        "size": {"rows": size.rows, "steps": size.steps, "judged": size.judged},
        "runs": [{name: value for name, value in run.items() if name != "made"} for run in runs],
    }


_KINDS = ("prepare", "train", "evaluate")


def _walls(runs: list[Row], kind: str, engine: str) -> list[float]:
    """Seconds of the command, or of the step of a retrain, in the order of the rounds."""
    its = sorted((run for run in runs if run["engine"] == engine), key=lambda run: run["round"])
    if kind == "prepare":
        return [run["seconds"] for run in its if run["kind"] == "prepare"]
    return [run["steps"][kind] for run in its if run["kind"] == "retrain"]


def _make_bucket() -> None:
    from mtl.store.s3 import make_client

    make_client().create_bucket(Bucket=BUCKET)


if __name__ == "__main__":
    main()
