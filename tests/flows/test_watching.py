"""What a step shows of the library's warnings: each of them, but not a flood."""

from __future__ import annotations

import logging

import pytest

from flows import watching


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
