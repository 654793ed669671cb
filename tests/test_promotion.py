"""The gate as tables: a report built from per-example scores, a policy, and what must be decided."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from mtl.config.gate import GateConfig
from mtl.data.manifest import SplitCounts
from mtl.evaluation.logged import SAMPLE
from mtl.evaluation.report import EvalReport
from mtl.evaluation.score import evaluate_models
from mtl.example import Example
from mtl.promotion import (
    PromotionDecision,
    PromotionPolicy,
    decide,
    deciding,
    policy_from,
    power,
    regressions,
    shortages,
    will_be_evaluated,
)
from mtl.task import Metric, Task
from tests.support.toy_task import toy_task

N = 60
POLICY = PromotionPolicy(metrics={"a": "score", "b": "score"}, margins={"a": {"score": 0.0}, "b": {"score": 0.0}})

# What a model scores on each of 60 examples. BETTER and WORSE differ on every example, NOISE now up, now down.
EQUAL = [0.5] * N
BETTER = [0.6] * N
WORSE = [0.4] * N
NOISE = [0.5 + (0.11 if i % 2 else -0.1) for i in range(N)]
SLIGHTLY_WORSE = [0.5 + (0.1 if i % 2 else -0.11) for i in range(N)]


def _report(
    *, groups: int = 0, higher_is_better: bool = True, confidence: float = 0.95, **models: Mapping[str, Sequence[Any]]
) -> EvalReport:
    """models: name -> task -> scores of its examples (a number, or a dict of several metrics)."""
    names = next(iter(models.values()))
    metrics = (Metric("score", higher_is_better=higher_is_better), Metric("other"), Metric("error", False))
    tasks: dict[str, Task] = {name: toy_task(name, metrics, groups=groups) for name in names}
    examples = [
        Example(f"{name} {i}", "", name, f"{name}{i}", {"group": i % groups if groups else None})
        for name, values in names.items()
        for i in range(len(values))
    ]
    predictions = {
        model: [repr(value) for values in by_task.values() for value in values] for model, by_task in models.items()
    }
    return evaluate_models(predictions, examples, tasks=tasks, seed=7, confidence=confidence, resamples=500)


def _decide(report: EvalReport, policy: PromotionPolicy = POLICY, **changes: Any) -> PromotionDecision:
    return decide(report, dataclasses.replace(policy, **changes))


@pytest.mark.parametrize(
    ("a", "b", "promoted", "reason"),
    [
        (BETTER, BETTER, True, "a: score is better than the champion's: 0.6000 against 0.5000"),
        (BETTER, EQUAL, True, "b: score is no worse than the champion's"),
        (BETTER, NOISE, False, "b: score may be worse than the champion's by more than the margin of 0: 0.5050"),
        (EQUAL, EQUAL, False, "No task is better than the champion; a tie does not promote."),
        (BETTER, WORSE, False, "b: score is worse than the champion's: 0.4000 against 0.5000"),
        (WORSE, BETTER, False, "a: score is worse than the champion's"),
        (BETTER, SLIGHTLY_WORSE, False, "b: score may be worse than the champion's"),
        (WORSE, WORSE, False, "a: score is worse than the champion's"),
    ],
)
def test_against_a_champion(a: list[float], b: list[float], promoted: bool, reason: str) -> None:
    old = {"a": EQUAL, "b": EQUAL}
    decision = _decide(_report(base={"a": WORSE, "b": WORSE}, champion=old, candidate={"a": a, "b": b}))
    assert decision.promoted is promoted
    assert decision.compared_with == "champion"
    assert any(reason in given for given in decision.reasons), decision.reasons
    assert all(given.endswith(".") for given in decision.reasons)


@pytest.mark.parametrize(
    ("a", "b", "promoted", "reason"),
    [
        (BETTER, BETTER, True, "a: score is better than the base's"),
        (BETTER, EQUAL, True, "b: score is no worse than the base's"),
        (EQUAL, EQUAL, False, "No task is better than the base; a tie does not promote."),
        (BETTER, WORSE, False, "b: score is worse than the base's"),
    ],
)
def test_a_first_champion_must_beat_the_base(a: list[float], b: list[float], promoted: bool, reason: str) -> None:
    decision = _decide(_report(base={"a": EQUAL, "b": EQUAL}, candidate={"a": a, "b": b}))
    assert (decision.promoted, decision.compared_with) == (promoted, "base")
    assert any(reason in given for given in decision.reasons), decision.reasons


def _one_bad(value: Any) -> list[Any]:
    return [value, *BETTER[1:]]


@pytest.mark.parametrize(
    ("candidate", "reasons"),
    [
        (_one_bad(math.nan), ["b: score of the candidate is not a finite number."]),
        (_one_bad(math.inf), ["b: score of the candidate is not a finite number."]),
        ([None] * N, ["b: score is missing for the candidate, and the champion has 0.5000."]),
        (
            _one_bad(None),
            [
                "b: on 1 examples only one of candidate and champion has a value of score, so that the two are not "
                "comparable."
            ],
        ),
        ([{"score": 0.9, "other": math.nan}] * N, ["b: other of the candidate is not a finite number."]),
    ],
)
def test_values_that_are_missing_or_no_numbers(candidate: list[Any], reasons: list[str]) -> None:
    old = {"a": EQUAL, "b": EQUAL}
    decision = _decide(_report(champion=old, candidate={"a": BETTER, "b": candidate}))
    assert not decision.promoted
    assert list(decision.reasons[: len(reasons)]) == reasons


def test_a_metric_that_only_the_champion_has_is_missing_whichever_it_is() -> None:
    old = [{"score": 0.5, "other": 0.7}] * N
    decision = _decide(_report(champion={"a": old, "b": EQUAL}, candidate={"a": BETTER, "b": BETTER}))
    assert decision.reasons[0] == "a: other is missing for the candidate, and the champion has 0.7000."
    assert not decision.promoted


def test_a_champion_with_nan_cannot_be_compared_with() -> None:
    report = _report(champion={"a": [math.nan, *EQUAL[1:]], "b": EQUAL}, candidate={"a": BETTER, "b": BETTER})
    decision = _decide(report)
    assert not decision.promoted
    assert decision.reasons[0] == (
        "a: score of the champion is not a finite number, so that nothing can be compared with it."
    )


@pytest.mark.parametrize("field", ["difference", "low", "high"])
def test_an_interval_that_is_no_number(field: str) -> None:
    report = _report(champion={"a": EQUAL, "b": EQUAL}, candidate={"a": BETTER, "b": BETTER})
    changed: dict[str, Any] = {field: math.nan}
    broken = tuple(dataclasses.replace(found, **changed) for found in report.comparisons)
    decision = _decide(dataclasses.replace(report, comparisons=broken))
    assert decision.reasons[0] == "a: the difference in score to the champion is not a finite number."
    assert not decision.promoted


def test_a_report_without_its_comparisons() -> None:
    report = _report(champion={"a": EQUAL, "b": EQUAL}, candidate={"a": BETTER, "b": BETTER})
    decision = _decide(dataclasses.replace(report, comparisons=()))
    assert decision.reasons[0] == "a: score of the candidate was not compared with the champion's."
    assert not decision.promoted


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"metrics": {"a": "score", "c": "score"}}, "c: the task is missing from the report."),
        ({"metrics": {"a": "nope"}}, "a: the report has no metric nope, which the policy asks for."),
        ({"floors": {"a": {"nope": 0.1}}}, "a: the report has no metric nope, which the policy asks for."),
        ({"guards": {"a": ("nope",)}}, "a: the report has no metric nope, which the policy asks for."),
        ({"floors": {"a": {"other": 0.1}}}, "a: other, which the policy asks for, has no value on any example."),
        ({"min_examples": 61}, "a: 60 examples were evaluated, and the policy asks for at least 61."),
        ({"floors": {"b": {"score": 0.7}}}, "b: score is 0.6000, under its floor of 0.7000."),
        ({"confidence": 0.99}, "The report's intervals are at 95%, and the policy asks for 99%."),
    ],
)
def test_what_the_policy_asks_for_and_the_report_lacks(changes: dict[str, Any], reason: str) -> None:
    report = _report(champion={"a": EQUAL, "b": EQUAL}, candidate={"a": BETTER, "b": BETTER})
    assert _decide(report).promoted
    decision = _decide(report, **changes)
    assert not decision.promoted
    assert reason in decision.reasons


def test_a_task_that_the_policy_does_not_name_is_decided_by_its_first_metric() -> None:
    policy = PromotionPolicy(metrics={"a": "score"})
    assert not decide(_report(champion={"a": EQUAL, "b": EQUAL}, candidate={"a": BETTER, "b": WORSE}), policy).promoted
    assert decide(_report(champion={"a": EQUAL, "b": EQUAL}, candidate={"a": BETTER, "b": EQUAL}), policy).promoted


MARGINS = {"a": {"score": 0.05}, "b": {"score": 0.05}}


def _off_by(errors: float) -> list[float]:
    """Scores whose mean is so many standard errors off that of EQUAL, with a standard error of 0.01."""
    spread = 0.01 * math.sqrt(N - 1)
    return [0.5 + 0.01 * errors + (spread if i % 2 else -spread) for i in range(N)]


@pytest.mark.parametrize(
    ("a", "b", "promoted", "reason"),
    [
        # In units of one standard error, which is 0.01; the margin of 0.05 is five of them.
        (3.0, 0.0, True, "a: score is better than the champion's: 0.5300 against 0.5000, difference +0.0300"),
        (3.0, -1.0, True, "b: score is no worse than the champion's: 0.4900 against 0.5000, difference -0.0100"),
        (3.0, -1.8, True, "b: score is no worse than the champion's: 0.4820"),
        (3.0, -2.4, False, "b: score is worse than the champion's: 0.4760"),
        (9.0, -5.0, False, "b: score is worse than the champion's: 0.4500"),
        (1.5, 1.5, False, "No task is better than the champion; a tie does not promote."),
        (0.0, 2.4, True, "b: score is better than the champion's: 0.5240"),
        (-1.0, -1.0, False, "No task is better than the champion; a tie does not promote."),
    ],
)
def test_a_loss_by_chance_does_not_refuse_and_a_loss_of_the_margin_does(
    a: float, b: float, promoted: bool, reason: str
) -> None:
    report = _report(champion={"a": EQUAL, "b": EQUAL}, candidate={"a": _off_by(a), "b": _off_by(b)})
    decision = _decide(report, margins=MARGINS)
    assert decision.promoted is promoted, decision.reasons
    assert any(given.startswith(reason) for given in decision.reasons), decision.reasons


def test_a_loss_that_is_not_ruled_out_refuses_if_it_is_larger_than_the_margin() -> None:
    report = _report(champion={"a": EQUAL, "b": EQUAL}, candidate={"a": _off_by(3), "b": _off_by(-1)})
    narrow = {"a": {"score": 0.05}, "b": {"score": 0.025}}
    assert _decide(report, margins=MARGINS).promoted
    decision = _decide(report, margins=narrow)
    assert not decision.promoted
    assert decision.reasons[0].startswith(
        "b: score may be worse than the champion's by more than the margin of 0.025: 0.4900 against 0.5000"
    )


def test_a_metric_without_a_margin_in_the_policy_has_the_one_that_its_task_states() -> None:
    report = _report(champion={"a": EQUAL, "b": EQUAL}, candidate={"a": _off_by(3), "b": _off_by(-1)})
    metrics = {task: tuple(dataclasses.replace(m, margin=0.025) for m in its) for task, its in report.metrics.items()}
    assert _decide(report, margins={}).promoted  # 0.05 of tasks that state nothing
    assert not _decide(dataclasses.replace(report, metrics=metrics), margins={}).promoted
    assert _decide(dataclasses.replace(report, metrics=metrics), margins=MARGINS).promoted


@pytest.mark.parametrize(
    ("p_value", "promoted"), [(0.06, []), (0.04, [1]), (0.02, [1, 2]), (0.016, [1, 2, 3]), (0.0, [1, 2, 3])]
)
def test_the_more_tasks_the_surer_a_gain_on_one_has_to_be(p_value: float, promoted: list[int]) -> None:
    """A test at 5% for one task is one at 2.5% for each of two, and at 1.7% for each of three."""
    found = []
    for tasks in (["a"], ["a", "b"], ["a", "b", "c"]):
        scores: dict[str, list[float]] = dict.fromkeys(tasks, EQUAL)
        report = _report(champion=scores, candidate={**scores, "a": _off_by(2)})
        comparisons = tuple(
            dataclasses.replace(its, p_value=p_value) if its.task == "a" else its for its in report.comparisons
        )
        if decide(dataclasses.replace(report, comparisons=comparisons), PromotionPolicy({})).promoted:
            found.append(len(tasks))
    assert found == promoted


def test_one_task_alone_is_tested_at_the_whole_level() -> None:
    report = _report(champion={"a": EQUAL}, candidate={"a": _off_by(1.85)})
    policy = dataclasses.replace(POLICY, metrics={"a": "score"}, margins=MARGINS)
    found = report.comparison("champion", "a", "score")
    assert found is not None and found.low < 0
    assert decide(report, policy).promoted


def test_a_report_from_before_there_were_p_values_is_judged_by_its_intervals() -> None:
    report = _report(champion={"a": EQUAL, "b": EQUAL}, candidate={"a": _off_by(3), "b": EQUAL})
    document = report.to_json()
    for found in document["comparisons"]:
        del found["p_value"], found["deviation"]
    older = EvalReport.from_json(document)
    assert decide(older, POLICY) == decide(report, POLICY)
    assert decide(older, POLICY).promoted
    assert power(older, POLICY) == []


def test_a_best_earlier_champion_without_numbers_lets_nobody_pass() -> None:
    broken = [math.nan, *EQUAL[1:]]
    report = _report(
        best={"a": broken, "b": EQUAL}, champion={"a": EQUAL, "b": EQUAL}, candidate={"a": BETTER, "b": EQUAL}
    )
    decision = _decide(report)
    assert not decision.promoted
    assert "a: the difference in score to the best earlier champion is not a finite number." in decision.reasons


@pytest.mark.parametrize(
    ("a", "b", "promoted", "reason"),
    [
        (0.0, 0.0, True, "a: score is better than the champion's"),
        (-2.4, 0.0, True, "a: score is better than the champion's"),  # shown to be worse, but not by the margin
        (0.0, -3.5, False, "b: score may be worse than the best earlier champion's by more than the margin of 0.05"),
        (None, 0.0, False, "a: score of the candidate was not compared with the best earlier champion's."),
        (math.nan, 0.0, False, "a: the difference in score to the best earlier champion is not a finite number."),
    ],
)
def test_a_candidate_may_not_be_worse_than_the_best_earlier_champion_by_a_margin(
    a: float | None, b: float, promoted: bool, reason: str
) -> None:
    """a, b: difference to the best earlier champion in standard errors of 0.01; None: not compared."""
    report = _report(champion={"a": EQUAL, "b": EQUAL}, candidate={"a": _off_by(3), "b": EQUAL})
    earlier = [
        dataclasses.replace(
            found,
            against="best",
            difference=0.01 * errors,
            low=0.01 * (errors - 1.96),
            high=0.01 * (errors + 1.96),
        )
        for found in report.comparisons
        if (errors := {"a": a, "b": b}[found.task]) is not None
    ]
    decision = _decide(dataclasses.replace(report, comparisons=(*report.comparisons, *earlier)), margins=MARGINS)
    assert decision.promoted is promoted, decision.reasons
    assert any(given.startswith(reason) for given in decision.reasons), decision.reasons


def test_what_the_examples_can_show_is_said_of_each_tasks_deciding_metric() -> None:
    report = _report(champion={"a": EQUAL, "b": EQUAL}, candidate={"a": _off_by(3), "b": _off_by(0)})
    first, second = power(report, dataclasses.replace(POLICY, margins={"a": {"score": 0.05}}))
    assert (first.task, first.metric, first.n, first.margin, first.tasks) == ("a", "score", N, 0.05, 2)
    assert first.deviation == pytest.approx(0.01 * math.sqrt(N))
    assert second.margin == 0.05  # as the task states it
    assert first.sentence() == (
        "a: 60 examples show a difference in score of 0.0280 or more in 80% of cases (measured standard deviation of "
        "the paired differences: 0.077); a difference of 0.05, the margin, is shown by 19 examples."
    )


def test_guards_and_groups_are_clearly_worse_only_by_more_than_their_margin() -> None:
    old: dict[str, list[Any]] = {"a": [{"score": 0.5, "other": 0.5}] * N, "b": EQUAL}
    new: dict[str, list[Any]] = {"a": [{"score": 0.9, "other": 0.4}] * N, "b": EQUAL}
    report = _report(champion=old, candidate=new)
    for margin, promoted in ((0.0, False), (0.09, False), (0.11, True)):
        margins = {"a": {"score": 0.0, "other": margin}, "b": {"score": 0.0}}
        assert _decide(report, guards={"a": ("other",)}, margins=margins).promoted is promoted


def test_a_guard_with_fewer_pairs_than_min_examples_still_guards_and_one_with_too_few_is_named() -> None:
    """The reader reads some things of a sample only, however many examples a task must have."""

    def scored(value: float, other: float, pairs: int) -> list[Any]:
        return [{"score": value, "other": other if i < pairs else None} for i in range(N)]

    for pairs, promoted in ((40, False), (20, True)):
        report = _report(
            champion={"a": scored(0.5, 0.5, pairs), "b": EQUAL}, candidate={"a": scored(0.9, 0.3, pairs), "b": EQUAL}
        )
        decision = _decide(report, guards={"a": ("other",)}, min_examples=N)
        assert decision.promoted is promoted, decision.reasons
        said = "a: other was not guarded: only 20 examples have a value for both models, and a guard needs 30."
        told = said in decision.reasons
        assert told is promoted


def test_where_lower_is_better_the_smaller_value_wins() -> None:
    old = {"a": EQUAL, "b": EQUAL}
    lower: dict[str, Any] = {"higher_is_better": False}
    assert _decide(_report(**lower, champion=old, candidate={"a": WORSE, "b": EQUAL})).promoted
    assert not _decide(_report(**lower, champion=old, candidate={"a": BETTER, "b": WORSE})).promoted
    ceiling = _decide(_report(**lower, champion=old, candidate={"a": WORSE, "b": EQUAL}), floors={"a": {"score": 0.3}})
    assert "a: score is 0.4000, over its ceiling of 0.3000." in ceiling.reasons


def test_a_guarded_metric_must_not_fall_clearly() -> None:
    old: dict[str, list[Any]] = {"a": [{"score": 0.5, "other": 0.5}] * N, "b": EQUAL}
    new: dict[str, list[Any]] = {"a": [{"score": 0.9, "other": 0.3}] * N, "b": EQUAL}
    report = _report(champion=old, candidate=new)
    assert _decide(report).promoted
    decision = _decide(report, guards={"a": ("other",)})
    assert decision.reasons[0] == (
        "a: other is clearly worse: 0.3000 against the champion's 0.5000, difference -0.2000 [-0.2000, -0.2000] "
        "on 60 examples."
    )
    assert not decision.promoted


def test_a_difficulty_must_not_fall_clearly_though_the_whole_rises() -> None:
    values = [0.2 if i % 3 == 0 else 0.9 for i in range(2 * N)]
    old = {"a": [0.5] * 2 * N, "b": [0.5] * 2 * N}
    report = _report(groups=3, champion=old, candidate={"a": values, "b": [0.5] * 2 * N})
    assert "a: score in g0 is clearly worse: -0.3000 [-0.3000, -0.3000] on 40 examples." in _decide(report).reasons
    assert _decide(report, guard_groups=False).promoted
    assert not _decide(report, min_examples=100).promoted, "what a task needs is more than a group does"
    small = _report(groups=6, champion=old, candidate={"a": values, "b": [0.5] * 2 * N})
    assert _decide(small).promoted, "a group of 20 is too small to stand against 120"


def test_a_champion_that_the_report_forgot() -> None:
    report = _report(base={"a": EQUAL, "b": EQUAL}, candidate={"a": BETTER, "b": BETTER})
    assert decide(report, POLICY, champion_exists=False).promoted
    decision = decide(report, POLICY, champion_exists=True)
    assert decision.reasons == ("There is a champion, but the report does not compare the candidate with it.",)


@pytest.mark.parametrize(
    ("models", "reason"),
    [
        ({"base": {"a": EQUAL}}, "The report has no candidate."),
        (
            {"candidate": {"a": BETTER}},
            "The report has neither a champion nor the base to compare the candidate with.",
        ),
    ],
)
def test_a_report_without_one_of_the_sides(models: dict[str, Any], reason: str) -> None:
    assert decide(_report(**models), PromotionPolicy(metrics={"a": "score"})).reasons == (reason,)


def test_an_empty_report_promotes_nothing() -> None:
    report = evaluate_models({"base": [], "candidate": []}, [], tasks={}, seed=1)
    assert decide(report, PromotionPolicy(metrics={})).reasons == ("Neither the report nor the policy names a task.",)
    assert not decide(report, POLICY).promoted


def test_a_decision_survives_the_reports_json() -> None:
    report = _report(champion={"a": EQUAL, "b": EQUAL}, candidate={"a": _one_bad(math.nan), "b": BETTER})
    assert decide(EvalReport.from_json(report.to_json()), POLICY) == decide(report, POLICY)


def test_the_version_names_rules_and_parameters() -> None:
    assert POLICY.version.startswith("5-")
    assert dataclasses.replace(POLICY).version == POLICY.version
    assert dataclasses.replace(POLICY, margins={}).version != POLICY.version
    assert policy_from(GateConfig()).version == policy_from(GateConfig()).version


def test_the_configuration_becomes_the_policy() -> None:
    gate = GateConfig(
        metrics={"mcq": "parsed"},
        guards={"mcq": ["valid_key"]},
        without_reader={"mcq": "counts_total"},
        reader_at_least=0.6,
        margins={"mcq": {"parsed": 0.02}},
        min_examples=5,
    )
    policy = policy_from(gate)
    assert policy == PromotionPolicy(
        metrics={"mcq": "parsed"},
        guards={"mcq": ("valid_key",)},
        without_reader={"mcq": "counts_total"},
        reader_at_least=0.6,
        margins={"mcq": {"parsed": 0.02}},
        min_examples=5,
    )


def test_the_default_decides_by_what_can_be_used_and_by_counts_where_no_reader_says_so() -> None:
    gate = GateConfig()
    assert (gate.metrics["mcq"], gate.without_reader) == ("usable", {"mcq": "counts_obeyed"})
    assert "guessable" in gate.guards["mcq"]


def test_the_decision_as_json() -> None:
    decision = _decide(_report(champion={"a": EQUAL, "b": EQUAL}, candidate={"a": EQUAL, "b": EQUAL}))
    document = decision.to_dict()
    assert document["promoted"] is False
    assert document["reasons"][0].startswith("No task is better")
    assert document["policy_version"] == POLICY.version


@pytest.mark.parametrize("place", ["metrics", "floors", "guards"])
def test_a_metric_that_is_neither_better_nor_worse_judges_nothing(place: str) -> None:
    rules: dict[str, dict[str, Any]] = {
        "metrics": {"metrics": {"a": "length"}},
        "floors": {"floors": {"a": {"length": 0.1}}},
        "guards": {"guards": {"a": ("length",)}},
    }
    metrics = (Metric("score"), Metric("length", higher_is_better=None, high=None))
    examples = [Example("", "", "a", f"a{i}") for i in range(N)]
    texts = {model: [f"{{'score': {s}, 'length': 9.0}}"] * N for model, s in (("base", 0.1), ("candidate", 0.9))}
    report = evaluate_models(texts, examples, tasks={"a": toy_task("a", metrics)}, seed=7, resamples=100)
    policy = PromotionPolicy(**{"metrics": {"a": "score"}, **rules[place]})
    decision = decide(report, policy)
    assert not decision.promoted
    assert "a: of length, which the policy asks for, neither more nor less is better." in decision.reasons
    assert decide(report, PromotionPolicy(metrics={"a": "score"})).promoted


@pytest.mark.parametrize(
    ("examples", "split", "most", "found"),
    [
        ({"a": {"validation": 21, "test": 90}}, "validation", None, {"a": 21}),
        ({"a": {"validation": 21, "test": 90}}, "test", None, {"a": 90}),
        ({"a": {"validation": 500}}, "validation", 20, {"a": 20}),
        ({"a": {"train": 500}, "b": {"validation": 3}}, "validation", 20, {"a": 0, "b": 3}),
    ],
)
def test_what_a_report_will_be_about_is_known_from_the_manifest(
    examples: dict[str, dict[str, int]], split: str, most: int | None, found: dict[str, int]
) -> None:
    counts = {task: {s: SplitCounts(examples=n) for s, n in splits.items()} for task, splits in examples.items()}
    assert will_be_evaluated(counts, split=split, max_examples=most) == found


@pytest.mark.parametrize("needed", [N - 1, N, N + 1])
def test_what_is_known_before_the_training_is_what_the_gate_says_after_it(needed: int) -> None:
    policy = dataclasses.replace(POLICY, min_examples=needed)
    report = _report(base={"a": WORSE, "b": WORSE}, candidate={"a": BETTER, "b": BETTER})
    foreseen = [str(short) for short in shortages(report.examples, policy)]
    said = [reason for reason in decide(report, policy).reasons if "were evaluated" in reason]
    assert said == foreseen
    assert bool(said) == (needed > N)


def test_a_task_that_the_policy_names_and_nobody_evaluates_is_foreseen() -> None:
    assert [(its.task, its.found) for its in shortages({"a": 60}, POLICY)] == [("b", 0)]


@pytest.mark.parametrize(
    ("score", "error", "then", "floors", "said"),
    [
        (0.9, 0.1, {"score": 0.9, "error": 0.1}, {}, []),
        (0.86, 0.14, {"score": 0.9, "error": 0.1}, {}, []),
        (0.8, 0.1, {"score": 0.9, "error": 0.1}, {}, ["a: score fell from 0.9000 to 0.8000, by more than 0.05."]),
        (0.9, 0.9, {"score": 0.9, "error": 0.1}, {}, ["b: error rose from 0.1000 to 0.9000, by more than 0.05."]),
        (0.9, 0.1, {"score": 0.9, "error": 0.9}, {}, []),
        (0.9, 0.1, {"score": 0.1, "error": 0.9}, {}, []),
        (0.8, 0.3, {}, {}, []),
        (None, 0.1, {"score": 0.9}, {}, ["a: score is missing."]),
        (math.nan, 0.1, {"score": 0.9}, {}, ["a: score is missing."]),
        (0.9, 0.3, {}, {"b": {"error": 0.2}}, ["b: error is 0.3000, over its ceiling of 0.2000."]),
        (0.1, 0.1, {}, {"a": {"score": 0.2}}, ["a: score is 0.1000, under its floor of 0.2000."]),
    ],
)
def test_a_champion_got_worse_in_the_direction_of_its_metric(
    score: float | None, error: float, then: dict[str, float], floors: dict[str, dict[str, float]], said: list[str]
) -> None:
    report = _report(candidate={"a": [{"score": score}] * N, "b": [{"error": error}] * N})
    policy = PromotionPolicy(metrics={"a": "score", "b": "error"}, floors=floors)
    assert regressions(report, {"a": then, "b": then}, policy, max_drop=0.05) == said


def test_a_task_that_the_policy_does_not_name_regresses_by_its_first_metric() -> None:
    report = _report(candidate={"own": [{"score": 0.1, "other": 1.0}] * N})
    found = regressions(report, {"own": {"score": 0.5, "other": 1.0}}, PromotionPolicy(metrics={}), max_drop=0.05)
    assert found == ["own: score fell from 0.5000 to 0.1000, by more than 0.05."]


USABLE = PromotionPolicy(
    metrics={"a": "usable"}, guards={"a": ("guessable",)}, without_reader={"a": "score"}, guard_groups=False
)


def _read(share: float | None, **models: Mapping[str, Sequence[Any]]) -> EvalReport:
    """A report whose reader answered `share` of the data set's questions correctly; None: no reader."""
    metrics = (
        (Metric("usable"), Metric("guessable", False), Metric("score")) if share is not None else (Metric("score"),)
    )
    task = toy_task("a", metrics)
    examples = [Example("", "", "a", f"a{i}") for i in range(N)]
    texts = {model: [repr(value) for value in by_task["a"]] for model, by_task in models.items()}
    note = {"reader": {"reference_with_passage": share, "reference_without_passage": 0.0}} if share is not None else {}
    return evaluate_models(texts, examples, tasks={"a": task}, seed=7, resamples=200, settings=note)


def _scores(usable: float, guessable: float, score: float) -> dict[str, list[Any]]:
    return {"a": [{"usable": usable, "guessable": guessable, "score": score}] * N}


@pytest.mark.parametrize(
    ("share", "candidate", "promoted", "reasons"),
    [
        (0.9, (0.9, 0.3, 0.1), True, ["a: usable is better than the champion's"]),
        (0.5, (0.1, 0.3, 0.9), False, ["a: usable is worse than the champion's"]),
        (0.9, (0.9, 0.4, 0.9), False, ["a: guessable is clearly worse"]),
        (0.49, (0.1, 0.9, 0.9), True, ["a: score is better than the champion's", "a: the reader answered 0.49"]),
        (0.4999, (0.9, 0.1, 0.1), False, ["a: score is worse than the champion's", "a: the reader answered 0.49"]),
    ],
)
def test_a_metric_of_the_reader_decides_only_where_the_reader_is_good_enough(
    share: float, candidate: tuple[float, float, float], promoted: bool, reasons: list[str]
) -> None:
    report = _read(share, champion=_scores(0.5, 0.3, 0.5), candidate=_scores(*candidate))
    decision = decide(report, USABLE)
    assert decision.promoted is promoted
    assert [any(given.startswith(reason) for given in decision.reasons) for reason in reasons] == [True] * len(reasons)
    assert len(decision.reasons) == len(reasons)
    assert deciding(report, USABLE, "a") == ("usable" if share >= 0.5 else "score")
    assert decide(EvalReport.from_json(report.to_json()), USABLE) == decision


def test_without_a_reader_the_other_metric_decides_and_guards_of_the_reader_are_left_out() -> None:
    report = _read(None, champion={"a": EQUAL}, candidate={"a": BETTER})
    decision = decide(report, USABLE)
    assert decision.promoted
    assert decision.reasons[1:] == (
        "a: no reader answered the data set's own questions, so score decides instead of usable.",
    )


def test_a_policy_that_names_a_metric_of_form_is_followed_as_before() -> None:
    policy = dataclasses.replace(USABLE, metrics={"a": "score"})
    for share in (None, 0.1, 0.9):
        new, old = ({"a": BETTER}, {"a": EQUAL}) if share is None else (_scores(0.5, 0.3, 0.6), _scores(0.5, 0.3, 0.5))
        decision = decide(_read(share, champion=old, candidate=new), policy)
        assert (decision.promoted, len(decision.reasons)) == (True, 1)


@pytest.mark.parametrize(
    ("share", "then", "said"),
    [
        (0.9, {"usable": 0.9, "score": 0.5}, ["a: usable fell from 0.9000 to 0.5000, by more than 0.05."]),
        (0.9, {"usable": 0.5, "score": 0.9}, []),
        (0.9, {"score": 0.9}, ["a: score fell from 0.9000 to 0.5000, by more than 0.05."]),  # of an older release
        (0.9, {}, []),
        (0.4, {"usable": 0.9, "score": 0.5}, []),
        (0.4, {"usable": 0.5, "score": 0.9}, ["a: score fell from 0.9000 to 0.5000, by more than 0.05."]),
    ],
)
def test_a_champion_is_held_to_the_metric_that_decides_today(
    share: float, then: dict[str, float], said: list[str]
) -> None:
    report = _read(share, candidate=_scores(0.5, 0.3, 0.5))
    assert regressions(report, {"a": then}, USABLE, max_drop=0.05) == said


SAME = [1.0 if i % 3 else 0.0 for i in range(N)]
LOST = [0.0] * N


def _with_traffic(
    ours: Sequence[Any] | None, theirs: Sequence[Any] = SAME, *, reader: float | None = None, fault: str = ""
) -> EvalReport:
    """A report by which the candidate is better, with its scores on logged texts. None: none of task a."""
    report = _report(champion={"a": EQUAL, "b": EQUAL}, candidate={"a": BETTER, "b": BETTER})
    values: Any = {} if ours is None else {"candidate": {"a": ours}, "champion": {"a": theirs}}
    traffic = _report(**values) if values else _report(candidate={"b": []}, champion={"b": []})
    note = {"reference_with_passage": reader}
    return dataclasses.replace(
        report,
        settings={**report.settings, "reader": note},
        traffic=dataclasses.replace(traffic, settings={SAMPLE: {"fault": fault}}),
    )


@pytest.mark.parametrize(
    ("report", "guard", "promoted", "said"),
    [
        (_with_traffic(LOST), (), True, None),
        (_with_traffic(SAME), ("score",), True, None),
        (_with_traffic(LOST), ("score",), False, "a: score is clearly worse on logged texts: 0.0000 against 0.6667"),
        (_with_traffic(SLIGHTLY_WORSE, EQUAL), ("score",), True, None),
        (_with_traffic([math.nan] * N), ("score",), False, "the difference in score on logged texts to the champion"),
        (_with_traffic([None] * N), ("score",), False, "score on logged texts is missing for the candidate"),
        (_with_traffic(LOST[:29], SAME[:29]), ("score",), True, "only 29 have a value for both models, and a guard"),
        (_with_traffic([None] * 29, SAME[:29]), ("score",), True, "only 0 have a value for both models"),
        (_with_traffic(None), ("score",), True, "a: score was not guarded on logged texts: none is of a."),
        (_with_traffic(LOST), ("never",), True, "never was not guarded on logged texts: it was not measured."),
        (_with_traffic(LOST, fault="no access"), ("score",), True, "the request log could not be read (no access)."),
    ],
)
def test_logged_texts_stand_against_a_version_only_if_the_policy_names_a_metric(
    report: EvalReport, guard: tuple[str, ...], promoted: bool, said: str | None
) -> None:
    decision = _decide(report, traffic_guard={"a": guard})
    assert decision.promoted is promoted, decision.reasons
    about = [reason for reason in decision.reasons if "logged" in reason]
    assert len(about) == (said is not None) and (said or "") in "".join(about), decision.reasons


def test_a_margin_holds_on_logged_texts_too() -> None:
    report = _with_traffic([max(0.0, value - 0.1) for value in SAME])
    wide = _decide(report, traffic_guard={"a": ("score",)}, margins={"a": {"score": 0.2}, "b": {"score": 0.2}})
    assert wide.promoted, wide.reasons
    assert not _decide(report, traffic_guard={"a": ("score",)}).promoted


@pytest.mark.parametrize(("share", "promoted"), [(0.9, False), (0.4, True), (None, True)])
def test_a_metric_of_the_reader_guards_only_if_the_reader_is_good_enough(share: float | None, promoted: bool) -> None:
    usable = [{"score": 0.5, "usable": value} for value in SAME]
    lost = [{"score": 0.5, "usable": 0.0}] * N
    report = _with_traffic(SAME, reader=share)
    metrics = (Metric("score"), Metric("usable"))
    task = toy_task("a", metrics)
    examples = [Example(f"a {i}", "", "a", f"a{i}") for i in range(N)]
    traffic = evaluate_models(
        {"candidate": list(map(repr, lost)), "champion": list(map(repr, usable))}, examples, tasks={"a": task}, seed=7
    )
    found = dataclasses.replace(report, traffic=dataclasses.replace(traffic, settings={SAMPLE: {"fault": ""}}))
    decision = _decide(found, traffic_guard={"a": ("usable",)})
    assert decision.promoted is promoted, decision.reasons
    assert any("a reader that is not good enough" in reason for reason in decision.reasons) is promoted


def test_without_a_champion_or_logged_texts_the_guard_says_so() -> None:
    report = _report(base={"a": WORSE, "b": WORSE}, candidate={"a": BETTER, "b": BETTER})
    alone = dataclasses.replace(_report(candidate={"a": SAME}), settings={SAMPLE: {"fault": ""}})
    first = _decide(dataclasses.replace(report, traffic=alone), traffic_guard={"a": ("score",)})
    assert first.promoted and "a: score was not guarded on logged texts: there is no champion to compare with." in (
        first.reasons
    )
    none = _decide(report, traffic_guard={"a": ("score",)})
    assert none.promoted and "a: score was not guarded on logged texts: the report has none." in none.reasons
