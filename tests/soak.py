"""Soak: one training run after another under random faults; every adapter must be that of the uninterrupted run.

    python -m tests.soak --runs 100 --seed 1

Each run is one identity on one store (a folder, or S3 through a proxy) and lives through up to five lives with a fault
each: killed, asked to stop, stopped and taken over; S3 cut, delayed, refusing, answering 503, losing answers; bits
flipped in what is stored. What happens in run N is a function of (seed, N). The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import threading
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from mtl.errors import NotFoundError
from mtl.pipeline.prepare import prepare as prepare_dataset
from mtl.store.base import ObjectStore
from mtl.store.open import open_store
from mtl.workspace import open_workspace
from tests.support.preludes import COMMIT, FINISH, STEP, Slow, Strike
from tests.support.proxy import FaultProxy
from tests.support.radosgw import radosgw_or_moto
from tests.support.retrains import small_config
from tests.support.trainers import Machine, machine_with

LIVES = 5
PROCESS = ("kill", "kill_in_commit", "terminate", "terminate_then_kill", "stop_and_take_over")
WIRE = ("cut", "delay", "lose_answer", "unavailable", "refuse")
STORED = ("flip",)


class Soak:
    """Runs under faults on one machine each; counts what was done to them and what came out."""

    def __init__(self, folder: Path, *, seed: int, environment: dict[str, str]) -> None:
        self._folder = folder
        self._seed = seed
        self._environment = environment
        self._config = small_config(folder)
        os.environ["MTL_HOME"] = str(folder / "home")
        os.environ.pop("MTL_STORE", None)
        self._dataset = prepare_dataset(open_workspace(), self._config).fingerprint
        self._lock = threading.Lock()
        self.faults: Counter[str] = Counter()
        self.differences: list[int] = []
        self.lives = 0
        self.plain = self._folder_machine("plain").train().adapter

    def run(self, number: int) -> None:
        """One run from its first life to its end."""
        chance = random.Random(f"{self._seed}/{number}")
        with ExitStack() as stack:
            on_s3 = chance.random() < 0.5
            machine, proxy = (
                stack.enter_context(self._cloud_machine(number))
                if on_s3
                else (self._folder_machine(f"run-{number}"), None)
            )
            for _ in range(chance.randrange(1, LIVES)):
                kinds = PROCESS + STORED + (WIRE if proxy else ())
                if self._live(machine, proxy, chance.choice(kinds), chance):
                    break
            end = machine.train()
            with self._lock:
                self.lives += 1
                if end.code != 0 or end.adapter != self.plain:
                    self.differences.append(number)
                    sys.stderr.write(f"run {number}: exit {end.code}: {end.events[-1:]}\n{end.stderr[-1500:]}\n")
        shutil.rmtree(self._folder / f"run-{number}", ignore_errors=True)

    def _live(self, machine: Machine, proxy: FaultProxy | None, kind: str, chance: random.Random) -> bool:
        """One life with one fault; whether the run came to its end in it all the same."""
        with self._lock:
            self.faults[kind] += 1
            self.lives += 1
        batch = chance.randrange(1, 7)
        if kind == "kill":
            return machine.train(Strike(STEP, batch, late=chance.random() < 0.5)).code == 0
        if kind == "kill_in_commit":
            where, nth = (FINISH, 1) if batch == 6 else (COMMIT, 1 + batch % 3)
            return machine.train(Strike(where, nth, late=chance.random() < 0.5)).code == 0
        if kind == "terminate":
            return machine.train(Strike(chance.choice([STEP, COMMIT]), 1 + batch % 3, signal.SIGTERM)).code == 0
        if kind == "terminate_then_kill":
            return _terminate_then_kill(machine, chance)
        if kind == "stop_and_take_over":
            return self._take_over(machine, chance)
        if kind == "flip":
            _flip(open_store(machine.store), chance)
            return False
        return _bad_wire(machine, proxy, kind, chance)

    def _take_over(self, machine: Machine, chance: random.Random) -> bool:
        """Stopped; another one trains to the end; woken, the first must find itself fenced and change nothing."""
        sleeper = machine.start(Slow(STEP, 0.05))
        time.sleep(chance.uniform(0.2, 2.5))
        if not sleeper.process.is_alive():
            return sleeper.end() == 0
        sleeper.send(signal.SIGSTOP)
        end = machine.train()
        sleeper.send(signal.SIGCONT)
        code = sleeper.end()
        if code not in (0, 75) or (end.code == 0 and end.adapter != self.plain):
            with self._lock:
                self.differences.append(-1)
            sys.stderr.write(f"after a takeover: {code}, {sleeper.events[-1:]}, {end.events[-1:]}\n")
        return end.code == 0

    def _folder_machine(self, name: str) -> Machine:
        datasets = self._folder / "home" / "store" / "datasets"
        return machine_with(self._folder / name / "machine", datasets, self._config, self._dataset)

    @contextmanager
    def _cloud_machine(self, number: int) -> Iterator[tuple[Machine, FaultProxy]]:
        target = urlsplit(self._environment["AWS_ENDPOINT_URL_S3"])
        machine = self._folder_machine(f"run-{number}")
        local = Path(machine.store)
        machine.store = f"s3://soak/{self._seed}/{number}-{uuid.uuid4().hex}"
        store = open_store(machine.store)
        for path in local.rglob("*"):
            if path.is_file():
                store.put_file(path.relative_to(local).as_posix(), path)
        with FaultProxy(str(target.hostname), int(target.port or 0)) as proxy:
            machine.environment = {**self._environment, "AWS_ENDPOINT_URL_S3": proxy.url, "MTL_STORE_PATIENCE": "60"}
            yield machine, proxy


def _terminate_then_kill(machine: Machine, chance: random.Random) -> bool:
    trainer = machine.start(Slow(STEP, 0.05))
    for number in (signal.SIGTERM, signal.SIGKILL):
        time.sleep(chance.uniform(0.0, 1.5))
        if trainer.process.is_alive():
            trainer.send(number)
    return trainer.end() == 0


def _bad_wire(machine: Machine, proxy: FaultProxy | None, kind: str, chance: random.Random) -> bool:
    """Several faults of a kind on the way to S3, spread over the run."""
    assert proxy is not None
    what = chance.choice([b"PUT ", b"GET ", b"HEAD ", b"/log/", b"/blobs/"])
    proxy.fail(kind, times=chance.randrange(1, 6), after=chance.randrange(600), seconds=0.3, containing=what)
    end = machine.train(Strike(STEP, chance.randrange(4, 9)))
    proxy.heal()
    return end.code == 0


def _flip(store: ObjectStore, chance: random.Random) -> None:
    """One bit in one blob, manifest or log entry of the run, if it has one; blobs most often."""
    kind = chance.choice(["/blobs/", "/blobs/", "/manifests/", "/log/"])
    keys = [info.key for info in store.list("runs/") if kind in info.key]
    if keys:
        key = chance.choice(keys)
        try:
            data = bytearray(store.get(key))
        except NotFoundError:
            return
        data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
        store.put(key, bytes(data))


def main(arguments: list[str] | None = None) -> int:
    """Exit code 0 if no run differed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--workers", type=int, default=len(os.sched_getaffinity(0)), help="runs at once")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="begin no run after this time")
    chosen = parser.parse_args(arguments)
    began = time.monotonic()
    folder = Path(tempfile.mkdtemp(prefix="mtl-soak-"))
    try:
        with radosgw_or_moto() as (server, environment):
            os.environ.update(environment)
            _make_bucket()
            soak = Soak(folder, seed=chosen.seed, environment=environment)
            done = _run_all(soak, chosen, began)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    summary: dict[str, Any] = {
        "runs": done,
        "seed": chosen.seed,
        "server": server,
        "lives": soak.lives,
        "faults": dict(sorted(soak.faults.items())),
        "differences": len(soak.differences),
        "differing_runs": soak.differences,
        "seconds": round(time.monotonic() - began),
    }
    print(json.dumps(summary))  # noqa: T201  # its result
    return 1 if soak.differences else 0


def _run_all(soak: Soak, chosen: argparse.Namespace, began: float) -> int:
    """Several at once; how many were run."""

    def one(number: int) -> bool:
        if time.monotonic() - began > chosen.seconds:
            return False
        soak.run(number)
        return True

    done = 0
    with ThreadPoolExecutor(chosen.workers) as pool:
        for ran in pool.map(one, range(chosen.runs)):
            done += ran
            if ran and done % 10 == 0:
                faults, spent = sum(soak.faults.values()), time.monotonic() - began
                sys.stderr.write(f"{done} runs, {faults} faults, {len(soak.differences)} differences, {spent:.0f} s\n")
    return done


def _make_bucket() -> None:
    from mtl.store.s3 import make_client

    make_client().create_bucket(Bucket="soak")


if __name__ == "__main__":
    sys.exit(main())
