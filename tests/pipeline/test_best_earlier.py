"""Which earlier champion a candidate is measured beside: from the journal, and from what each version gained."""

from __future__ import annotations

from typing import Any

import pytest

from mtl.evaluation.score import evaluate_models
from mtl.example import Example
from mtl.pipeline.best_earlier import best_earlier, gains_in_margins
from mtl.pipeline.records import Evaluation
from mtl.promotion import PromotionPolicy, margin_of
from mtl.release.journal import Change, Journal
from mtl.task import Metric
from tests.support.toy_task import toy_task

N = 40


def journal(*steps: str) -> Journal:
    """`v2`: promoted, `v2!`: by force, `<1`: rolled back to v1."""
    changes: list[Change] = []
    for step in steps:
        replaced = changes[-1].version if changes else None
        rollback, version = step[0] == "<", int(step.strip("v<!"))
        changes.append(
            Change(
                kind="rollback" if rollback else "promote",
                version=version,
                previous=None,
                replaced=replaced,
                reason="because",
                actor="test",
                at="2026-01-01T00:00:00+00:00",
                forced=step.endswith("!"),
                manifest_sha256="0" * 64,
            )
        )
    return Journal(len(changes), changes)


def on(mcq: float, summarize: float) -> dict[str, float]:
    return {"mcq": mcq, "summarize": summarize}


@pytest.mark.parametrize(
    ("steps", "gains", "found"),
    [
        ([], {}, []),
        (["v1"], {1: on(99, 99)}, []),
        (["v1", "v2"], {2: on(1, 0)}, []),
        (["v1", "v2"], {2: on(1, -0.2)}, [1]),
        (["v1", "v2"], {}, []),
        (["v1", "v2", "v3"], {2: on(2, 0), 3: on(-0.5, 1)}, [2]),
        (["v1", "v2", "v3"], {2: on(2, 0), 3: on(-3, 1)}, [2, 1]),
        (["v1", "v2", "v3", "v4"], {2: on(2, 0), 3: on(-0.5, 1), 4: on(0.4, 0)}, [2]),
        (["v1", "v2", "v3", "v4"], {2: on(2, 0), 3: on(-0.5, 1), 4: on(0.5, 0)}, []),
        (["v1", "v2", "v3", "v4"], {2: on(0.1, 0.2), 3: {}, 4: on(-0.1, -0.2)}, [3, 2]),
        (["v1", "v2", "v3"], {2: on(0, 1), 3: {"mcq": 2}}, []),
        (["v1", "v2", "<1"], {2: on(2, 2)}, []),
        (["v1", "v2", "<1", "v3"], {2: on(2, 2), 3: on(1, -0.5)}, [1]),
        (["v1", "v2", "<1", "v2!", "v3"], {2: on(2, 2), 3: on(1, -0.5)}, [2]),
        (["v1", "v2", "v3", "v1!"], {1: on(9, 9), 2: on(2, 0), 3: on(1, 0)}, []),
        (["v1", "v2", "v3", "v1!", "v4"], {2: on(2, 0), 3: on(1, 0), 4: on(1, -0.5)}, [1]),
        (["v1", "v3", "v2!"], {3: on(1, 0), 2: on(-1.5, 0)}, [3, 1]),
    ],
    ids=[
        "no champion",
        "the first, however far above its base",
        "the present one is the best",
        "it lost a little on one task",
        "nobody knows what they gained, and all are equal",
        "the second of three",
        "two stand higher, the best first",
        "a loss that was half made up for",
        "a loss that was made up for",
        "the later of two equals",
        "a task that a report does not have lost nothing",
        "given up by a rollback",
        "the one that was gone back to",
        "given up, and promoted again",
        "a person went back by force, and gave up what came since",
        "what came after that is held to the one gone back to",
        "in the order of promotions, not of numbers",
    ],
)
def test_the_best_earlier_champion(steps: list[str], gains: dict[int, dict[str, float]], found: list[int]) -> None:
    assert best_earlier(journal(*steps), gains) == found


def test_a_report_that_cannot_be_read_counts_as_no_gain(caplog: pytest.LogCaptureFixture) -> None:
    assert gains_in_margins({"champion_version": 1}, PromotionPolicy(metrics={}), over=1) == {}
    assert "its report cannot be read" in caplog.text


def test_small_losses_on_one_task_add_up_although_every_promotion_gains_on_the_mean() -> None:
    versions = [f"v{number}" for number in range(1, 31)]
    gains = {2: on(0.7, 1.5)} | dict.fromkeys(range(3, 31), on(0.7, -0.1))
    for length in range(3, 31):
        assert best_earlier(journal(*versions[:length]), gains)[0] == 2


def document(candidate: float, *, champion_version: int | None, lower: bool = False) -> dict[str, Any]:
    """Of a report on two tasks, whose champion has 0.5 everywhere."""
    task = {name: toy_task(name, (Metric("score", higher_is_better=not lower),)) for name in ("mcq", "summarize")}
    examples = [Example(f"{i}", "", name, f"{name}-{i}") for name in task for i in range(N)]
    values = {"base": ["0.1"], "champion": ["0.5"], "candidate": [repr(candidate)]}
    texts = {model: value * len(examples) for model, value in values.items() if champion_version or model != "champion"}
    return Evaluation(evaluate_models(texts, examples, tasks=task, seed=1), champion_version, "rules").to_json()


@pytest.mark.parametrize(
    ("candidate", "champion", "over", "lower", "gain"),
    [
        (0.6, 1, 1, False, on(0.1, 0.1)),
        (0.45, 1, 1, False, on(-0.05, -0.05)),
        (0.45, 1, 1, True, on(0.05, 0.05)),
        (0.6, 1, 2, False, {}),
        (0.6, None, None, False, {}),
        (0.6, None, 1, False, {}),
    ],
    ids=["better", "worse", "lower is better", "judged beside another one", "the first", "promoted by force"],
)
def test_what_a_version_gained(
    candidate: float, champion: int | None, over: int | None, lower: bool, gain: dict[str, float]
) -> None:
    policy = PromotionPolicy(metrics={"mcq": "score", "summarize": "score"})
    said = document(candidate, champion_version=champion, lower=lower)
    report = Evaluation.from_json(said).report
    found = gains_in_margins(said, policy, over=over)
    margin = margin_of(report, policy, "mcq", "score")
    assert {task: its * margin for task, its in found.items()} == pytest.approx(gain)


def test_a_release_without_a_report_counts_as_no_gain() -> None:
    assert gains_in_margins({}, PromotionPolicy(metrics={}), over=1) == {}
