"""Start the trainer process, follow its events, and turn its end into a result or an error by kind."""

from __future__ import annotations

import contextlib
import os
import sys
import time
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from mtl import layout
from mtl.config.retrain import RetrainConfig
from mtl.errors import MtlError
from mtl.fingerprint import canonical_json
from mtl.settings import Settings, trainer_processes
from mtl.store.files import written_aside
from mtl.store.scratch import scratch
from mtl.training.ending import ending_of, error_of, the_better
from mtl.training.events import parse_event
from mtl.training.on_ray import follow_on_ray
from mtl.training.parent import Parent
from mtl.training.plan import TrainPlan, pinned
from mtl.training.process import ask_to_stop, last_lines, on_sigterm, started, stop
from mtl.training.result import TrainedModel

Event = Mapping[str, Any]


def launch_training(
    config: RetrainConfig,
    dataset: str,
    settings: Settings,
    on_event: Callable[[Event], None],
    *,
    resume: str | None = None,
    parent: Parent | None = None,
) -> TrainedModel:
    """Train in processes of their own, so that a crash, an out-of-memory kill or a GPU fault ends only these: here, or
    on the machines of a Ray cluster (`run.engine`).

    on_event gets every event as it comes. resume: identity of the run that must be gone on from. parent: the version
    whose adapter is started from. How it ended is kept in `last-words/NAME.json` below MTL_HOME. A killed process is a
    TransientError: the run can be taken up again.
    """
    with scratch(layout.home_training(settings.home)) as work:
        plan = TrainPlan(
            config=pinned(config).model_dump(mode="json", by_alias=True),
            dataset=dataset,
            store=settings.store,
            cache=str(settings.cache),
            work=str(work),
            owner=f"{os.uname().nodename}-{os.getpid()}-{uuid.uuid4().hex[:8]}",
            resume=resume,
            parent=parent.to_dict() if parent else None,
        )
        follow = follow_on_ray if config.run.engine == "ray" else _follow_here
        code, last, tail = follow(plan, on_event)
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


def _follow_here(plan: TrainPlan, on_event: Callable[[Event], None]) -> tuple[int, Event, str]:
    """(exit code, the event that says most of the end, end of standard error) of the trainer on this machine."""
    work = Path(plan.work)
    plan.save(work / "plan.json")
    with (work / "stderr.log").open("w+", encoding="utf-8", errors="replace") as errors:
        process = started(_command(work / "plan.json", trainer_processes()), errors)
        last: Event = {}
        try:
            with on_sigterm(lambda: ask_to_stop(process)):
                assert process.stdout is not None
                for line in process.stdout:
                    event = parse_event(line)
                    if event is not None:
                        last = the_better(last, event)
                        on_event(event)
                code = process.wait()
        except BaseException:
            stop(process)
            raise
        return code, last, last_lines(errors)


def _command(plan: Path, processes: int) -> list[str]:
    """The trainer, or several of them that torchrun keeps together."""
    trainer = ["-m", "mtl.training", str(plan), str(os.getpid())]
    if processes == 1:
        return [sys.executable, *trainer]
    together = ["-m", "mtl.training.agent", "--standalone", f"--nproc-per-node={processes}"]
    return [sys.executable, *together, *trainer]
