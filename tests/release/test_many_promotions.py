"""Real processes that promote and roll back at once, on a real MLflow, stopped and killed at random: no false rollback.

MTL_TEST_SECONDS=300 pytest -m slow tests/release/test_many_promotions.py     # goes on for as long as one likes
"""

from __future__ import annotations

import os
import random
import signal
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from mtl.errors import MtlError
from mtl.mlflow_backend.registry import MlflowRegistry
from mtl.mlflow_backend.tracker import MlflowTracker
from mtl.release.journal import read_journal
from mtl.release.promote import MOVED_BY, follow, promote, rollback
from mtl.store.folder import FolderStore
from tests.release.toy import MODEL, publish_toy
from tests.support.mlflow_db import fresh_tracking

SECONDS = float(os.environ.get("MTL_TEST_SECONDS", "40"))
PROCESSES = 6
VERSIONS = 6


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A store with releases, and an MLflow that knows their versions."""
    store, tracking = FolderStore(tmp_path / "store"), fresh_tracking(tmp_path / "mlflow")
    tracking.client.create_registered_model(MODEL)
    for version in range(1, VERSIONS + 1):
        publish_toy(store, tmp_path, version)
        tracking.client.create_model_version(MODEL, f"file://{tmp_path}/v{version}", await_creation_for=0)
    return tmp_path


def opened(home: Path) -> tuple[FolderStore, MlflowRegistry]:
    return FolderStore(home / "store"), MlflowRegistry(
        MlflowTracker(f"sqlite:///{home / 'mlflow' / 'mlflow.db'}"), MODEL
    )


def work(home: Path, seed: int) -> None:
    """Promote, roll back and follow at random until somebody kills this process."""
    store, registry = opened(home)
    draw = random.Random(seed)
    while True:
        try:
            act(store, registry, draw)
        except MtlError:
            time.sleep(draw.uniform(0, 0.05))


def act(store: FolderStore, registry: MlflowRegistry, draw: random.Random) -> None:
    chosen = draw.random()
    if chosen < 0.6:
        champion = read_journal(store, MODEL).champion
        version = draw.randint(1, VERSIONS)
        promote(
            store,
            version,
            model=MODEL,
            expected=champion,
            reason="better",
            actor="gate",
            aliases=registry,
            forced=True,
        )
    elif chosen < 0.8:
        rollback(store, model=MODEL, reason="worse", actor="ann", aliases=registry)
    else:
        follow(store, model=MODEL, aliases=registry)


def start(home: Path, seed: int) -> int:
    child = os.fork()
    if child == 0:
        try:
            work(home, seed)
        finally:
            os._exit(1)
    return child


def end(process: int) -> None:
    os.kill(process, signal.SIGKILL)
    assert os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) == -signal.SIGKILL, "it ended by itself, with an error"


@pytest.mark.slow
@pytest.mark.timeout(SECONDS + 300)
def test_no_false_rollback(home: Path, record_property: Callable[[str, object], None]) -> None:
    draw = random.Random(1)
    seeds = iter(range(10**9))
    processes = [start(home, next(seeds)) for _ in range(PROCESSES)]
    done: Counter[str] = Counter()
    until = time.monotonic() + SECONDS
    while time.monotonic() < until:
        time.sleep(draw.uniform(0, 1.5))
        index = draw.randrange(PROCESSES)
        if draw.random() < 0.6:
            os.kill(processes[index], signal.SIGSTOP)
            time.sleep(draw.uniform(0, 1.0))
            os.kill(processes[index], signal.SIGCONT)
            done["stopped"] += 1
        else:
            end(processes[index])
            processes[index] = start(home, next(seeds))
            done["killed"] += 1
    for process in processes:
        end(process)
    store, registry = opened(home)
    follow(store, model=MODEL, aliases=registry)
    journal = read_journal(store, MODEL)
    actors = Counter(change.actor for change in journal.changes)
    for name, value in {**done, **actors}.items():
        record_property(name, value)
    assert actors[MOVED_BY] == 0
    assert journal.seq > 5
    aliases = {name: version for name, version in registry.aliases().items() if name in ("champion", "previous")}
    wanted = {"champion": journal.champion, "previous": journal.previous}
    assert aliases == {name: version for name, version in wanted.items() if version is not None}
