from __future__ import annotations

import dataclasses
import json
import math
from typing import Any

import pytest

from mtl.evaluation.report import BASE, CANDIDATE, CHAMPION, EvalReport
from mtl.evaluation.samples import sample_examples
from mtl.evaluation.score import compare, evaluate_models
from mtl.example import Example
from mtl.task import Metric
from tests.support.toy_task import toy_task

METRICS = (Metric("score"), Metric("length", high=None, source="a ratio"))
TASKS = {"toy": toy_task("toy", METRICS, groups=2), "other": toy_task("other", METRICS)}
EXAMPLES = [
    *(Example(f"inputs {i}", f"targets {i}", "toy", f"t{i}", {"group": i % 2}) for i in range(4)),
    Example("inputs 4", "targets 4", "other", "o4"),
    Example("inputs 5", "targets 5", "other", "o5"),
]


def _report(**changes: Any) -> EvalReport:
    predictions = {
        BASE: ["0.0", "0.25", "0.0", "0.25", "0.5", "None"],
        CANDIDATE: ["0.5", "0.75", "0.5", "0.75", "{'score': 0.5, 'length': 2.0}", "{'length': nan}"],
        CHAMPION: ["0.5", "0.5", "0.5", "0.5", "0.5", "0.5"],
    }
    options: dict[str, Any] = {"tasks": TASKS, "seed": 3, "seconds": {BASE: 1.5, CANDIDATE: 2.0}}
    return evaluate_models(predictions, EXAMPLES, **{**options, **changes})


def test_what_people_said_judges_and_is_not_shown() -> None:
    examples = [*EXAMPLES, Example("inputs of somebody", "a correction", "other", "o6", {"feedback": True})]
    texts = {BASE: ["0.0"] * 7, CANDIDATE: ["0.5"] * 6 + ["0.9"]}
    report = evaluate_models(texts, examples, tasks=TASKS, seed=3, resamples=20)
    assert report.examples["other"] == 3
    assert {sample.uid for sample in report.samples} == {example.uid for example in EXAMPLES}


def test_means_by_task_and_group() -> None:
    report = _report()
    toy = report.results[CANDIDATE]["toy"]
    assert (toy.n, toy.means) == (4, {"score": 0.625, "length": None})
    assert {name: (group.n, group.means["score"]) for name, group in toy.groups.items()} == {
        "g0": (2, 0.5),
        "g1": (2, 0.75),
    }
    assert report.examples == {"toy": 4, "other": 2}
    assert report.models == (BASE, CHAMPION, CANDIDATE)


def test_a_metric_that_does_not_apply_is_left_out_of_the_mean_and_nan_is_not() -> None:
    report = _report()
    assert report.mean(BASE, "other", "score") == 0.5
    assert math.isnan(report.mean(CANDIDATE, "other", "length") or 0.0)
    assert report.mean(BASE, "other", "length") is None
    assert report.mean(BASE, "nothing", "score") is None


def test_comparisons_are_candidate_minus_the_other_and_paired() -> None:
    report = _report()
    found = report.comparison(BASE, "toy", "score")
    assert found is not None
    assert (found.n, found.unpaired, found.difference, found.low, found.high) == (4, 0, 0.5, 0.5, 0.5)
    group = report.comparison(CHAMPION, "toy", "score", group="g1")
    assert group is not None
    assert (group.n, group.difference) == (2, 0.25)
    unpaired = report.comparison(CHAMPION, "other", "score")
    assert unpaired is not None
    assert (unpaired.n, unpaired.unpaired) == (1, 1)
    assert {c.against for c in report.comparisons} == {BASE, CHAMPION}
    assert len(report.comparisons) == 2 * (2 * 3 + 2 * 1)


def test_json_has_the_published_keys_and_no_nan() -> None:
    report = _report(settings={"precision": "fp32"})
    document = json.loads(json.dumps(report.to_json(), allow_nan=False))
    assert document["candidate"]["toy"] == {"score": 0.625, "length": None}
    assert document["candidate"]["by_difficulty"]["toy"]["g1"] == {"n": 2, "score": 0.75, "length": None}
    assert "other" not in document["candidate"]["by_difficulty"]
    assert document["examples"] == {"toy": 4, "other": 2}
    assert document["seconds"] == 3.5
    assert document["not_finite"] == ["candidate/other/length"]
    assert document["candidate"]["other"]["length"] is None
    assert document["settings"] == {"precision": "fp32", "seed": 3, "resamples": 2000}


def test_json_survives_a_round_trip_and_the_single_scores_stay_out_of_it() -> None:
    report = _report()
    again = EvalReport.from_json(json.loads(json.dumps(report.to_json())))
    assert again.to_json() == report.to_json()
    assert again.metrics == report.metrics
    assert again.samples == report.samples
    assert math.isnan(again.mean(CANDIDATE, "other", "length") or 0.0)
    assert again.scores == () != report.scores


def test_flat_metrics_are_finite_and_named_by_their_path() -> None:
    assert _report().flat(CANDIDATE) == {
        "toy/score": 0.625,
        "toy/g0/score": 0.5,
        "toy/g1/score": 0.75,
        "other/score": 0.5,
    }
    assert dataclasses.replace(_report(), results={}).flat(CANDIDATE) == {}


def test_samples_stand_side_by_side() -> None:
    report = _report(samples_per_task=1)
    assert [sample.task for sample in report.samples] == ["toy", "other"]
    sample = report.samples[0]
    index = int(sample.uid[1:])
    assert (sample.inputs, sample.reference) == (f"inputs {index}", f"targets {index}")
    assert list(sample.predictions) == [BASE, CHAMPION, CANDIDATE]
    assert sample.predictions[BASE] == ["0.0", "0.25", "0.0", "0.25"][index]


def test_the_report_is_a_function_of_predictions_and_seed() -> None:
    assert _report().to_json() == _report().to_json()


@pytest.mark.parametrize(
    ("predictions", "message"),
    [
        ({"candidat": ["0"] * 6}, "a report has no model 'candidat'; did you mean 'candidate'?"),
        ({CANDIDATE: ["0"] * 5}, "candidate wrote 5 texts for 6 examples"),
        ({CANDIDATE: ["{'scores': 1.0}"] * 6}, r"task toy scores \['scores'\], which its metrics do not describe"),
    ],
)
def test_what_cannot_be_reported(predictions: dict[str, list[str]], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        evaluate_models(predictions, EXAMPLES, tasks=TASKS, seed=1)


def test_examples_of_an_unknown_task() -> None:
    with pytest.raises(ValueError, match="unknown task 'toy'; known: other"):
        evaluate_models({CANDIDATE: ["0"] * 6}, EXAMPLES, tasks={"other": TASKS["other"]}, seed=1)


def test_scores_of_different_examples_are_not_compared() -> None:
    rows = [row for row in _report().scores if row.model == CANDIDATE]
    moved = [dataclasses.replace(row, uid=row.uid + "x") for row in rows]
    with pytest.raises(ValueError, match="not of the same examples in the same order"):
        compare(rows, moved, task=TASKS["toy"], seed=1, confidence=0.95, resamples=10)


def test_a_sample_is_seeded_in_order_and_stable_under_growth() -> None:
    many = [Example("", "", "toy", f"u{i}") for i in range(200)]
    chosen = sample_examples(many, per_task=50, seed=1)
    assert len(chosen) == 50
    assert [int(e.uid[1:]) for e in chosen] == sorted(int(e.uid[1:]) for e in chosen)
    assert sample_examples(many[::-1], per_task=50, seed=1) == chosen[::-1]
    assert sample_examples(many, per_task=50, seed=2) != chosen
    grown = sample_examples([*many, *(Example("", "", "toy", f"v{i}") for i in range(20))], per_task=50, seed=1)
    assert len({e.uid for e in chosen} & {e.uid for e in grown}) >= 35
    assert sample_examples(many, per_task=None, seed=1) == many
    assert len(sample_examples(EXAMPLES, per_task=2, seed=1)) == 4
