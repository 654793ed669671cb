"""`mtl status` on a real Prefect server, after an embedded one has ended, and with nobody there."""

from __future__ import annotations

import base64
import json
import os
import re
import subprocess
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from prefect import flow
from prefect.artifacts import create_progress_artifact
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import DeploymentScheduleCreate, WorkPoolCreate
from prefect.client.schemas.objects import State
from prefect.client.schemas.schedules import CronSchedule
from prefect.settings import PREFECT_API_URL
from prefect.states import Cancelled, Completed, Crashed, Failed, Pending, Running, Scheduled

from mtl.cli.health import status_text
from mtl.cli.main import run
from mtl.errors import DamageError
from mtl.release.journal import Change, journal_log
from mtl.service.runs import embedded_runs, keep_runs
from mtl.service.status import run_warnings
from mtl.settings import PrefectSettings
from mtl.stack.environment import client_environment
from mtl.stack.state import USUAL, make_stack
from mtl.stack.supervisor import MARK
from mtl.store.folder import FolderStore
from tests.support.http import Answer, serving

MODEL = "mtl-flan-t5"


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in list(os.environ):
        if name.startswith(("MTL_", "MLFLOW_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("MTL_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREFECT_API_URL", PREFECT_API_URL.value())


def status(capsys: pytest.CaptureFixture[str]) -> Any:
    assert run(["status", "--json"]) == 0
    return json.loads(capsys.readouterr().out.splitlines()[-1])


@flow(name="breaks")
def breaks() -> None:
    raise ValueError("the password is s3cr3t-word")


@flow(name="works")
def works() -> None:
    pass


def crown(home: Path) -> None:
    change = Change("promote", 3, None, None, "better", "ann", "2026-11-23T01:02:03+00:00", False, "0" * 64)
    journal_log(FolderStore(home / "store"), MODEL).append(1, change.to_dict())


@pytest.mark.usefixtures("served")
def test_runs_champion_queue_and_what_needs_somebody(
    capsys: pytest.CaptureFixture[str], home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOME_SECRET", "s3cr3t-word")
    crown(home)
    works()
    with pytest.raises(ValueError, match="password"):
        breaks()
    with get_client(sync_client=True) as client:
        client.create_work_pool(WorkPoolCreate(name="idle-pool", type="process"), overwrite=True)
        document = status(capsys)
        client.delete_work_pool("idle-pool")
    assert document["services"] == {"store": "ok", "prefect": "ok", "mlflow": "ok"}
    assert (document["champion"]["version"], document["champion"]["by"]) == (3, "ann")
    newest = {run["flow"]: run["state"] for run in reversed(document["runs"])}
    assert (newest["breaks"], newest["works"]) == ("Failed", "Completed")
    assert set(document["queue"]) == {"running", "pending", "paused", "late"}
    warnings = "\n".join(document["warnings"])
    assert "the last run of breaks" in warnings
    assert "the password is ***" in warnings
    assert "s3cr3t-word" not in json.dumps(document)
    assert "work pool idle-pool has no worker online" in warnings
    assert run(["status"]) == 0
    text = capsys.readouterr().out
    assert re.search(r"mtl-flan-t5 v3 since 2026-11-2\d \d\d:02 \S+ by ann", text)
    assert text.startswith("! ")


@pytest.mark.usefixtures("served")
def test_a_run_that_waits_is_among_the_last_ones_and_a_planned_one_is_not(capsys: pytest.CaptureFixture[str]) -> None:
    with get_client(sync_client=True) as client:
        waits = client.create_flow_run(works, name="waits", state=Pending())
        planned = client.create_flow_run(works, state=Scheduled(scheduled_time=datetime.now(UTC) + timedelta(hours=1)))
        document = status(capsys)
        assert run(["status"]) == 0
        for made in (waits, planned):
            client.delete_flow_run(made.id)
    shown = {run["id"]: (run["state"], run["started"]) for run in document["runs"]}
    assert shown[str(waits.id)] == ("Pending", None)
    assert str(planned.id) not in shown
    assert re.search(r"^waiting +0 +Pending +works +waits$", capsys.readouterr().out, re.MULTILINE)


@pytest.mark.usefixtures("served")
def test_a_run_under_way_shows_how_far_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    @flow(name="under-way")
    def under_way() -> tuple[Any, str]:
        create_progress_artifact(progress=40.0, key="train-progress", description="loss mcq 0.2 19s left")
        document = status(capsys)
        assert run(["status"]) == 0
        return document, capsys.readouterr().out

    document, text = under_way()
    (shown,) = [its for its in document["runs"] if its["flow"] == "under-way"]
    assert (shown["state"], shown["progress"]) == ("Running", "train 40% loss mcq 0.2 19s left")
    assert re.search(r"^  .*: train 40% loss mcq 0.2 19s left$", text, re.MULTILINE)


@pytest.mark.usefixtures("served")
def test_a_poll_hides_neither_the_next_run_of_the_night_nor_the_last_retrain(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A poll every five minutes has more runs to come, and behind it, than fit on a screen."""

    @flow(name="retrain")
    def retrain() -> None:
        pass

    retrain()
    schedule = DeploymentScheduleCreate(schedule=CronSchedule(cron="0 3 * * *"), active=True)
    now = datetime.now(UTC)
    with get_client(sync_client=True) as client:
        made = {
            name: client.create_deployment(client.create_flow(works), name=name, schedules=[schedule])
            for name in ("often", "nightly")
        }
        runs = []
        for minutes in range(1, 12):
            soon: State[Any] = Scheduled(scheduled_time=now + timedelta(minutes=minutes))
            runs.append(client.create_flow_run_from_deployment(made["often"], state=soon))
            runs.append(client.create_flow_run(works, state=Completed()))
        tonight: State[Any] = Scheduled(scheduled_time=now + timedelta(hours=1))
        runs.append(client.create_flow_run_from_deployment(made["nightly"], state=tonight))
        document = status(capsys)
        for its in runs:
            client.delete_flow_run(its.id)
        for deployment in made.values():
            client.delete_deployment(deployment)
    assert [item["deployment"] for item in document["next"]] == ["works/often", "works/nightly"]
    shown = status_text(document).partition("next ")[2].splitlines()[:2]
    assert {line.index("works/") - (0 if number else -len("next ")) for number, line in enumerate(shown)} == {
        shown[1].index("works/")
    }
    assert document["schedules"] == 2
    assert "retrain" in {its["flow"] for its in document["runs"]}
    assert len(document["runs"]) <= 10


def test_the_runs_of_an_embedded_server_are_told_when_it_is_gone(home: Path) -> None:
    works()
    assert embedded_runs(home).last == []
    home.mkdir()
    keep_runs(PrefectSettings(url=PREFECT_API_URL.value(), home=home))
    last = embedded_runs(home).last
    assert {"flow", "state", "started", "seconds"} <= set(last[0])
    assert datetime.fromisoformat(last[0]["started"]).utcoffset() == timedelta(0)
    assert ("works", "Completed") in {(run["flow"], run["state"]) for run in last}


def test_kept_runs_that_are_damaged_say_what_to_do(home: Path) -> None:
    home.mkdir()
    (home / "runs.json").write_text('{"runs": [{"id": 1}]}')
    with pytest.raises(DamageError, match=r"runs\.json is damaged") as caught:
        embedded_runs(home)
    assert caught.value.hint == "remove it: the next command writes it anew"


@pytest.mark.usefixtures("served")
def test_the_next_run_is_shown_before_prefect_has_made_it(capsys: pytest.CaptureFixture[str]) -> None:
    """Right after a deployment. A paused one has none."""
    schedule = DeploymentScheduleCreate(schedule=CronSchedule(cron="0 3 * * *", timezone="Europe/Berlin"), active=True)
    with get_client(sync_client=True) as client:
        flow_id = client.create_flow(works)
        made = [
            client.create_deployment(flow_id, name="new", schedules=[schedule]),
            client.create_deployment(flow_id, name="later", schedules=[schedule], paused=True),
        ]
        document = status(capsys)
        for its in made:
            client.delete_deployment(its)
    (item,) = [item for item in document["next"] if item["deployment"].startswith("works/")]
    berlin = datetime.fromisoformat(item["at"]).astimezone(ZoneInfo("Europe/Berlin"))
    assert (item["deployment"], berlin.hour, berlin.minute) == ("works/new", 3, 0)
    assert timedelta(0) < berlin - datetime.now(UTC) <= timedelta(hours=25)


@pytest.mark.usefixtures("served")
@pytest.mark.parametrize(
    ("state", "warned"),
    [(Failed, True), (Crashed, True), (Cancelled, False)],
    ids=["failed", "crashed", "cancelled by a person"],
)
def test_a_warning_about_a_run_ends(
    capsys: pytest.CaptureFixture[str], state: Callable[..., State[Any]], warned: bool
) -> None:
    with get_client(sync_client=True) as client:
        made = client.create_flow_run(works, name="went-wrong", state=Running())
        client.set_flow_run_state(made.id, state(message="why"), force=True)
        found = [line for line in status(capsys)["warnings"] if "went-wrong" in line]
        again = client.create_flow_run(works, state=Completed())
        later = [line for line in status(capsys)["warnings"] if "went-wrong" in line]
        for its in (made, again):
            client.delete_flow_run(its.id)
    assert found == ([f"the last run of works (went-wrong) is {state().name}: why"] if warned else [])
    assert later == []


def test_a_warning_about_a_run_by_hand_ends_after_a_day_and_that_of_a_planned_one_with_the_next() -> None:
    def warned(hours: int, *, planned: bool) -> bool:
        started = (datetime.now(UTC) - timedelta(hours=hours)).isoformat()
        bad = {"flow": "retrain/x", "name": "n", "state": "Failed", "started": started, "seconds": 5, "message": None}
        coming = [{"deployment": "retrain/x", "at": started}] if planned else []
        return bool(run_warnings({"runs": [bad], "queue": None, "next": coming}))

    assert warned(1, planned=False) and warned(1, planned=True) and warned(48, planned=True)
    assert not warned(48, planned=False)


@pytest.mark.parametrize("leads", [True, False], ids=["of the stack's shell", "of a plain shell"])
def test_a_stack_that_is_down_comes_first_and_nothing_misleading_after_it(
    capsys: pytest.CaptureFixture[str], home: Path, monkeypatch: pytest.MonkeyPatch, leads: bool
) -> None:
    stack = make_stack(home, usual=dict.fromkeys(USUAL))
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    for name, value in client_environment(stack).items() if leads else ():
        monkeypatch.setenv(name, value)
    document = status(capsys)
    assert document["stack"] == "down"
    assert document["warnings"] == ["the stack is down: mtl stack up starts it, and runs that were interrupted go on"]
    assert run(["status"]) == 0
    first, second, *rest = capsys.readouterr().out.splitlines()
    assert first == "! the stack is down: mtl stack up starts it, and runs that were interrupted go on"
    assert second == "next: mtl stack up"
    assert [line.split()[0] for line in rest if line] == ["disk"]


def test_a_stack_that_this_shell_does_not_lead_to(
    capsys: pytest.CaptureFixture[str], home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stack = make_stack(home, usual=dict.fromkeys(USUAL))
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    service = subprocess.Popen(["sleep", "60"], env={**os.environ, MARK: str(stack.folder)})
    try:
        assert run(["status"]) == 0
        first, second, *_ = capsys.readouterr().out.splitlines()
        assert first == '! the stack runs, but this shell does not lead to it: eval "$(mtl stack env)"'
        assert second == 'next: eval "$(mtl stack env)" && mtl status'
        monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:9/api")
        assert status(capsys)["stack"] is None
    finally:
        service.kill()
        service.wait()


def test_nothing_was_ever_run(capsys: pytest.CaptureFixture[str], home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    document = status(capsys)
    assert (document["champion"]["version"], document["champion"]["newest"], document["runs"]) == (None, None, [])
    assert document["champion"]["searched"].startswith(
        f"looked in the store {home}/store, a folder that does not exist"
    )
    assert document["services"]["prefect"] == "ok"
    assert not home.exists()


def test_metrics_wait_once_nobody_writes_them_any_more(
    capsys: pytest.CaptureFixture[str], home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    buffer = home / "metrics" / "run.jsonl"
    buffer.parent.mkdir(parents=True)
    buffer.write_text("{}\n")
    assert "metrics of an unfinished run" not in str(status(capsys)["warnings"])
    hour, week = time.time() - 3600, time.time() - 8 * 86400
    os.utime(buffer, (hour, hour))
    assert "metrics of an unfinished run wait" in str(status(capsys)["warnings"])
    os.utime(buffer, (week, week))  # given up
    assert "metrics of an unfinished run wait" not in str(status(capsys)["warnings"])


def test_who_does_not_answer_is_named_and_the_rest_is_there(
    capsys: pytest.CaptureFixture[str], home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    crown(home)
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:9/api")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://ann:s3cr3t-word@127.0.0.1:9")
    document = status(capsys)
    assert document["champion"]["version"] == 3
    assert document["runs"] is None
    assert "Prefect does not answer at http://127.0.0.1:9/api" in document["services"]["prefect"]
    assert "MLflow does not answer at http://***@127.0.0.1:9" in document["services"]["mlflow"]
    assert "s3cr3t-word" not in json.dumps(document)


@pytest.mark.parametrize("given", [None, "battery-staple"])
def test_a_login_that_a_server_refuses_is_named_with_what_to_do(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, given: str | None
) -> None:
    """Both servers answer `health` to anybody."""
    basic = "Basic " + base64.b64encode(b"admin:correct-horse").decode()
    with serving({"/health": Answer(), "/api/health": Answer(), "*": Answer(user=basic)}) as server:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", server.url)
        monkeypatch.setenv("PREFECT_API_URL", f"{server.url}/api")
        if given:
            monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "admin")
            monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", given)
            monkeypatch.setenv("PREFECT_API_AUTH_STRING", f"admin:{given}")
        document = status(capsys)
    why = "user or password is wrong" if given else "no user and password are set"
    mlflow, prefect = (document["services"][name] for name in ("mlflow", "prefect"))
    assert mlflow.startswith(f"MLflow refuses the credentials at {server.url} (401): {why}; set MLFLOW_TRACKING_USERN")
    assert prefect.startswith(f"Prefect refuses the credentials at {server.url}/api/")
    assert "set PREFECT_API_AUTH_STRING to user:password" in prefect
    assert "battery-staple" not in str(document)
