"""What does not fit together in a task is named when it is put into the table."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from mtl.parameter import Parameter
from mtl.task import GateDefaults, Groups, Metric, Task
from mtl.tasks.checks import table
from mtl.tasks.table import get_task


def summaries(**changes: Any) -> Task:
    return replace(get_task("summarize"), options=(), **changes)


COUNT = Parameter("count", "how many", 1, low=1, high=9)


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"name": "Sum up"}, "its name must be small letters, digits and _"),
        ({"token": "summarize"}, "its token must be a word in angle brackets, got 'summarize'"),
        ({"version": 0}, "its version must be 1 or more, got 0"),
        ({"prompt": lambda text: text}, "prompt must take (text, request): too many positional arguments"),
        ({"score": lambda example, prediction, more: {}}, "score must take (example, prediction): missing a required"),
        ({"parse": None}, "parse must be a function, got None"),
        ({"prompt": lambda text, request: text}, "the inputs that its prompt gives must begin with <summarize>"),
        ({"metrics": (), "gate": GateDefaults()}, "it has no metric, so that the gate could not judge it"),
        ({"metrics": (Metric("a"), Metric("a")), "gate": GateDefaults()}, "two metrics are called 'a'"),
        (
            {"metrics": (Metric("a", margin=-0.1),), "gate": GateDefaults()},
            "the margin of 'a' must be 0 or more, got -0.1",
        ),
        ({"gate": GateDefaults("rougeX")}, "the gate cannot judge it by 'rougeX'"),
        ({"gate": GateDefaults(guards=("length",))}, "the gate cannot judge it by 'length'"),
        ({"gate": GateDefaults(floors={"rogue1": 0.1})}, "the gate cannot judge it by 'rogue1'"),
        ({"gate": GateDefaults("usable", without_reader="rougeLsum")}, "the gate cannot judge it by 'usable'"),
        ({"gate": GateDefaults("rougeLsum", without_reader="nope")}, "the gate cannot judge it by 'nope'"),
        ({"metrics": (Metric("usable"),), "gate": GateDefaults()}, "a metric cannot be called 'usable', which comes"),
        ({"groups": Groups("length", ("short", "short"))}, "two groups are called 'short'"),
        ({"request": (COUNT, COUNT)}, "two parameters are called 'count'"),
        ({"request": (replace(COUNT, name="task"),)}, "a request parameter cannot be called 'task'"),
        ({"request": (replace(COUNT, name="Count"),)}, "the name of parameter 'Count' must be small letters"),
        ({"request": (replace(COUNT, default=0),)}, "the default of 'count' must be a whole number from 1 to 9, got 0"),
        ({"request": (replace(COUNT, default=None),)}, "parameter 'count' needs a default"),
        ({"request": (COUNT,), "default_request": {"count": 10}}, "its default request cannot say count=10"),
        ({"request": (COUNT,), "check_request": {"number": 1}}, "its check request cannot say number=1"),
        (
            {"metrics": (Metric("a"),), "gate": GateDefaults()},
            "it has a claim, and so it must have the metric 'consist",
        ),
        ({"claim": lambda example: None}, "claim must take (example, text): too many positional arguments"),
        ({"request": (COUNT,), "default_request": {"count": 3}}, "its default request would stand for a request of"),
        ({"default_request": {"easy": 1}}, "its default request cannot say easy=1"),
    ],
)
def test_a_task_that_does_not_fit_together_is_refused(changes: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValueError, match="the table of tasks is wrong") as caught:
        table([summaries(**changes)])
    assert problem in str(caught.value)


def test_all_that_is_wrong_is_said_at_once() -> None:
    with pytest.raises(ValueError, match="the table of tasks is wrong") as caught:
        table([summaries(version=0, gate=GateDefaults("rougeX"))])
    assert str(caught.value).count("task 'summarize': ") == 2


@pytest.mark.parametrize(
    ("other", "problem"),
    [
        ({}, "two tasks have the name 'summarize'"),
        ({"name": "other"}, "two tasks have the token '<summarize>'"),
        ({"request": (replace(COUNT, high=5),)}, "two tasks have another request parameter 'count' each"),
        ({"options": (COUNT,)}, "two tasks have an option 'count': give one another name"),
    ],
)
def test_two_tasks_may_not_share_what_is_ones_own(other: dict[str, Any], problem: str) -> None:
    first = replace(summaries(request=(COUNT,)), options=(COUNT,))
    if "options" not in other:
        first = replace(first, options=())
    with pytest.raises(ValueError, match="the table of tasks is wrong") as caught:
        table([first, replace(summaries(), **other)])
    assert problem in str(caught.value)


def test_two_tasks_may_share_a_request_parameter_that_means_the_same() -> None:
    def prompt(text: str, request: Any) -> str:
        return f"<headline> {text}"

    other = replace(summaries(request=(COUNT,)), name="headline", token="<headline>", prompt=prompt)
    assert list(table([summaries(request=(COUNT,)), other])) == ["summarize", "headline"]


def test_a_task_that_a_reader_decides_names_a_metric_for_reports_without_one() -> None:
    mcq = get_task("mcq")
    with pytest.raises(ValueError, match="it is decided by 'usable', which comes from a reader"):
        table([replace(mcq, gate=replace(mcq.gate, without_reader=""))])
    with pytest.raises(ValueError, match="the gate cannot judge it by 'guessable'"):
        table([replace(mcq, gate=replace(mcq.gate, without_reader="guessable"))])
