"""Real trainer processes for tests of faults, each with its own pid, signals and files.

They are forked from a server that has imported torch already: a process of its own takes a second instead of seven,
and runs the same entry point. What goes wrong in it is chosen by preludes, which run in it before training.
"""

from __future__ import annotations

import multiprocessing
import os
import shutil
import sys
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import psutil

from mtl.config.retrain import RetrainConfig
from mtl.training.events import parse_event
from mtl.training.plan import TrainPlan

Event = Mapping[str, Any]
Prelude = Callable[[], None]
SERVER = multiprocessing.get_context("forkserver")
SERVER.set_forkserver_preload(["mtl.training.recipe", "tests.support.trainers"])


@dataclass
class Trainer:
    """A trainer that runs or has ended. code: its exit code, negative for a signal."""

    process: Any
    said: Path

    @property
    def pid(self) -> int:
        return int(self.process.pid)

    @property
    def events(self) -> list[Event]:
        lines = (self.said / "events").read_text().splitlines()
        return [event for event in map(parse_event, lines) if event is not None]

    def of(self, kind: str) -> list[Event]:
        return [event for event in self.events if event["event"] == kind]

    def send(self, number: int) -> None:
        os.kill(self.pid, number)

    def until(self, kind: str, step: int | None = None, *, seconds: float = 120.0) -> Event:
        """Wait for an event; an end of the process before it fails the test."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            alive = self.process.is_alive()
            for event in self.of(kind):
                if step is None or event["step"] >= step:
                    return event
            assert alive, f"the trainer ended with {self.process.exitcode} before {kind}: {self.stderr()[-2000:]}"
            time.sleep(0.01)
        raise AssertionError(f"no {kind} event in {seconds} s")

    def end(self, *, seconds: float = 900.0) -> int:
        """Wait for the end of the process; its exit code."""
        self.process.join(seconds)
        assert not self.process.is_alive(), f"the trainer still runs after {seconds} s: {self.events[-3:]}"
        return int(self.process.exitcode)

    def stderr(self) -> str:
        return (self.said / "stderr").read_text(errors="replace")

    def discard(self) -> None:
        """End it and whatever it started."""
        if self.process.is_alive():
            for child in psutil.Process(self.pid).children(recursive=True):
                child.kill()
            self.process.kill()
            self.process.join()


@dataclass(frozen=True)
class End:
    """How a trainer ended."""

    code: int
    events: list[Event]
    stderr: str

    @property
    def result(self) -> Event:
        last = self.events[-1]
        assert self.code == 0, f"exit code {self.code}: {last}\n{self.stderr[-3000:]}"
        assert last["event"] == "done"
        return last

    @property
    def adapter(self) -> str:
        return str(self.result["adapter_sha256"])

    @property
    def error(self) -> Event:
        (error,) = self.of("error")
        return error

    def of(self, kind: str) -> list[Event]:
        return [event for event in self.events if event["event"] == kind]


@dataclass
class Machine:
    """A machine to train on: a home of its own, and a store."""

    home: Path
    store: str
    config: RetrainConfig
    dataset: str
    environment: dict[str, str] = field(default_factory=dict)
    started: list[Trainer] = field(default_factory=list)
    said: Path | None = None  # where events and standard error are kept, if not beside the home

    def start(
        self, *preludes: Prelude, config: RetrainConfig | None = None, resume: str | None = None, **environment: str
    ) -> Trainer:
        """Start a trainer; it runs until it ends or is stopped."""
        name = uuid.uuid4().hex
        work, said = self.home / "train" / name, (self.said or self.home.parent) / f"said-{name}"
        work.mkdir(parents=True)
        said.mkdir()
        for stream in ("events", "stderr"):
            (said / stream).touch()
        plan = TrainPlan(
            config=(config or self.config).model_dump(mode="json", by_alias=True),
            dataset=self.dataset,
            store=self.store,
            cache=str(self.home / "cache"),
            work=str(work),
            owner=f"test-{name[:8]}",
            resume=resume,
        )
        plan.save(work / "plan.json")
        variables = {**os.environ, **self.environment, **environment}
        process = SERVER.Process(target=_main, args=(str(work), str(said), variables, preludes))
        process.start()
        trainer = Trainer(process, said)
        self.started.append(trainer)
        return trainer

    def train(self, *preludes: Prelude, seconds: float = 900.0, **options: Any) -> End:
        """Run a trainer to its end, whatever that is."""
        trainer = self.start(*preludes, **options)
        code = trainer.end(seconds=seconds)
        return End(code, trainer.events, trainer.stderr())

    def other(self, home: Path) -> Machine:
        """A fresh machine that shares nothing but the store."""
        return replace(self, home=home)

    def copy(self, home: Path) -> Machine:
        """A machine with a copy of this one's home, and of the store in it."""
        shutil.copytree(self.home, home)
        return replace(self, home=home, store=str(home / "store"))


def machine_with(home: Path, datasets: Path, config: RetrainConfig, dataset: str) -> Machine:
    """A machine whose store is a folder of its own that holds the prepared data set."""
    shutil.copytree(datasets, home / "store" / "datasets")
    return Machine(home, str(home / "store"), config, dataset)


def _main(work: str, said: str, variables: dict[str, str], preludes: tuple[Prelude, ...]) -> None:
    os.setsid()
    os.environ.clear()
    os.environ.update(variables)
    for name, descriptor in (("events", 1), ("stderr", 2)):
        opened = os.open(f"{said}/{name}", os.O_CREAT | os.O_WRONLY | os.O_APPEND)
        os.dup2(opened, descriptor)
    for prelude in preludes:
        prelude()
    from mtl.training.__main__ import main

    code = main(f"{work}/plan.json")
    sys.stderr.flush()
    sys.exit(code)
