"""What a step shows of the library's warnings: each of them, but not a flood."""

from __future__ import annotations

import logging

import pytest

from flows import watching
from mtl.progress import Moment


@pytest.fixture(autouse=True)
def run_logger(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching, "get_run_logger", lambda: logging.getLogger("run"))


def told(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name == "run"]


def test_warnings_of_the_trainer_reach_the_steps_log(caplog: pytest.LogCaptureFixture) -> None:
    with watching.watched("train"):
        logging.getLogger("mtl.chain.learn").warning("damaged checkpoint: %s", "optimizer.pt")
    logging.getLogger("mtl.chain.learn").warning("after the step")
    assert told(caplog) == ["damaged checkpoint: optimizer.pt"]


def test_a_flood_is_cut_and_counted(caplog: pytest.LogCaptureFixture) -> None:
    with watching.watched("train"):
        for number in range(1000):
            logging.getLogger("mtl").warning("again %d", number)
    lines = told(caplog)
    assert len(lines) == 101
    assert lines[-1] == "900 more warnings were not shown"


def test_progress_of_unknown_length_shows_no_share(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.INFO, logger="run")
    watch = watching._Watcher("prepare")
    monkeypatch.setattr(watch, "_show", lambda percent, note: None)
    watch(Moment("prepare", 2000, 0, "2000 rows read"))
    assert told(caplog) == ["prepare 2000 rows read"]
