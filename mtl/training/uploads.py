"""Commits beside training: the next steps run while the last checkpoint goes to the store."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path


class Uploads:
    """Carries one checkpoint at a time, in a thread of its own; the trainer waits only if the last is not done.

    commit: makes the files of a folder the checkpoint at a step. Only that thread may use what `commit` uses, until
    `wait` has returned.
    """

    def __init__(self, commit: Callable[[int, Path], None]) -> None:
        self._commit = commit
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="upload")
        self._running: Future[None] | None = None

    def submit(self, step: int, folder: Path) -> None:
        """Commit `folder`, which nobody else touches any more. Raises what went wrong with the one before it."""
        self.wait()
        self._running = self._thread.submit(self._commit, step, folder)

    def check(self) -> None:
        """Raise what went wrong with a commit that has ended; waits for nothing."""
        if self._running is not None and self._running.done():
            self.wait()

    def wait(self) -> None:
        """Until the commit that is under way is durable. Raises what went wrong with it."""
        running, self._running = self._running, None
        if running is not None:
            running.result()

    def close(self) -> None:
        """Let the commit that is under way end, however it ends: another error is on its way."""
        self._thread.shutdown(wait=True)
