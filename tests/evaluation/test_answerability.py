"""What a reader makes of written questions, with a reader whose picks are known."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

import pytest

from mtl.config.gate import GateConfig
from mtl.evaluation.answerability import Read, with_reader
from mtl.evaluation.markdown import report_markdown
from mtl.evaluation.page import report_page
from mtl.evaluation.reader import Probabilities
from mtl.evaluation.report import EvalReport
from mtl.evaluation.samples import gain
from mtl.evaluation.score import evaluate_models
from mtl.example import Example
from mtl.promotion import decide, policy_from
from mtl.task import Metric, ReadingQuestion
from mtl.tasks.mcq_form import parse, render_target
from mtl.tasks.table import TASKS
from tests.evaluation.test_with_tasks import ECHOES, EXAMPLES, REFERENCES

LOST = ("lost_unread", "lost_level", "lost_repeated", "lost_key")
DEFAULT = policy_from(GateConfig())


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


class Guesser(Finder):
    """Is right in 1 of 3 questions, whose key is A."""

    def __call__(self, questions: Sequence[ReadingQuestion], *, passage: bool) -> list[Probabilities]:
        self.asked += questions if passage else []
        return [(1.0, 0.0, 0.0, 0.0) if q.label == "Hard" else (0.0, 1.0, 0.0, 0.0) for q in questions]


def _moved(text: str) -> str:
    """The references say key A; here it is said to be B, which the passage never supports."""
    return text.replace("Correct: A", "Correct: B")


def _report(per_task: int | None = None, reader: Finder | None = None, **predictions: list[str]) -> EvalReport:
    read = with_reader(TASKS, EXAMPLES, predictions, reader or Finder(), per_task=per_task, seed=1)
    return evaluate_models(
        predictions,
        EXAMPLES,
        tasks=read.tasks,
        seed=1,
        resamples=200,
        settings=read.settings,
        readings=read.readings,
    )


def _changed(change: Callable[[str], str]) -> list[str]:
    return [change(text) for text in REFERENCES]


def _only_hard(text: str, moved: str) -> str:
    """The text with the key of its hard question changed."""
    return text if text.count("Difficulty: ") < 2 else text[: text.index(" 2. ")] + moved[moved.index(" 2. ") :]


def test_a_wrong_key_is_not_answerable_and_a_right_one_is() -> None:
    report = _report(base=_changed(_moved), candidate=REFERENCES)
    found = {
        name: (report.mean("candidate", "mcq", name), report.mean("base", "mcq", name))
        for name in ("usable", "answerable", "guessable", "passage_gain", "difficulty_Easy", "difficulty_Hard")
    }
    assert found == {
        "usable": (1.0, 0.0),
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
    """`usable` stands first, because tables follow the order of the metrics."""
    report = _report(base=ECHOES, candidate=REFERENCES)
    own = [metric.name for metric in TASKS["mcq"].metrics]
    described = {metric.name: metric for metric in report.metrics["mcq"] if metric.name not in own}
    ends = {name: metric.higher_is_better for name, metric in described.items()}
    assert list(ends.items()) == [
        ("usable", True),
        *((name, None) for name in LOST),
        ("answerable", True),
        ("guessable", False),
        ("passage_gain", True),
        *((f"usable_{label}", True) for label in ("Easy", "Medium", "Hard")),
        *((f"difficulty_{label}", None) for label in ("Easy", "Medium", "Hard")),
    ]
    assert report.metrics["mcq"][0].name == "usable"
    assert all(metric.source for metric in described.values())
    assert (described["passage_gain"].low, described["passage_gain"].high) == (-1.0, 1.0)


QUESTIONS = parse(REFERENCES[3]) or []
"""An easy and a hard one, as requested."""


def _written(*changes: dict[str, object]) -> str:
    """The answer of two questions, each with changes."""
    return render_target([{**question, **its} for question, its in zip(QUESTIONS, changes, strict=True)])


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (_written({}, {}), {"usable": 1.0}),
        (_written({}, {"correct": "C"}), {"usable": 0.5, "lost_key": 0.5}),
        (_written({"correct": "B"}, {"correct": "C"}), {"usable": 0.0, "lost_key": 1.0}),
        (_written({}, {"difficulty": "Medium"}), {"usable": 0.5, "lost_level": 0.5}),
        (_written({}, {"difficulty": "Easy"}), {"usable": 0.5, "lost_level": 0.5}),  # one easy question too many
        (_written({}, {"question": QUESTIONS[0]["question"]}), {"usable": 0.5, "lost_repeated": 0.5}),
        (_written({"options": ["Turku", "Lund", "Lund", "Umea"]}, {}), {"usable": 0.5, "lost_repeated": 0.5}),
        (render_target(QUESTIONS[:1]), {"usable": 0.5, "lost_unread": 0.5}),
        (_written({}, {}).replace(" D. ", " E. "), {"usable": 0.0, "lost_unread": 1.0}),
        ("", {"usable": 0.0, "lost_unread": 1.0}),
    ],
)
def test_each_requested_question_is_usable_or_lost_for_one_reason(text: str, found: dict[str, float]) -> None:
    answers = [text if i == 3 else reference for i, reference in enumerate(REFERENCES)]
    report = _report(base=ECHOES, candidate=answers)
    (row,) = [row for row in report.scores if row.model == "candidate" and row.uid == EXAMPLES[3].uid]
    shares = {name: row.scores[name] for name in ("usable", *LOST)}
    assert {name: share for name, share in shares.items() if share} == {n: share for n, share in found.items() if share}
    assert sum(share or 0 for share in shares.values()) == pytest.approx(1)


def test_all_evaluated_examples_are_read_unless_a_bound_is_given() -> None:
    asked = [example.uid for example in EXAMPLES if example.task == "mcq"]
    report = _report(base=ECHOES, candidate=REFERENCES)
    assert report.settings["reader"]["examples"] == len(asked) == 40


def test_the_sample_is_bounded_and_each_question_is_asked_once() -> None:
    reader = Finder()
    report = _report(per_task=10, reader=reader, base=REFERENCES, champion=REFERENCES, candidate=REFERENCES)
    for name in ("answerable", "usable"):
        compared = report.comparison("champion", "mcq", name)
        assert compared is not None and (compared.n, compared.unpaired) == (10, 0)
    assert len(reader.asked) == len(set(reader.asked)) <= 20
    assert report.settings["reader"]["examples"] == 10


def test_with_fewer_examples_read_than_the_gate_needs_it_says_so() -> None:
    report = _report(per_task=10, champion=_changed(_moved), candidate=REFERENCES)
    reasons = decide(report, DEFAULT).reasons
    assert "mcq: usable has 10 pairs, and the policy asks for at least 30." in reasons
    few = dataclasses.replace(DEFAULT, min_examples=10)
    assert decide(report, few).promoted


def test_answers_without_a_question_are_not_usable_and_have_no_other_score() -> None:
    report = _report(base=ECHOES, candidate=["" for _ in EXAMPLES])
    assert report.mean("candidate", "mcq", "answerable") is None
    assert report.mean("base", "mcq", "difficulty_Hard") is None
    assert report.mean("candidate", "mcq", "usable") == 0
    assert report.mean("candidate", "mcq", "usable_Hard") == 0
    assert report.mean("candidate", "mcq", "lost_unread") == 1


def test_a_difficulty_that_only_the_champion_wrote_is_no_missing_metric() -> None:
    """`usable` decides about that; a neutral metric is shown and never judged."""
    easy = [text.replace("Difficulty: Medium", "Difficulty: Easy") for text in REFERENCES]
    reasons = decide(_report(champion=REFERENCES, candidate=easy), DEFAULT).reasons
    assert not any("difficulty_Medium" in reason for reason in reasons)
    assert any("usable is worse" in reason for reason in reasons)


def test_perfect_form_with_wrong_keys_is_refused_for_its_keys() -> None:
    report = _report(champion=REFERENCES, candidate=_changed(_moved))
    assert report.mean("candidate", "mcq", "counts_obeyed") == report.mean("candidate", "mcq", "parsed") == 1
    decision = decide(report, DEFAULT)
    assert not decision.promoted
    alone = decide(report, dataclasses.replace(DEFAULT, guards={}, guard_groups=False))
    assert alone.reasons[0].startswith("mcq: usable is worse than the champion's: 0.0000 against 1.0000")


def test_right_keys_where_the_champion_had_wrong_ones_are_promoted() -> None:
    """`guessable` rises with them, to what it is for the data set's own questions, and does not stand against them."""
    report = _report(champion=_changed(_moved), candidate=REFERENCES)
    assert report.mean("candidate", "mcq", "guessable") == 1
    decision = decide(report, DEFAULT)
    assert decision.promoted, decision.reasons


def test_questions_that_are_easier_to_guess_than_the_data_sets_own_are_refused() -> None:
    report = _report(champion=_changed(_moved), candidate=REFERENCES)
    note = report.settings["reader"] | {"reference_without_passage": 0.3}
    decision = decide(dataclasses.replace(report, settings={"reader": note}), DEFAULT)
    assert not decision.promoted
    assert decision.reasons[0].startswith("mcq: guessable is clearly worse: 1.0000 against the champion's 0.0000")


def test_a_candidate_that_loses_hard_questions_alone_is_refused_in_their_group() -> None:
    worse = [_only_hard(text, _moved(text)) for text in REFERENCES]
    decision = decide(_report(champion=REFERENCES, candidate=worse), dataclasses.replace(DEFAULT, min_examples=20))
    assert not decision.promoted
    assert any(reason.startswith("mcq: usable in Hard is clearly worse") for reason in decision.reasons)


def test_hard_questions_lost_are_not_made_up_for_by_easy_ones_won() -> None:
    """`usable` is equal in every example, and in the group of examples that ask for a hard question too."""
    hard = [_only_hard(text, _moved(text)) for text in REFERENCES]
    easy = [_only_hard(_moved(text), text) if text.count("Difficulty: ") > 1 else text for text in REFERENCES]
    mute = ["" if example.task == "summarize" else text for example, text in zip(EXAMPLES, easy, strict=True)]
    report = _report(champion=mute, candidate=hard)
    compared = report.comparison("champion", "mcq", "usable")
    assert compared is not None and (compared.low, compared.high) == (0.0, 0.0)
    decision = decide(report, dataclasses.replace(DEFAULT, min_examples=20))
    assert not decision.promoted
    assert any(reason.startswith("mcq: usable_Hard is clearly worse: 0.0000") for reason in decision.reasons)
    assert decide(report, dataclasses.replace(DEFAULT, min_examples=20, guards={})).promoted


@pytest.mark.parametrize(
    ("candidate", "promoted"), [(REFERENCES, True), (["" for _ in EXAMPLES], False)], ids=["better", "worse"]
)
def test_a_reader_that_is_not_good_enough_decides_nothing(candidate: list[str], promoted: bool) -> None:
    report = _report(reader=Guesser(), champion=_halved(), candidate=candidate)
    assert report.settings["reader"]["reference_with_passage"] == pytest.approx(1 / 3)
    decision = decide(report, DEFAULT)
    assert decision.promoted is promoted, decision.reasons
    assert (
        "mcq: the reader answered 0.33 of the data set's own questions correctly, and gate.reader_at_least asks for "
        "0.50, so counts_obeyed decides instead of usable."
    ) in decision.reasons
    trusting = decide(report, dataclasses.replace(DEFAULT, reader_at_least=0.3))
    assert not any("instead of" in reason for reason in trusting.reasons)


def _halved() -> list[str]:
    """One question where two were requested."""
    return [
        text.split(" 2. ")[0] if example.task == "mcq" else text
        for example, text in zip(EXAMPLES, REFERENCES, strict=True)
    ]


def test_the_readings_of_every_question_are_kept_with_the_scores_and_the_samples() -> None:
    report = _report(base=ECHOES, candidate=_changed(_moved))
    (row,) = [row for row in report.scores if row.model == "candidate" and row.uid == "m1"]
    assert [(one.label, one.key, one.fault) for one in row.readings] == [("Easy", 1, "key"), ("Hard", 1, "key")]
    assert row.readings[0].with_passage == (1.0, 0.0, 0.0, 0.0) == row.readings[0].without_passage
    assert not any(row.readings for row in report.scores if row.task == "summarize")
    (sample, *_) = [sample for sample in report.samples if sample.task == "mcq"]
    assert set(sample.readings) == {"candidate", "reference"}
    assert all(one.fault is None for one in sample.readings["reference"])
    assert EvalReport.from_json(report.to_json()).samples == report.samples


def test_a_second_reading_gives_equal_scores() -> None:
    assert _report(base=ECHOES, candidate=REFERENCES) == _report(base=ECHOES, candidate=REFERENCES)


def test_right_keys_alone_make_a_sample_better() -> None:
    report = _report(champion=_changed(_moved), candidate=REFERENCES)
    task = dataclasses.replace(TASKS["mcq"], metrics=report.metrics["mcq"])
    champion, candidate = ([row for row in report.scores if row.model == m][1] for m in ("champion", "candidate"))
    assert gain(task, candidate.scores, champion.scores) > 0 > gain(task, champion.scores, candidate.scores)


@pytest.mark.parametrize("render", ["markdown", "page"])
def test_the_report_says_who_read_and_how_well(render: str) -> None:
    report = _report(base=ECHOES, candidate=REFERENCES)
    text = report_markdown(report) if render == "markdown" else report_page(report, title="m v1", tasks=TASKS)
    text = text.replace("&#39;", "'").replace("\\", "")
    assert "Here it is finder, and it read the questions of 40 examples" in text
    assert (
        "Of 60 of the data set's own questions, it answers 1.000 correctly with the passage and 1.000 without" in text
    )
    assert "passage_gain" in text


def test_tasks_that_ask_nothing_are_left_as_they_are() -> None:
    alone = {"summarize": TASKS["summarize"]}
    examples = [example for example in EXAMPLES if example.task == "summarize"]
    read = with_reader(alone, examples, {"base": [""] * len(examples)}, Finder(), per_task=5, seed=1)
    assert (read.tasks, read.settings) == (alone, {})


def test_a_task_with_questions_that_names_no_metric_is_decided_by_its_own_first() -> None:
    def asks(example: Example, text: str) -> list[ReadingQuestion]:
        return [ReadingQuestion("", "?", ("a", "b"), 0, "x")]

    own = dataclasses.replace(
        TASKS["mcq"],
        name="own",
        metrics=(Metric("long"),),
        score=lambda example, text: {"long": float(len(text) > 1)},
        questions=asks,
        group=lambda example: (),
    )
    examples = [dataclasses.replace(example, task="own") for example in EXAMPLES if example.task == "mcq"]
    texts = {"base": ["x"] * 40, "candidate": ["xx"] * 40}
    read: Read = with_reader({"own": own}, examples, texts, Finder(), per_task=None, seed=1)
    report = evaluate_models(texts, examples, tasks=read.tasks, seed=1, resamples=100, settings=read.settings)
    decision = decide(report, dataclasses.replace(DEFAULT, metrics={}))
    assert decision.promoted
    assert decision.reasons[0].startswith("own: long is better than the base's")


def test_a_sample_of_the_examples_is_read_without_the_passage_and_all_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mtl.evaluation.answerability.SAMPLE", 10)
    report = _report(base=ECHOES, candidate=REFERENCES)
    rows = [row for row in report.scores if row.model == "candidate" and row.task == "mcq"]
    assert all(one.with_passage for row in rows for one in row.readings)
    blind = [row for row in rows if all(one.without_passage for one in row.readings)]
    assert len(blind) == 10 and all(row.scores["guessable"] is not None for row in blind)
    others = [row for row in rows if row not in blind]
    assert others and all(row.scores["guessable"] is None and row.scores["usable"] is not None for row in others)
