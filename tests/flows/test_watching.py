"""What a step shows of the library's warnings: each of them, but not a flood; and what it notices of its run."""

from __future__ import annotations

import logging
from typing import Any
from uuid import UUID

import pytest
from prefect import flow
from prefect.client.orchestration import get_client
from prefect.exceptions import ObjectNotFound
from prefect.runtime import flow_run
from prefect.settings import PREFECT_API_URL, PREFECT_CLIENT_MAX_RETRIES, temporary_settings
from prefect.states import Cancelled

from flows import watching
from mtl import progress
from mtl.errors import PermanentError


@pytest.fixture(autouse=True)
def run_logger(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching, "get_run_logger", lambda: logging.getLogger("run"))


def told(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name == "run"]


def test_warnings_of_the_trainer_reach_the_steps_log(caplog: pytest.LogCaptureFixture) -> None:
    with watching.watched("train"):
        logging.getLogger("mtl.pipeline.train").warning("damaged checkpoint: %s", "optimizer.pt")
    logging.getLogger("mtl.pipeline.train").warning("after the step")
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
    monkeypatch.setattr(watching, "create_progress_artifact", lambda **_: None)
    with watching.watched("prepare"):
        progress.report("prepare", 2000, 0, "2000 rows read")
    assert told(caplog) == ["prepare 2000 rows read"]


@pytest.fixture
def ended_run(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A flow that somebody ends in the middle of its step: (the flow, what its step noticed)."""
    monkeypatch.setattr(watching, "SECONDS_BETWEEN_LOOKS", 0.0)
    noticed: list[PermanentError] = []

    @flow(name="watched")
    def work(end: Any) -> Any:
        with watching.watched("train"):
            progress.report("train", 1, 100)
            with get_client(sync_client=True) as client:
                end(client, UUID(flow_run.get_id()))
            progress.report("train", 2, 100)  # once may be a proxy's mistake, or its worker is about to stop it
            try:
                progress.report("train", 3, 100)
            except PermanentError as error:
                noticed.append(error)
                raise

    return work, noticed


def test_a_cancelled_run_that_its_worker_did_not_reach_does_not_go_on(ended_run: Any) -> None:
    work, noticed = ended_run
    ended = work(lambda client, run: client.set_flow_run_state(run, Cancelled(), force=True), return_state=True)
    (error,) = noticed
    assert error.message.endswith("was cancelled in Prefect, so train was stopped")
    assert error.message in str(ended.message)


def test_a_run_that_was_deleted_does_not_go_on(ended_run: Any) -> None:
    work, noticed = ended_run
    with pytest.raises(ObjectNotFound):  # of the engine, which cannot record the end
        work(lambda client, run: client.delete_flow_run(run))
    (error,) = noticed
    assert error.message.endswith("was deleted in Prefect, so train was stopped")
    assert "a new run of the same configuration resumes from the last checkpoint" in str(error.hint)


def test_a_server_that_is_away_says_nothing_of_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching, "SECONDS_BETWEEN_LOOKS", 0.0)
    monkeypatch.setattr(watching, "create_progress_artifact", lambda **_: None)

    @flow(name="watched")
    def work() -> int:
        with watching.watched("train"):
            for step in range(4):
                with temporary_settings({PREFECT_API_URL: "http://127.0.0.1:9/api", PREFECT_CLIENT_MAX_RETRIES: 0}):
                    progress.report("train", step, 100)
        return 1

    assert work() == 1
