"""Commits beside training: one at a time, waited for only when the next one comes, and never lost silently."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from mtl.errors import FencedError
from mtl.training.uploads import Uploads


def test_the_trainer_goes_on_while_a_commit_is_made_and_waits_at_the_next() -> None:
    gate, done = threading.Event(), []

    def commit(step: int, folder: Path) -> None:
        assert gate.wait(10)
        done.append(step)

    uploads = Uploads(commit)
    uploads.submit(1, Path())
    uploads.check()  # waits for nothing
    assert done == []
    second = threading.Thread(target=uploads.submit, args=(2, Path()))
    second.start()
    second.join(0.2)
    assert second.is_alive()
    gate.set()
    second.join(10)
    uploads.wait()
    assert done == [1, 2]


def test_a_failed_commit_stops_whoever_asks_next() -> None:
    def commit(step: int, folder: Path) -> None:
        raise FencedError("somebody else's")

    uploads = Uploads(commit)
    uploads.submit(1, Path())
    uploads.close()
    with pytest.raises(FencedError, match="somebody else's"):
        uploads.check()
    uploads.check()
    uploads.wait()
