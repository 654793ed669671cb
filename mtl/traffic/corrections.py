"""Whether feedback can be what somebody says of an answer: there is such a question, and the correction can be learned.

A correction is read as a row of the task is, so that what is accepted here is not quarantined later. Errors do not
repeat what they are about, because callers log them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mtl.errors import InputError
from mtl.example import Example
from mtl.task import BadRow, Task
from mtl.tasks.table import get_task
from mtl.traffic.records import Feedback, ServedAnswer, Verdict
from mtl.traffic.redaction import Redaction

QUESTION_FIELDS = ("question", "options", "answer", "difficulty")
_OF_QUESTIONS = ("wrong_key", "wrong_level")
_PASSAGE = "A passage."


def check_feedback(answer: ServedAnswer, verdict: Verdict, *, question: int | None, correction: Any) -> None:
    """Errors: InputError naming the field, what is there, and what could be."""
    task = get_task(answer.task)
    if task.questions is None:
        _check_text_verdict(task, verdict, question)
    else:
        _check_number(task, answer, verdict, question)
    if (correction is None) == (verdict == "corrected"):
        said = "verdict corrected needs a correction" if correction is None else f"verdict {verdict} has no correction"
        raise InputError(said, field="correction", hint="say how it should be with verdict corrected, and only then")
    if correction is not None:
        check_correction(task, correction)


def check_correction(task: Task, correction: Any) -> None:
    """Whether the task could learn from it. Errors: InputError."""
    row = _question_row(task, correction) if task.questions else _text_row(task, correction)
    try:
        task.read(row)
    except BadRow as error:
        field = "correction" if task.questions is None else f"correction.{error.field}"
        raise InputError(error.reason, field=field, hint=_expected(task)) from None


def redacted(feedback: Feedback, redaction: Redaction) -> Feedback:
    """As it may be kept. Errors: InputError if nothing could be learned from what is left of its correction."""
    kept = redaction.feedback(feedback)
    if kept.correction != feedback.correction:
        try:
            check_correction(get_task(kept.task), kept.correction)
        except InputError as error:
            said = f"{error.message}, once personal data and secrets are taken out of it"
            raise InputError(said, field=error.field, hint="say it without them") from None
    return kept


def _check_text_verdict(task: Task, verdict: Verdict, question: int | None) -> None:
    if question is not None:
        raise InputError(f"an answer of {task.name} has no question {question}", field="question", hint="leave it out")
    if verdict in _OF_QUESTIONS:
        hint = "good, unclear or corrected"
        raise InputError(f"an answer of {task.name} has no question to be {verdict}", field="verdict", hint=hint)


def _check_number(task: Task, answer: ServedAnswer, verdict: Verdict, question: int | None) -> None:
    """A question that is missing can be given with `corrected`, up to the number that was asked for."""
    if question is None:
        if verdict not in ("good", "unclear"):
            said = f"verdict {verdict} is about one question, and none is named"
            raise InputError(said, field="question", hint="its number, from 1")
        return
    assert task.questions is not None
    example = Example(task.prompt(_PASSAGE, answer.request), "", task.name, "", {})
    there = len(task.questions(example, answer.answer))
    asked = sum(task.requested(example).values()) if verdict == "corrected" else 0
    if question > max(there, asked):
        said = f"question {question} of an answer with {there}"
        raise InputError(said, field="question", hint=f"1 to {max(there, asked)}" if there or asked else "leave it out")


def _text_row(task: Task, correction: Any) -> Mapping[str, Any]:
    if not isinstance(correction, str):
        raise InputError(f"a correction of {task.name} is a text", field="correction", hint=_expected(task))
    if not correction.strip():
        raise InputError("the correction is empty", field="correction", hint=_expected(task))
    return dict(zip(task.columns, (_PASSAGE, correction), strict=True))


def _question_row(task: Task, correction: Any) -> Mapping[str, Any]:
    if not isinstance(correction, Mapping) or set(correction) != set(QUESTION_FIELDS):
        raise InputError(f"a correction of {task.name} is a question", field="correction", hint=_expected(task))
    if correction["difficulty"] not in task.groups.names:
        said = f"no such {task.groups.kind}"
        raise InputError(said, field="correction.difficulty", hint=_in_words(task.groups.names))
    for name in ("question", "answer"):
        if not isinstance(correction[name], str):
            raise InputError(f"{name} is no text", field=f"correction.{name}", hint=_expected(task))
    asked = {name: correction[name] for name in QUESTION_FIELDS if name != "difficulty"}
    return {task.columns[0]: _PASSAGE, "level": "middle", **asked}


def _expected(task: Task) -> str:
    if task.questions is None:
        return "the answer as it should be, as text"
    return (
        '{"question": TEXT, "options": [four different texts], "answer": "A" to "D", '
        f'"difficulty": {_in_words(task.groups.names)}}}'
    )


def _in_words(names: Sequence[str]) -> str:
    return " or ".join(f'"{name}"' for name in names)
