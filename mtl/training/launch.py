"""Start the trainer process, follow its events, and turn its end into a result or an error by kind."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import IO, Any

from mtl import layout
from mtl.config.retrain import RetrainConfig
from mtl.errors import MtlError, TransientError
from mtl.fingerprint import canonical_json
from mtl.settings import Settings, TrainerNodes, trainer_nodes, trainer_processes
from mtl.store.files import written_aside
from mtl.store.open import open_store
from mtl.store.scratch import scratch
from mtl.training.ending import ending_of, error_of, the_better
from mtl.training.events import parse_event
from mtl.training.node import announced, torchrun
from mtl.training.parent import Parent
from mtl.training.plan import TrainPlan
from mtl.training.result import TrainedModel

Event = Mapping[str, Any]
_GRACE = 25.0  # seconds for a stop request; Prefect kills after 30


def launch_training(
    config: RetrainConfig,
    dataset: str,
    settings: Settings,
    on_event: Callable[[Event], None],
    *,
    resume: str | None = None,
    parent: Parent | None = None,
) -> TrainedModel:
    """Train in a process of its own, so that a crash, an out-of-memory kill or a GPU fault ends only that process.

    on_event gets every event as it comes. resume: identity of the run that must be gone on from. parent: the version
    whose adapter is started from. How it ended is kept in `last-words/NAME.json` below MTL_HOME. A killed process is a
    TransientError: the run can be taken up again.
    """
    with scratch(layout.home_training(settings.home)) as work:
        plan = TrainPlan(
            config=config.model_dump(mode="json", by_alias=True),
            dataset=dataset,
            store=settings.store,
            cache=str(settings.cache),
            work=str(work),
            owner=f"{os.uname().nodename}-{os.getpid()}-{uuid.uuid4().hex[:8]}",
            resume=resume,
            parent=parent.to_dict() if parent else None,
        )
        plan.save(work / "plan.json")
        nodes = trainer_nodes()
        others = announced(open_store(settings.store), nodes, plan) if nodes is not None else contextlib.nullcontext()
        with others:
            code, last, tail = _follow(work, on_event)
    if code == 0 and last.get("event") == "done":
        result = TrainedModel.from_json(last, "the trainer's last event")
        _keep(settings, config.name, {"exit_code": 0, "cause": "done", "identity": result.identity})
        return result
    ending = ending_of(code, last, tail)
    _keep(settings, config.name, ending)
    raise error_of(ending)


def ending_file(settings: Settings, name: str) -> Path:
    """Where the end of the last training of a configuration is kept."""
    return layout.home_ending(settings.home, name)


def _keep(settings: Settings, name: str, words: Mapping[str, Any]) -> None:
    document = {"name": name, "time": time.time(), **words}
    # A full disk is one of the things to tell of; the error itself tells it too.
    with contextlib.suppress(MtlError), written_aside(ending_file(settings, name)) as file:
        file.write(canonical_json(document))


def _follow(work: Path, on_event: Callable[[Event], None]) -> tuple[int, Event, str]:
    """(exit code, the event that says most of the end, end of standard error) of the trainer."""
    command = _command(work / "plan.json", trainer_processes(), trainer_nodes())
    with (work / "stderr.log").open("w+", encoding="utf-8", errors="replace") as errors:
        process = _started(command, errors)
        last: Event = {}
        try:
            with _passing_on_sigterm(process):
                assert process.stdout is not None
                for line in process.stdout:
                    event = parse_event(line)
                    if event is not None:
                        last = the_better(last, event)
                        on_event(event)
                code = process.wait()
        except BaseException:
            _stop(process)
            raise
        errors.seek(0)
        return code, last, "".join(deque(errors, maxlen=15)).strip()


def _started(command: list[str], errors: IO[str]) -> subprocess.Popen[str]:
    """In a session of its own: Ctrl-C reaches only this process, which then asks the trainer to stop and save."""
    try:
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True, start_new_session=True)
    except OSError as error:  # no memory, no room for a process, an interpreter that is just being replaced
        raise TransientError(
            f"the trainer could not be started: {error}",
            hint="run the same command again; mtl doctor says what this machine lacks",
        ) from None


def _command(plan: Path, processes: int, nodes: TrainerNodes | None = None) -> list[str]:
    """The trainer, or several of them that torchrun keeps together, here or on several machines."""
    if nodes is not None:
        return torchrun(nodes, plan)
    trainer = ["-m", "mtl.training", str(plan), str(os.getpid())]
    if processes == 1:
        return [sys.executable, *trainer]
    together = ["-m", "mtl.training.agent", "--standalone", f"--nproc-per-node={processes}"]
    return [sys.executable, *together, *trainer]


def _stop(process: subprocess.Popen[str]) -> None:
    """Ask the trainer to save and end; kill it if it does not within the grace."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(_GRACE)
        except subprocess.TimeoutExpired:
            _kill(process)
            process.wait()


def _kill(process: subprocess.Popen[str]) -> None:
    if process.poll() is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


@contextmanager
def _passing_on_sigterm(process: subprocess.Popen[str]) -> Iterator[None]:
    """SIGTERM to this process stops the trainer, whose checkpoint and PreemptedError then end this one in order.

    Only where nobody handles it yet: Prefect's engine raises in the step, and that stops the trainer as well.
    """
    mine = threading.current_thread() is threading.main_thread()
    if not mine or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        yield
        return
    timers: list[threading.Timer] = []

    def pass_on(number: int, frame: FrameType | None) -> None:
        if process.poll() is None and not timers:
            os.killpg(process.pid, signal.SIGTERM)
            timers.append(threading.Timer(_GRACE, _kill, [process]))
            timers[0].start()

    signal.signal(signal.SIGTERM, pass_on)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        for timer in timers:
            timer.cancel()
