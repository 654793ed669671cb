"""The decision about a version is made once, written once, and read by everybody from that one place."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from mtl.config.retrain import RetrainConfig, parse_config
from mtl.decision import ApprovalResponse, Decision, DecisionState
from mtl.errors import SignatureError
from mtl.evaluation.report import EvalReport
from mtl.evaluation.score import evaluate_models
from mtl.example import Example
from mtl.pipeline import gate
from mtl.pipeline.records import Evaluation, RegisteredVersion
from mtl.registry.memory import MemoryRegistry
from mtl.seal import seal
from mtl.settings import load_settings
from mtl.store.memory import MemoryStore
from mtl.task import Metric
from mtl.tracking.memory import MemoryTracker
from mtl.workspace import Workspace
from tests.support.keys import Keys, keys
from tests.support.toy_task import toy_task

__all__ = ["keys"]

N = 40
REGISTERED = RegisteredVersion(
    model="m",
    version=1,
    created=True,
    release="releases/m/v1",
    manifest_sha256="0" * 64,
    run_id="r",
    url=None,
    report="/reports/m-v1.html",
    report_url="http://mlflow/report",
)
YES, NO = ApprovalResponse(True, "Ann", "reads well"), ApprovalResponse(False, "Bob", "odd letters")
SILENCE = ApprovalResponse(False, None, "nobody answered within 1 hours")


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    registry = MemoryRegistry("m")
    (tmp_path / "adapter_model.safetensors").write_bytes(b"weights")
    registry.register("r", tmp_path, identity="i", fingerprint="f", code_version="c")
    settings = load_settings({"MTL_HOME": str(tmp_path)})
    return Workspace(settings, MemoryStore(), MemoryTracker, lambda workspace, model: registry)


def config(approval: str = "manual", **changes: Any) -> RetrainConfig:
    sources = [{"task": "mcq", "uri": "demo"}]
    return parse_config(
        {
            "data": {"sources": sources},
            "gate": {"approval": approval, "metrics": {"mcq": "score"}, "guards": {}, **changes},
        }
    )


def evaluation(candidate: float = 0.9) -> Evaluation:
    return Evaluation(report(candidate), champion_version=None, rules="rules")


def report(candidate: float) -> EvalReport:
    task = toy_task("mcq", (Metric("score"),))
    examples = [Example(f"{i}", "", "mcq", f"u{i}", {}) for i in range(N)]
    scores = {"base": [repr(0.1)] * N, "candidate": [repr(candidate)] * N}
    return evaluate_models(scores, examples, tasks={"mcq": task}, seed=1, resamples=200)


def decide(workspace: Workspace, approval: str, candidate: float = 0.9) -> Decision:
    chosen = config(approval)
    return gate.decide(workspace, chosen, evaluation(candidate), REGISTERED)


def conclude(workspace: Workspace, decision: Decision, answer: ApprovalResponse) -> Decision:
    chosen = config("manual")
    return gate.conclude(workspace, chosen, evaluation(), REGISTERED, decision, answer)


def written(workspace: Workspace) -> list[str]:
    return [info.key for info in workspace.store.list("releases/m/decisions/")]


@pytest.mark.parametrize(("candidate", "state"), [(0.9, DecisionState.PROMOTE), (0.1, DecisionState.REJECT)])
def test_the_gate_alone_decides_at_once(workspace: Workspace, candidate: float, state: DecisionState) -> None:
    decision = decide(workspace, "auto", candidate)
    assert (decision.state, decision.by, decision.awaits) == (state, "gate", None)
    assert workspace.registry("m").decision(1) == decision_of_tags(decision)
    assert len(written(workspace)) == 1


def decision_of_tags(decision: Decision) -> Decision:
    """What a registry gives back of a decision."""
    return Decision(
        state=decision.state,
        reasons=decision.reasons,
        against=decision.against,
        by=decision.by,
        policy_version=decision.policy_version,
    )


def test_nothing_is_decided_while_a_person_is_asked(workspace: Workspace) -> None:
    decision = decide(workspace, "manual")
    assert (decision.state, decision.promoted, decision.awaits) == (DecisionState.WAITING, False, "v1-against-nothing")
    assert written(workspace) == []
    found = workspace.registry("m").decision(1)
    assert found is not None and found.state is DecisionState.WAITING


@pytest.mark.parametrize(
    ("answer", "state", "said"),
    [
        (YES, DecisionState.APPROVED, "Approved by Ann: reads well"),
        (NO, DecisionState.REFUSED, "Refused by Bob: odd letters"),
    ],
)
def test_an_answer_is_the_decision_for_good(
    workspace: Workspace, answer: ApprovalResponse, state: DecisionState, said: str
) -> None:
    decision = conclude(workspace, decide(workspace, "manual"), answer)
    assert (decision.state, decision.reasons[0], decision.approval) == (state, said, answer)
    assert decision.promoted is answer.approved
    assert decide(workspace, "manual") == decision, "a step that is tried again finds it, and asks nobody"
    other = conclude(workspace, decide(workspace, "manual"), NO if answer is YES else YES)
    assert other == decision, "the first answer counts"
    assert len(written(workspace)) == 1


def test_nobody_answered_is_no_decision(workspace: Workspace) -> None:
    decision = conclude(workspace, decide(workspace, "manual"), SILENCE)
    assert (decision.state, decision.promoted, decision.final) == (DecisionState.UNANSWERED, False, False)
    assert written(workspace) == []
    assert decide(workspace, "manual").awaits, "the next retrain asks again"


def test_another_policy_or_question_is_decided_anew(workspace: Workspace) -> None:
    assert decide(workspace, "auto").promoted
    assert not decide(workspace, "manual").promoted, "a person is asked now"
    strict = config("auto", floors={"mcq": {"score": 0.95}})
    assert gate.decide(workspace, strict, evaluation(), REGISTERED).state is DecisionState.REJECT
    assert len(written(workspace)) == 2


def test_the_wait_has_an_end(workspace: Workspace) -> None:
    registry = workspace.registry("m")
    assert isinstance(registry, MemoryRegistry)
    decide(workspace, "manual")
    registry.clock = lambda: datetime.now(UTC) + timedelta(hours=73)
    found = registry.decision(1)
    assert found is not None and found.state is DecisionState.UNANSWERED


def test_the_question_names_version_and_reasons_and_links_the_report(workspace: Workspace) -> None:
    asked = gate.question(REGISTERED, decide(workspace, "manual"), reason="fresh data")
    assert asked.startswith("Make m v1 champion?\n\nStarted because: fresh data\n\n- mcq: score is better")
    assert asked.endswith("[Read the report](http://mlflow/report)")


def test_a_decision_survives_its_json() -> None:
    decision = Decision(
        state=DecisionState.APPROVED,
        reasons=("a", "b"),
        against=3,
        by="Ann",
        policy_version="3-abc",
        compared_with="champion",
        approval=YES,
    )
    assert Decision.from_json(decision.to_json()) == decision


def test_a_decision_of_an_earlier_release_is_read() -> None:
    old = {"promoted": True, "reasons": ["x"], "policy_version": "2-a", "compared_with": "base"}
    assert Decision.from_json(old).state is DecisionState.PROMOTE


def test_a_decision_that_somebody_else_puts_there_decides_nothing(workspace: Workspace, keys: Keys) -> None:
    """Who can write to the store may put an answer there before the gate asks."""
    kept = decide(workspace, "auto", 0.1)
    assert kept.state is DecisionState.REJECT
    (key,) = written(workspace)
    assert decide(workspace, "auto", 0.1) == kept
    forged = json.loads(workspace.store.get(key)) | {"state": "promote", "promoted": True}
    workspace.store.put(key, seal(forged))
    with pytest.raises(SignatureError, match=rf"{key} is not what key ours\.pub signed(.|\n)*delete {key}"):
        decide(workspace, "auto", 0.1)
    del forged["signature"]
    workspace.store.put(key, seal(forged))
    with pytest.raises(SignatureError, match=rf"{key} is not signed(.|\n)*delete {key}"):
        decide(workspace, "auto", 0.1)
