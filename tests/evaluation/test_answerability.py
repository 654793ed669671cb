"""What a reader makes of written questions, with a reader whose picks are known."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from mtl.config.gate import GateConfig
from mtl.evaluation.answerability import with_reader
from mtl.evaluation.markdown import report_markdown
from mtl.evaluation.page import report_page
from mtl.evaluation.reader import Probabilities
from mtl.evaluation.report import EvalReport
from mtl.evaluation.score import evaluate_models
from mtl.promotion import decide, policy_from
from mtl.task import ReadingQuestion
from mtl.tasks.table import TASKS
from tests.evaluation.test_with_tasks import ECHOES, EXAMPLES, REFERENCES


class Finder:
    """Picks the first option that the passage names; without the passage always option A."""

    name = "finder"

    def __init__(self) -> None:
        self.asked: list[ReadingQuestion] = []

    def __call__(self, questions: Sequence[ReadingQuestion], *, passage: bool) -> list[Probabilities]:
        self.asked += questions if passage else []
        named = [[i for i, option in enumerate(q.options) if option in q.passage] for q in questions]
        picks = [found[0] if passage and found else 0 for found in named]
        return [
            tuple(float(i == pick) for i in range(len(q.options))) for q, pick in zip(questions, picks, strict=True)
        ]


def _moved(text: str) -> str:
    """The references say key A; here it is said to be B, which the passage never supports."""
    return text.replace("Correct: A", "Correct: B")


def _report(per_task: int = 100, reader: Finder | None = None, **predictions: list[str]) -> EvalReport:
    tasks, note = with_reader(TASKS, EXAMPLES, predictions, reader or Finder(), per_task=per_task, seed=1)
    return evaluate_models(predictions, EXAMPLES, tasks=tasks, seed=1, resamples=200, settings={"reader": note})


def test_a_wrong_key_is_not_answerable_and_a_right_one_is() -> None:
    report = _report(base=[_moved(text) for text in REFERENCES], candidate=REFERENCES)
    found = {
        name: (report.mean("candidate", "mcq", name), report.mean("base", "mcq", name))
        for name in ("answerable", "guessable", "passage_gain", "difficulty_Easy", "difficulty_Hard")
    }
    assert found == {
        "answerable": (1.0, 0.0),
        "guessable": (1.0, 0.0),  # the right key is always A here, which is what this reader guesses
        "passage_gain": (0.0, 0.0),
        "difficulty_Easy": (0.0, 1.0),
        "difficulty_Hard": (0.0, 1.0),
    }
    compared = report.comparison("base", "mcq", "answerable")
    assert compared is not None and compared.low == 1.0
    assert report.metric("mcq", "answerable") and report.metric("summarize", "answerable") is None
    assert report.settings["reader"] == {
        "name": "finder",
        "examples": 40,
        "reference_questions": 60,
        "reference_with_passage": 1.0,
        "reference_without_passage": 1.0,
    }


def test_each_metric_says_its_range_its_source_and_which_end_is_better() -> None:
    report = _report(base=ECHOES, candidate=REFERENCES)
    described = {
        metric.name: metric for metric in report.metrics["mcq"] if metric.name not in str(TASKS["mcq"].metrics)
    }
    assert list(described) == [
        "answerable",
        "guessable",
        "passage_gain",
        "difficulty_Easy",
        "difficulty_Medium",
        "difficulty_Hard",
    ]
    assert all(metric.source for metric in described.values())
    ends = [metric.higher_is_better for metric in described.values()]
    assert ends == [True, False, True, None, None, None]
    assert (described["passage_gain"].low, described["passage_gain"].high) == (-1.0, 1.0)


def test_the_sample_is_bounded_and_each_question_is_asked_once() -> None:
    reader = Finder()
    report = _report(per_task=10, reader=reader, base=REFERENCES, champion=REFERENCES, candidate=REFERENCES)
    compared = report.comparison("champion", "mcq", "answerable")
    assert compared is not None and (compared.n, compared.unpaired) == (10, 0)
    assert len(reader.asked) == len(set(reader.asked)) <= 20
    assert report.settings["reader"]["examples"] == 10


def test_answers_without_a_question_have_no_score() -> None:
    report = _report(base=ECHOES, candidate=["" for _ in EXAMPLES])
    assert report.mean("candidate", "mcq", "answerable") is None
    assert report.mean("base", "mcq", "difficulty_Hard") is None


def test_a_difficulty_that_only_the_champion_wrote_is_no_missing_metric() -> None:
    """Counts decide about that; a neutral metric is shown and never judged."""
    easy = [text.replace("Difficulty: Medium", "Difficulty: Easy") for text in REFERENCES]
    reasons = decide(_report(champion=REFERENCES, candidate=easy), policy_from(GateConfig())).reasons
    assert not any("difficulty_Medium" in reason for reason in reasons)
    assert any("counts_obeyed is worse" in reason for reason in reasons)


@pytest.mark.parametrize("render", ["markdown", "page"])
def test_the_report_says_who_read_and_how_well(render: str) -> None:
    report = _report(base=ECHOES, candidate=REFERENCES)
    text = report_markdown(report) if render == "markdown" else report_page(report, title="m v1", tasks=TASKS)
    assert "the questions of 40 examples were read by finder" in text
    assert "it picks their key in 1.000 with the passage, in 1.000 without" in text
    assert "passage_gain" in text.replace("\\", "")


def test_tasks_that_ask_nothing_are_left_as_they_are() -> None:
    alone = {"summarize": TASKS["summarize"]}
    examples = [example for example in EXAMPLES if example.task == "summarize"]
    tasks, note = with_reader(alone, examples, {"base": [""] * len(examples)}, Finder(), per_task=5, seed=1)
    assert (tasks, note) == (alone, {})
