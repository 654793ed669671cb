"""Manual approval against a real Prefect server: typed answers, no process while it waits, time that runs out."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterState, FlowRunFilterStateType
from prefect.client.schemas.objects import FlowRun, State, StateType
from prefect.exceptions import ObjectNotFound
from prefect.flow_runs import resume_flow_run
from prefect.settings import get_current_settings

from flows import approval
from flows.retrain import retrain
from mtl.cli.main import run as mtl
from mtl.decision import Decision, DecisionState
from mtl.pipeline import gate
from mtl.release.journal import read_journal
from mtl.store.folder import FolderStore
from tests.flows.asking import asking
from tests.support.retrains import small_config

ROOT = Path(__file__).parents[2]
PAUSED = FlowRunFilter(state=FlowRunFilterState(type=FlowRunFilterStateType(any_=[StateType.PAUSED])))
YES = {"decision": "approve", "name": "Ann", "reason": "reads well"}


def in_thread(log: Path, hours: float) -> tuple[threading.Thread, list[Any]]:
    """The flow in this process, as `mtl retrain` runs it."""
    heard: list[Any] = []
    thread = threading.Thread(target=lambda: heard.append(asking(str(log), hours)))
    thread.start()
    return thread, heard


def paused_run(seconds: float = 60) -> FlowRun:
    deadline = time.monotonic() + seconds
    with get_client(sync_client=True) as client:
        while time.monotonic() < deadline:
            for run in client.read_flow_runs(flow_run_filter=PAUSED):
                if _has_form(client, run):
                    return run
            time.sleep(0.2)
    raise AssertionError("no run waits for input")


def _has_form(client: Any, run: FlowRun) -> bool:
    keyset = run.state.state_details.run_input_keyset if run.state else None
    if not keyset:
        return False
    try:
        return bool(client.read_flow_run_input(run.id, keyset["schema"]))
    except ObjectNotFound:
        return False


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(approval, "POLL_SECONDS", 0.5)


def test_in_process_the_run_pauses_and_hears_the_person(tmp_path: Path) -> None:
    thread, heard = in_thread(tmp_path / "log", 1.0)
    resume_flow_run(paused_run().id, run_input=YES)
    thread.join(60)
    assert heard == [{"approved": True, "by": "Ann", "reason": "reads well"}]


@pytest.mark.parametrize(
    "answer",
    [{"decision": "perhaps"}, {"name": "Ann", "reason": "reads well"}, {}],
    ids=["another word", "name and reason alone", "nothing"],
)
def test_a_form_without_a_decision_decides_nothing_and_the_run_waits_on(tmp_path: Path, answer: dict[str, Any]) -> None:
    thread, heard = in_thread(tmp_path / "log", 1.0)
    run = paused_run()
    with pytest.raises(Exception, match=r"decision"):
        resume_flow_run(run.id, run_input=answer)
    assert heard == []
    resume_flow_run(run.id, run_input={"decision": "refuse"})
    thread.join(60)
    assert heard == [{"approved": False, "by": "unnamed", "reason": ""}]


@pytest.mark.parametrize(
    ("answer", "decision"),
    [({"approve": True, "name": "Ann"}, "approve"), ({"approve": False}, "refuse"), ({"name": "Ann"}, "refuse")],
)
def test_the_answer_to_a_form_of_an_earlier_release_still_counts(answer: dict[str, Any], decision: str) -> None:
    """Its run was suspended before the upgrade, and shows the form that was stored with it."""
    assert approval.Approval(**answer).decision == decision


def test_unanswered_it_is_not_approved_and_the_flow_goes_on(tmp_path: Path) -> None:
    thread, heard = in_thread(tmp_path / "log", 2 / 3600)
    thread.join(60)
    (answer,) = heard
    assert (answer["approved"], answer["by"]) == (False, None)
    assert "nobody answered within" in answer["reason"]


@pytest.mark.slow
def test_a_deployed_run_keeps_no_process_while_it_waits(tmp_path: Path) -> None:
    log = tmp_path / "log"
    run_id = deployed_run(log)
    first = execute(run_id)
    assert first.returncode == 0, first.stderr
    assert state_of(run_id).name == "Suspended"
    assert len(log.read_text().splitlines()) == 1
    resume_flow_run(run_id, run_input=YES)
    second = execute(run_id)
    assert second.returncode == 0, second.stderr
    state = state_of(run_id)
    assert state.is_completed(), state
    assert state.result() == {"approved": True, "by": "Ann", "reason": "reads well"}
    assert len(set(log.read_text().splitlines())) == 2


def deployed_run(log: Path) -> UUID:
    """A run of a deployment of `asking`, scheduled now; no worker is there to take it."""
    with get_client(sync_client=True) as client:
        flow_id = client.create_flow(asking)
        made = client.create_deployment(
            flow_id=flow_id, name="test", entrypoint="asking.py:asking", path=str(Path(__file__).parent)
        )
        return client.create_flow_run_from_deployment(made, parameters={"log": str(log)}).id


def execute(run_id: UUID) -> subprocess.CompletedProcess[str]:
    """What a worker does: run it in a process of its own, until it ends or is suspended."""
    environment = {**get_current_settings().to_environment_variables(exclude_unset=True), "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        [sys.executable, "-m", "prefect", "flow-run", "execute", str(run_id)],
        env={**os.environ, **environment},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def state_of(run_id: UUID) -> State:
    with get_client(sync_client=True) as client:
        state = client.read_flow_run(run_id).state
    assert state is not None
    return state


def retrain_that_asks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[threading.Thread, list[Any]]:
    """A small retrain that the gate lets through to a person: its thread, and the list that its result goes to."""
    monkeypatch.setenv("MTL_HOME", str(tmp_path / "home"))
    passed = Decision(state=DecisionState.PROMOTE, reasons=("mcq: it is better.",), policy_version="2-test")
    monkeypatch.setattr(gate, "gate_decision", lambda config, evaluation: passed)
    config = small_config(tmp_path)
    asking_first = config.model_copy(update={"gate": config.gate.model_copy(update={"approval": "manual"})})
    done: list[Any] = []
    thread = threading.Thread(target=lambda: done.append(retrain(asking_first)))
    thread.start()
    return thread, done


@pytest.mark.slow
def test_a_retrain_promotes_in_the_name_of_the_person_who_approved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    thread, done = retrain_that_asks(tmp_path, monkeypatch)
    run = paused_run(240)
    assert mtl(["promote", "v1", "--json"]) == 1
    assert "v1 waits for a person's approval" in capsys.readouterr().out
    assert mtl(["models"]) == 0
    assert "v1 waits for a person's approval:\n  - mcq: it is better." in capsys.readouterr().out
    resume_flow_run(run.id, run_input=YES)
    thread.join(120)
    (result,) = done
    assert result["decision"]["promoted"] and result["champion"] == 1
    assert result["decision"]["reasons"] == ["Approved by Ann: reads well", "mcq: it is better."]
    change = read_journal(FolderStore(tmp_path / "home" / "store"), "mtl-flan-t5").head
    assert change is not None and (change.version, change.actor, change.forced) == (1, "Ann", False)
    assert change.reason.startswith("Approved by Ann: reads well")
    assert mtl(["models"]) == 0
    assert "approved by Ann" in capsys.readouterr().out


@pytest.mark.slow
def test_a_persons_refusal_is_said_to_be_that_persons(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    thread, _ = retrain_that_asks(tmp_path, monkeypatch)
    resume_flow_run(paused_run(240).id, run_input={"decision": "refuse", "name": "Ann", "reason": "too short"})
    thread.join(120)
    assert mtl(["models"]) == 0
    said = capsys.readouterr().out
    assert "v1 was refused by Ann:\n  - Refused by Ann: too short\n  - mcq: it is better." in said
    assert mtl(["promote", "v1", "--json"]) == 1
    assert "v1 was refused by Ann" in capsys.readouterr().out
