"""Preludes: what goes wrong in a trainer process, chosen before it starts and run in it before training."""

from __future__ import annotations

import contextlib
import functools
import importlib
import itertools
import json
import os
import resource
import shutil
import signal
import stat
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import psutil

STEP = "mtl.training.trainer:LoraTrainer.compute_loss"  # once for each batch
COMMIT = "mtl.checkpoints.checkpoint_store:CheckpointStore.commit"
FINISH = "mtl.checkpoints.checkpoint_store:CheckpointStore.finish"
WRITE = "mtl.store.folder:FolderStore._publish"
READ = "mtl.store.folder:FolderStore.get_file"


@dataclass(frozen=True)
class Strike:
    """A prelude: at call number `nth` of a function (`module:name`) the process sends itself a signal."""

    where: str
    nth: int = 1
    number: int = signal.SIGKILL
    late: bool = False  # after the call instead of before it

    def __call__(self) -> None:
        calls = 0
        owner, name = resolve(self.where)
        inner = getattr(owner, name)

        @functools.wraps(inner)
        def struck(*args: Any, **kwargs: Any) -> Any:
            nonlocal calls
            calls += 1
            due = calls == self.nth
            if due and not self.late:
                os.kill(os.getpid(), self.number)
            result = inner(*args, **kwargs)
            if due and self.late:
                os.kill(os.getpid(), self.number)
            return result

        setattr(owner, name, struck)


@dataclass(frozen=True)
class Exhaust:
    """A prelude: at batch number `nth` there is no more memory to be had."""

    nth: int

    def __call__(self) -> None:
        import torch

        @wrapping(STEP)
        def starve(call: int) -> None:
            if call == self.nth:
                size = psutil.Process().memory_info().vms
                resource.setrlimit(resource.RLIMIT_AS, (size, size))
                torch.empty(1 << 30)


@dataclass(frozen=True)
class ClockJump:
    """A prelude: at batch number `nth` the clock jumps."""

    nth: int
    seconds: float

    def __call__(self) -> None:
        real = time.time

        @wrapping(STEP)
        def jump(call: int) -> None:
            if call == self.nth:
                time.time = lambda: real() + self.seconds


@dataclass(frozen=True)
class OtherVersion:
    """A prelude: a library says that it has another version."""

    library: str

    def __call__(self) -> None:
        from mtl.training import plan

        real = metadata.version
        its = {"version": lambda name: "0.0.1" if name == self.library else real(name)}
        vars(plan).update(its)  # it imported the name


@dataclass(frozen=True)
class PowerLoss:
    """A prelude: keeps in folder `durable` what would be left after a power loss: what was fsynced, and no more.

    Files are kept as links to what was written, folders as the names that they had when they were fsynced.
    """

    durable: str

    def __call__(self) -> None:
        real = os.fsync

        def fsync(descriptor: int) -> None:
            real(descriptor)
            status, path = os.fstat(descriptor), Path(f"/proc/self/fd/{descriptor}").readlink()
            if stat.S_ISDIR(status.st_mode):
                names = {entry.name: entry.inode() for entry in os.scandir(path)}
                Path(self.durable, f"folder-{status.st_ino}").write_text(json.dumps(names))
            else:
                with contextlib.suppress(FileExistsError):
                    os.link(path, f"{self.durable}/file-{status.st_ino}")

        os.fsync = fsync  # type: ignore[assignment]  # only called with descriptors here


def after_power_loss(durable: Path, folder: Path, dest: Path) -> None:
    """Build in `dest` what a power loss would have left of `folder`."""
    dest.mkdir(parents=True)
    listed = durable / f"folder-{folder.stat().st_ino}"
    _rebuild(durable, json.loads(listed.read_text()) if listed.exists() else {}, dest)


def _rebuild(durable: Path, names: dict[str, int], dest: Path) -> None:
    for name, inode in names.items():
        file, listed = durable / f"file-{inode}", durable / f"folder-{inode}"
        if file.exists():
            shutil.copyfile(file, dest / name)
        else:
            (dest / name).mkdir()
            if listed.exists():
                _rebuild(durable, json.loads(listed.read_text()), dest / name)


def wrapping(where: str) -> Callable[[Callable[[int], None]], None]:
    """Decorator: have a function called, with the number of the call, before each call of `where`."""

    def install(before: Callable[[int], None]) -> None:
        owner, name = resolve(where)
        inner, calls = getattr(owner, name), itertools.count(1)

        @functools.wraps(inner)
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            before(next(calls))
            return inner(*args, **kwargs)

        setattr(owner, name, wrapped)

    return install


@dataclass(frozen=True)
class Slow:
    """A prelude: every call of a function takes `seconds` longer, so that there is time for something to go wrong."""

    where: str
    seconds: float

    def __call__(self) -> None:
        wrapping(self.where)(lambda call: time.sleep(self.seconds))


def resolve(where: str) -> tuple[Any, str]:
    """`module:Class.name` -> (class, name)."""
    module, _, path = where.partition(":")
    owner: Any = importlib.import_module(module)
    *parents, name = path.split(".")
    for parent in parents:
        owner = getattr(owner, parent)
    return owner, name
