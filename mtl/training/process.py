"""A trainer process as whoever started it sees it: asked to stop and save, and killed if it does not."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import FrameType
from typing import IO

from mtl.errors import TransientError

GRACE = 25.0  # seconds for a stop request; Prefect kills after 30


def started(command: list[str], errors: IO[str], environment: Mapping[str, str] | None = None) -> subprocess.Popen[str]:
    """In a session of its own: Ctrl-C reaches only this process, which then asks the trainer to stop and save."""
    try:
        return subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=errors, text=True, start_new_session=True, env=environment
        )
    except OSError as error:  # no memory, no room for a process, an interpreter that is just being replaced
        raise TransientError(
            f"the trainer could not be started: {error}",
            hint="run the same command again; mtl doctor says what this machine lacks",
        ) from None


def ask_to_stop(process: subprocess.Popen[str]) -> None:
    """Ask the trainer to save and end; it is killed if it has not after the grace."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGTERM)
        timer = threading.Timer(GRACE, _kill, [process])
        timer.daemon = True
        timer.start()


def stop(process: subprocess.Popen[str]) -> None:
    """Ask the trainer to save and end, and wait until it has."""
    ask_to_stop(process)
    process.wait()


def _kill(process: subprocess.Popen[str]) -> None:
    if process.poll() is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


def last_lines(errors: IO[str]) -> str:
    """The end of what the trainer wrote to standard error."""
    errors.seek(0)
    return "".join(deque(errors, maxlen=15)).strip()


@contextmanager
def on_sigterm(act: Callable[[], object]) -> Iterator[None]:
    """Have the first SIGTERM to this process call `act`, so that it ends in order when its trainers have.

    Only where nobody handles it yet: Prefect's engine raises in the step, and that stops the trainers as well.
    """
    mine = threading.current_thread() is threading.main_thread()
    if not mine or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        yield
        return
    asked = False

    def pass_on(number: int, frame: FrameType | None) -> None:
        nonlocal asked
        if not asked:
            asked = True
            act()

    signal.signal(signal.SIGTERM, pass_on)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
