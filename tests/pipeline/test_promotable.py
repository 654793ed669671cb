"""A version that could never be promoted is foreseen from the counts of its data, with what to change."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mtl.config.retrain import RetrainConfig, load_config, parse_config
from mtl.data.manifest import SplitCounts
from mtl.errors import InputError
from mtl.pipeline.promotable import expected_power, refuse_unpromotable, unpromotable


def config(*, data: Any = None, tasks: Any = ("summarize", "mcq"), **sections: Any) -> RetrainConfig:
    sources = [{"task": task, "uri": "demo"} for task in tasks]
    return parse_config({"data": {"sources": sources, **(data or {})}, **sections})


def counts(**examples: int) -> dict[str, dict[str, SplitCounts]]:
    return {
        task: {"train": SplitCounts(examples=500), "validation": SplitCounts(examples=n)}
        for task, n in examples.items()
    }


HELD_OUT = {"holdout": {"validation": 0.1}}
"""Of 400 questions and 300 articles it makes 21 and 26 examples."""


CHOOSING = {"eval_steps": 10}
"""A quarter of the passages choose the checkpoint, and are not among the counted examples."""


def test_the_quickstarts_own_holdout_of_700_rows_is_foreseen_and_refused() -> None:
    found = unpromotable(config(data=HELD_OUT), counts(mcq=21, summarize=26))
    assert [(item.task, item.found, item.needed) for item in found] == [
        ("summarize", 26, 30),
        ("mcq", 21, 30),
    ]
    assert "holdout: {validation: 0.13}" in found[0].do
    assert "holdout: {validation: 0.16}" in found[1].do
    assert "gate: {min_examples: 21}" in found[1].do
    with pytest.raises(InputError, match="mcq: no version can be promoted, because 21 validation examples") as caught:
        refuse_unpromotable(config(data=HELD_OUT), found)
    assert "gate: {too_few_examples: register}" in str(caught.value.hint)


def test_what_the_configuration_wants_is_not_refused() -> None:
    few = counts(mcq=21, summarize=26)
    refuse_unpromotable(config(gate={"too_few_examples": "register"}), unpromotable(config(), few))
    assert unpromotable(config(gate={"min_examples": 21}), few) == []
    assert unpromotable(config(), counts(mcq=30, summarize=30)) == []


@pytest.mark.parametrize(
    ("changes", "examples", "do"),
    [
        ({"evaluate": {"max_examples": 20}}, {"mcq": 500, "summarize": 500}, "evaluate: {max_examples: 30} or more"),
        ({}, {"mcq": 12, "summarize": 500}, "more rows for validation, or data: {holdout: {validation: 0.2}}"),
        (
            {"train": CHOOSING},
            {"mcq": 27, "summarize": 500},
            "train: {eval_share: 0.08} leaves more examples to the gate",
        ),
        ({"train": CHOOSING}, {"mcq": 24, "summarize": 500}, "more rows for validation, or data: {holdout"),
        ({"train": CHOOSING, "data": HELD_OUT}, {"mcq": 24, "summarize": 500}, "data: {holdout: {validation: 0.14}}"),
        ({"data": HELD_OUT}, {"mcq": 2, "summarize": 500}, "more rows; gate: {min_examples: 2}"),
        ({"data": HELD_OUT}, {"mcq": 0, "summarize": 500}, "more rows; gate: {min_examples: 2}"),
        (
            {"tasks": ("summarize",), "gate": {"metrics": {"mcq": "parsed", "summarize": "rougeLsum"}}},
            {"summarize": 500},
            "gate: {metrics: {summarize: rougeLsum}}",
        ),
    ],
)
def test_the_advice_is_about_what_is_too_small(changes: Any, examples: dict[str, int], do: str) -> None:
    assert do in unpromotable(config(**changes), counts(**examples))[0].do


@pytest.mark.parametrize("task", ["summarize", "mcq"])
def test_a_configuration_of_one_task_is_not_judged_on_the_other(task: str) -> None:
    """The default of gate.metrics names both tasks, so that no version of one alone was ever promoted."""
    assert unpromotable(config(tasks=[task]), counts(**{task: 30})) == []
    assert list(config(tasks=[task]).gate.metrics) == [task]
    assert config().gate.metrics == {"summarize": "rougeLsum", "mcq": "usable"}


@pytest.mark.parametrize(
    ("evaluate", "gate", "tasks"),
    [
        ({"reader_examples": 29}, {}, ["mcq"]),
        ({"reader_examples": 30}, {}, []),
        ({}, {}, []),
        ({"reader_examples": 29, "reader": "none"}, {}, []),
        ({"reader_examples": 29}, {"metrics": {"mcq": "counts_obeyed"}}, []),
    ],
)
def test_fewer_examples_read_than_the_gate_needs_are_foreseen(evaluate: Any, gate: Any, tasks: list[str]) -> None:
    found = unpromotable(config(evaluate=evaluate, gate=gate), counts(mcq=30, summarize=30))
    assert [item.task for item in found] == tasks
    for item in found:
        assert "the questions of 29 examples are read and the gate needs 30 with a value of usable" in item.text
        assert item.do == "evaluate: {reader_examples: 30} or more, or leave reader_examples out"


def test_what_the_gate_will_be_able_to_see_is_known_from_the_counts() -> None:
    """By the usual deviation of the metric that decides, on the examples that are evaluated and read."""
    evaluate = {"max_examples": 400, "reader_examples": 100}
    first, second, third = expected_power(config(evaluate=evaluate), counts(summarize=500, mcq=300))
    assert (first.task, first.metric, first.n, first.margin, first.tasks) == ("summarize", "rougeLsum", 400, 0.01, 2)
    assert (second.task, second.metric, second.n, second.margin) == ("mcq", "usable", 100, 0.05)
    assert (third.task, third.metric, third.n) == ("mcq", "counts_obeyed", 300), "if the reader is not good enough"
    gate = {"margins": {"mcq": {"counts_obeyed": 0.2}}}
    (unread,) = expected_power(config(evaluate={"reader": "none"}, gate=gate, tasks=("mcq",)), counts(mcq=300))
    assert (unread.metric, unread.n, unread.margin, unread.tasks) == ("counts_obeyed", 300, 0.2, 1)


def test_nothing_is_said_of_a_metric_whose_usual_deviation_nobody_knows() -> None:
    assert expected_power(config(gate={"metrics": {"mcq": "parsed"}}, tasks=("mcq",)), counts(mcq=300)) == []
    assert expected_power(config(), counts(summarize=0, mcq=0)) == []


@pytest.mark.parametrize(
    ("name", "summarize", "mcq"),
    [
        ("demo", 139, 160),
        ("flan-t5-small", 200, 200),
        ("own-data", 200, 200),
        ("flan-t5-base", 2000, 1000),
        ("flan-t5-base-h100", 2000, 1000),
    ],
)
def test_the_margins_of_the_shipped_configurations_suit_the_examples_that_they_evaluate(
    name: str, summarize: int, mcq: int
) -> None:
    """RACE has 1,389 validation passages, of which a part chooses the checkpoint."""
    found = expected_power(load_config(Path(name)), counts(summarize=summarize, mcq=mcq))
    assert [(its.task, its.n) for its in found if its.too_few] == []
    assert [its.n for its in found] == [summarize, mcq, mcq]
