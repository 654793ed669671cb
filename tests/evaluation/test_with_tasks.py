"""The shipped tasks through scores, report, page and gate, with answers written by hand instead of models."""

from __future__ import annotations

import json

import pytest

from mtl.config.gate import GateConfig
from mtl.decision import Decision, DecisionState
from mtl.evaluation.markdown import report_markdown
from mtl.evaluation.report import EvalReport
from mtl.evaluation.score import evaluate_models
from mtl.example import Example
from mtl.metrics.reading import needs_reader
from mtl.promotion import decide, policy_from
from mtl.tasks.mcq_form import render_target
from mtl.tasks.table import TASKS, get_task

POLICY = policy_from(GateConfig())
ASKED = {"Easy": "Where is the {} lake?", "Medium": "Which lake froze near {}?", "Hard": "Where were boats of {} left?"}
PLACES = ("Lund", "Oslo", "Bergen", "Turku", "Malmo", "Umea")


def _question(place: str, difficulty: str) -> dict[str, object]:
    options = [place, *(other for other in PLACES if other != place)][:4]
    return {"question": ASKED[difficulty].format(place), "options": options, "correct": "A", "difficulty": difficulty}


def _examples() -> list[Example]:
    found = []
    for i in range(40):
        place = PLACES[i % len(PLACES)]
        text = f"The lake of {place} froze in winter number {i}. Boats stayed in the harbour of {place}."
        inputs = get_task("summarize").prompt(text, {})
        found.append(Example(inputs, f"Summary: The lake of {place} froze.", "summarize", f"s{i}"))
        levels = ["Easy", "Hard"] if i % 2 else ["Medium"]
        request = {level.lower(): levels.count(level) for level in ("Easy", "Medium", "Hard")}
        target = render_target([_question(place, level) for level in levels])
        found.append(Example(get_task("mcq").prompt(text, request), target, "mcq", f"m{i}"))
    return found


EXAMPLES = _examples()
REFERENCES = [example.targets for example in EXAMPLES]
ECHOES = [example.inputs for example in EXAMPLES]


def _report(**predictions: list[str]) -> EvalReport:
    return evaluate_models(predictions, EXAMPLES, tasks=TASKS, seed=1, resamples=300)


def test_the_default_gate_names_metrics_that_the_tasks_have_by_themselves_or_from_a_reader() -> None:
    gate = GateConfig()
    for task, metric in gate.metrics.items():
        names = {described.name for described in get_task(task).metrics}
        assert {name for name in (metric, *gate.guards[task]) if not needs_reader(name)} <= names
        assert not needs_reader(metric) or gate.without_reader[task] in names


def test_perfect_answers_beat_echoes_and_become_the_first_champion() -> None:
    report = _report(base=ECHOES, candidate=REFERENCES)
    assert report.mean("candidate", "summarize", "rougeLsum") == 1
    assert report.mean("candidate", "mcq", "counts_obeyed") == 1
    assert list(report.results["candidate"]["mcq"].groups) == ["Easy", "Hard", "Medium"]
    assert report.results["candidate"]["mcq"].groups["Medium"].n == 20
    decision = decide(report, POLICY)
    assert decision.promoted, decision.reasons
    json.dumps(report.to_json(), allow_nan=False)


def test_a_champion_stays_against_its_equal() -> None:
    decision = decide(_report(base=ECHOES, champion=REFERENCES, candidate=REFERENCES), POLICY)
    assert decision.reasons[0] == "No task is better than the champion; a tie does not promote."


@pytest.mark.parametrize("task", ["summarize", "mcq"])
def test_a_candidate_that_lost_one_task_is_refused_by_name(task: str) -> None:
    worse = ["" if example.task == task else example.targets for example in EXAMPLES]
    decision = decide(_report(base=ECHOES, champion=REFERENCES, candidate=worse), POLICY)
    assert not decision.promoted
    assert decision.reasons[0].startswith(f"{task}: ")


def test_right_counts_of_bad_questions_do_not_pass() -> None:
    """Every option becomes the same word: counts are obeyed as before, but the questions are worth nothing."""
    spoilt = []
    for example in EXAMPLES:
        text = example.targets
        for place in PLACES if example.task == "mcq" else ():
            text = text.replace(place, "it")
        spoilt.append(text)
    mute = ["" if example.task == "summarize" else example.targets for example in EXAMPLES]
    report = _report(champion=mute, candidate=spoilt)
    assert report.mean("candidate", "mcq", "counts_obeyed") == 1
    decision = decide(report, POLICY)
    assert any("mcq: four_options is clearly worse" in reason for reason in decision.reasons)
    assert not decision.promoted


def test_the_page_shows_questions_and_difficulties() -> None:
    page = report_markdown(
        _report(base=ECHOES, candidate=REFERENCES),
        decision=Decision(state=DecisionState.PROMOTE, reasons=("mcq: better.",)),
    )
    assert "| counts_obeyed | Easy | 20 |" in page
    assert "&lt;mcq&gt; Generate MCQs (Easy: " in page


def test_a_candidate_that_names_what_no_article_has_is_refused_for_supported() -> None:
    """Half of its summaries say the right thing about the wrong place; without a reader `consistent` is no reason."""
    wrong = [
        text.replace("The lake of", "The lake of Narnia, not", 1) if i % 4 == 0 else text
        for i, text in enumerate(REFERENCES)
    ]
    report = _report(champion=REFERENCES, candidate=wrong, base=ECHOES)
    assert report.mean("candidate", "summarize", "consistent") is None
    reasons = decide(report, POLICY).reasons
    assert any(reason.startswith("summarize: supported is clearly worse") for reason in reasons), reasons
    assert not any("consistent" in reason for reason in reasons)


def test_a_report_that_was_kept_has_its_tasks_and_metrics_in_the_same_order() -> None:
    report = evaluate_models({"base": ECHOES, "candidate": REFERENCES}, EXAMPLES, tasks=TASKS, seed=1, resamples=20)
    again = EvalReport.from_json(json.loads(json.dumps(report.to_json(), sort_keys=True)))
    assert list(again.metrics) == list(again.examples) == list(report.metrics) == ["summarize", "mcq"]
    for task, result in report.results["candidate"].items():
        assert list(again.results["candidate"][task].means) == list(result.means)
