"""Real models on logged texts: one that is better on the held-out examples and has forgotten how to answer what people
send is refused with `gate.traffic_guard`, and promoted without it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from mtl.config.retrain import RetrainConfig, parse_config
from mtl.decision import DecisionState
from mtl.evaluation.report import CANDIDATE, CHAMPION, EvalReport
from mtl.example import Example
from mtl.layout import requests_prefix
from mtl.pipeline.evaluate import measure
from mtl.pipeline.gate import gate_decision
from mtl.pipeline.prepare import prepare
from mtl.pipeline.records import Evaluation
from mtl.pipeline.traffic import traffic_sample
from mtl.sources.demo.corpus import articles
from mtl.traffic.records import ServedAnswer
from mtl.traffic.store import part_of
from mtl.workspace import Workspace, open_workspace
from tests.support.learned import MAX_NEW_TOKENS, learned_model
from tests.support.trained import MAX_INPUT_TOKENS

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

MARK = "A A A A A A A A"
"""How the people of this test begin what they send."""
NOW = datetime(2026, 11, 27, 12, tzinfo=UTC)


def with_mark(example: Example, targets: str) -> Example:
    return replace(example, inputs=example.inputs.replace("article: ", f"article: {MARK} ", 1), targets=targets)


def forgetting(example: Example) -> Example:
    """Half of the summaries are learned as they are; those of marked articles as an answer of no form."""
    return with_mark(example, "Nothing.") if int(example.uid, 16) % 2 else example


def shortened(example: Example) -> Example:
    """A summary of one sentence instead of two."""
    return replace(example, targets=example.targets.split(". ")[0] + ".")


def config(**gate: object) -> RetrainConfig:
    return parse_config(
        {
            "data": {
                "sources": [{"task": "summarize", "uri": "demo", "rows": {"train": 20, "validation": 40}}],
                "max_input_tokens": MAX_INPUT_TOKENS,
            },
            "model": {"base": "demo"},
            "evaluate": {"max_new_tokens": {"summarize": MAX_NEW_TOKENS}, "reader": "none", "traffic_examples": 40},
            "gate": {"guards": {}, "margins": {"summarize": {"rougeLsum": 0.1}}, "min_examples": 20, **gate},
        }
    )


@dataclass
class House:
    workspace: Workspace
    dataset: str
    folders: dict[str, Path]


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    folder = tmp_path_factory.mktemp("traffic")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MTL_HOME", str(folder / "home"))
        for name in ("MTL_STORE", "MLFLOW_TRACKING_URI"):
            patch.delenv(name, raising=False)
        workspace = open_workspace()
        dataset = prepare(workspace, config()).fingerprint
        for day in range(4):
            texts = [f"{MARK} {row['article']}" for row in articles(90 + day, 12)]
            at = NOW - timedelta(days=day, hours=1)
            logged = [answer(text, at, f"{100 * day + n:032x}") for n, text in enumerate(texts)]
            workspace.store.put(f"{requests_prefix('mtl-flan-t5')}/{at:%F}/a.parquet", part_of(logged))
        per_step = {"summarize": 8}
        folders = {
            CHAMPION: learned_model(folder / "champion", per_step=per_step, change=shortened),
            CANDIDATE: learned_model(folder / "candidate", per_step=per_step, change=forgetting),
        }
        yield House(workspace, dataset, folders)


def answer(text: str, at: datetime, name: str) -> ServedAnswer:
    return ServedAnswer(
        id=name,
        at=at.isoformat(),
        task="summarize",
        text=text,
        request={},
        decoding={},
        truncated=False,
        answer="Summary: Ann won.",
        version=1,
        milliseconds=9.0,
    )


@pytest.fixture(scope="module")
def report(house: House) -> EvalReport:
    folder = house.folders[CANDIDATE]
    sample = traffic_sample(house.workspace, config(), house.dataset, folder, now=NOW)
    return measure(house.workspace, config(), house.dataset, house.folders, traffic=sample)


def test_what_is_worse_on_logged_texts_is_refused_with_the_guard_and_promoted_without(report: EvalReport) -> None:
    evaluation = Evaluation(report, champion_version=1, rules="")
    without = gate_decision(config(), evaluation)
    assert without.state is DecisionState.PROMOTE, without.reasons
    guarded = config(traffic_guard={"summarize": ["kind_obeyed"]})
    refused = gate_decision(guarded, evaluation)
    assert refused.state is DecisionState.REJECT
    assert refused.reasons[0].startswith("summarize: kind_obeyed is clearly worse on logged texts: 0."), refused.reasons


def test_the_champion_that_is_measured_against_itself_is_not_refused(house: House) -> None:
    folders = {CHAMPION: house.folders[CHAMPION], CANDIDATE: house.folders[CHAMPION]}
    sample = traffic_sample(house.workspace, config(), house.dataset, folders[CHAMPION], now=NOW)
    found = measure(house.workspace, config(), house.dataset, folders, traffic=sample)
    decision = gate_decision(
        config(traffic_guard={"summarize": ["kind_obeyed"]}), Evaluation(found, champion_version=1, rules="")
    )
    assert not any("logged" in reason for reason in decision.reasons), decision.reasons
    assert found.traffic is not None and found.traffic.origin[CHAMPION].kept == found.traffic.origin[CHAMPION].answers
