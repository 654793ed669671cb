"""Start the trainer process, follow its events, and turn its end into a result or an error by kind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import uuid
from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from mtl.config.retrain import RetrainConfig
from mtl.errors import (
    DataError,
    FencedError,
    InputError,
    MismatchError,
    ModelError,
    MtlError,
    NotFoundError,
    PermanentError,
    PreemptedError,
    TransientError,
)
from mtl.settings import Settings
from mtl.training.events import parse_event
from mtl.training.plan import TrainPlan

Event = Mapping[str, Any]
_KINDS: dict[str, type[MtlError]] = {
    cls.kind: cls
    for cls in (
        DataError,
        FencedError,
        InputError,
        MismatchError,
        ModelError,
        NotFoundError,
        PermanentError,
        PreemptedError,
        TransientError,
    )
}
_GRACE = 25.0  # seconds for a stop request; Prefect kills after 30


def launch_training(
    config: RetrainConfig, dataset: str, settings: Settings, on_event: Callable[[Event], None]
) -> dict[str, Any]:
    """Train in a process of its own, so that a crash, an out-of-memory kill or a GPU fault ends only that process.

    on_event gets every event as it comes. A killed process is a TransientError: the run can be taken up again.
    """
    settings.home.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=settings.home, prefix="train-") as folder:
        work = Path(folder)
        plan = TrainPlan(
            config=config.model_dump(mode="json", by_alias=True),
            dataset=dataset,
            store=settings.store,
            cache=str(settings.cache),
            work=str(work),
            owner=f"{os.uname().nodename}-{os.getpid()}-{uuid.uuid4().hex[:8]}",
        )
        plan.save(work / "plan.json")
        return _follow(work, on_event)


def _follow(work: Path, on_event: Callable[[Event], None]) -> dict[str, Any]:
    command = [sys.executable, "-m", "mtl.training", str(work / "plan.json")]
    with (work / "stderr.log").open("w+", encoding="utf-8", errors="replace") as errors:
        # A session of its own: Ctrl-C reaches only this process, which then asks the trainer to stop and save.
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True, start_new_session=True)
        last: Event = {}
        try:
            assert process.stdout is not None
            for line in process.stdout:
                event = parse_event(line)
                if event is not None:
                    last = event
                    on_event(event)
            code = process.wait()
        except BaseException:
            _stop(process)
            raise
        errors.seek(0)
        tail = "".join(deque(errors, maxlen=15)).strip()
    if code == 0 and last.get("event") == "done":
        return {name: value for name, value in last.items() if name != "event"}
    raise _failure(code, last, tail)


def _stop(process: subprocess.Popen[str]) -> None:
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(_GRACE)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _failure(code: int, last: Event, tail: str) -> MtlError:
    """The error that the end of the process stands for."""
    if last.get("event") == "error":
        message = str(last["message"]) + (f"\n{tail}" if last["kind"] == "crash" and tail else "")
        kind = _KINDS.get(str(last["kind"]), PermanentError)
        return kind(message, field=last.get("field"), hint=last.get("hint"))
    if code < 0:
        name = signal.Signals(-code).name
        return TransientError(
            f"the trainer was killed by {name}",
            hint="run the same command again: it goes on from the last checkpoint"
            + ("; SIGKILL without a cause is often the kernel's answer to too little memory" if -code == 9 else ""),
        )
    return PermanentError(f"the trainer ended with exit code {code}\n{tail}")
