"""Logged answers as tasks of Label Studio, and its annotations as feedback.

A task is an answer, or one question of it, and holds all that feedback needs: what is imported does not depend on the
log, whose retention may have ended. Who annotated is not read.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from pydantic import BaseModel

from mtl.document import check_record
from mtl.errors import InputError, MtlError
from mtl.example import Example
from mtl.store.base import ObjectStore
from mtl.task import ReadingQuestion, Task
from mtl.tasks.table import get_task
from mtl.traffic.corrections import check_feedback, redacted
from mtl.traffic.records import Feedback, ServedAnswer, feedback_name
from mtl.traffic.redaction import Redaction
from mtl.traffic.store import write_feedback

Document = dict[str, Any]

CONFIGURATION = """\
<View>
  <Header value="$title"/>
  <Text name="text" value="$text"/>
  <Header value="What the model answered"/>
  <Text name="answer" value="$shown"/>
  <Choices name="verdict" toName="answer" choice="single" required="true" showInline="true">
    <Choice value="good"/>
    <Choice value="wrong_key"/>
    <Choice value="unclear"/>
    <Choice value="wrong_level"/>
    <Choice value="corrected"/>
  </Choices>
  <View visibleWhen="choice-selected" whenTagName="verdict" whenChoiceValue="corrected">
    <Header value="As it should be, in the same form"/>
    <TextArea name="correction" toName="answer" value="$shown" rows="8" maxSubmissions="1" editable="true"/>
  </View>
</View>
"""
"""Of a project, for all tasks of the model: its variables are `title`, `text` and `shown` of each task's data."""
_LETTERS = "ABCD"
_KEY = "Correct"
_LETTERED = re.compile(r"([A-D])[.)]\s*(.*)")


class _Result(BaseModel):
    """What one control of the configuration holds."""

    from_name: str = ""
    value: dict[str, Any] = {}


class _Annotation(BaseModel):
    result: list[_Result]
    was_cancelled: bool = False
    created_at: datetime
    updated_at: datetime | None = None

    @property
    def moment(self) -> datetime:
        return self.updated_at or self.created_at


class _Exported(BaseModel):
    data: dict[str, Any]
    annotations: list[_Annotation]


def tasks_of(answer: ServedAnswer) -> list[Document]:
    """What Label Studio imports: one task for each question of the answer, or one for the answer."""
    task = get_task(answer.task)
    kept = {name: getattr(answer, name) for name in ("id", "task", "text", "request", "answer", "version")}
    questions = _questions(task, answer)
    if not questions:
        parsed = task.parse(answer.answer)
        shown = parsed if isinstance(parsed, str) else answer.answer
        return [{"data": {**kept, "question": None, "title": answer.task, "shown": shown}}]
    title = f"{answer.task}: question {{}} of {len(questions)}"
    return [
        {"data": {**kept, "question": number, "title": title.format(number), "shown": _written(task, question)}}
        for number, question in enumerate(questions, start=1)
    ]


def item_of(data: Mapping[str, Any]) -> str:
    """The name of what a task of Label Studio is about, as of its feedback."""
    return feedback_name(str(data.get("id")), data.get("question"))


def _questions(task: Task, answer: ServedAnswer) -> list[ReadingQuestion]:
    if task.questions is None:
        return []
    return task.questions(Example(task.prompt("A passage.", answer.request), "", task.name, "", {}), answer.answer)


def _written(task: Task, question: ReadingQuestion) -> str:
    """A question on lines, for people to edit."""
    options = [f"{letter}. {option}" for letter, option in zip(_LETTERS, question.options, strict=True)]
    last = [f"{_KEY}: {_LETTERS[question.key]}", f"{_label(task)}: {question.label}"]
    return "\n".join([question.question, *options, *last])


def _label(task: Task) -> str:
    return task.groups.kind.capitalize()


def _read_question(task: Task, text: str) -> Document:
    """The question in such lines. Errors: InputError."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    form = f"the question, A. to D. on a line each, {_KEY}: LETTER, {_label(task)}: {' or '.join(task.groups.names)}"
    if len(lines) != 7:
        raise InputError(f"a corrected question has 7 lines, got {len(lines)}", field="correction", hint=form)
    asked, *options, key, label = lines
    found = [_LETTERED.fullmatch(option) for option in options]
    if [match[1] if match else "" for match in found] != list(_LETTERS):
        raise InputError("the options of a corrected question are lettered A. to D.", field="correction", hint=form)
    values = {}
    for name, line in ((_KEY, key), (_label(task), label)):
        if not line.startswith(f"{name}:"):
            raise InputError(f"a corrected question has a line '{name}: ...'", field="correction", hint=form)
        values[name] = line.removeprefix(f"{name}:").strip()
    return {
        "question": asked,
        "options": [match[2] for match in found if match],
        "answer": values[_KEY],
        "difficulty": values[_label(task)],
    }


def feedback_of(exported: Any, name: str) -> Feedback | None:
    """The feedback in one task of an export in Label Studio's JSON format; None where nobody annotated it.

    Of several annotations, the last one counts. name: of the task, for errors. Errors: InputError, DamageError.
    """
    found = check_record(_Exported, exported, name, hint="export the project in the format JSON, not JSON-MIN or CSV")
    done = [one for one in found.annotations if one.result and not one.was_cancelled]
    if not done:
        return None
    last = max(done, key=lambda one: one.moment)
    values = {result.from_name: result.value for result in last.result}
    data = found.data
    answer = check_record(ServedAnswer, _answer(data), name)
    verdict = next(iter(values.get("verdict", {}).get("choices", [])), None)
    if verdict is None:
        raise InputError(f"{name} has no choice named verdict", hint="use the labelling configuration of the export")
    feedback = Feedback(
        **{field: getattr(answer, field) for field in ("id", "task", "text", "request", "answer", "version")},
        at=last.moment.astimezone(UTC).isoformat(timespec="seconds"),
        verdict=verdict,
        origin="label-studio",
        question=data.get("question"),
        correction=_correction(get_task(answer.task), values, verdict),
    )
    feedback = check_record(Feedback, feedback.to_dict(), name)
    check_feedback(answer, feedback.verdict, question=feedback.question, correction=feedback.correction)
    return feedback


def _answer(data: Mapping[str, Any]) -> Document:
    kept = {name: data.get(name) for name in ("id", "task", "text", "request", "answer", "version")}
    return {**kept, "at": "unknown", "decoding": {}, "truncated": False, "milliseconds": 0.0}


def _correction(task: Task, values: Mapping[Any, Any], verdict: str) -> str | Document | None:
    if verdict != "corrected":
        return None
    given = values.get("correction", {}).get("text", [])
    text = "\n".join(map(str, given)) if isinstance(given, list) else str(given)
    return text if task.questions is None else _read_question(task, text)


@dataclass(slots=True)
class Imported:
    """new: kept now. same: was kept before. other: something else was said before, and that stays.
    refused: name of a task of Label Studio -> why nothing can be learned from it. unlabelled: nobody annotated it."""

    new: int = 0
    same: int = 0
    other: int = 0
    unlabelled: int = 0
    refused: dict[str, str] = field(default_factory=dict)

    def to_dict(self) -> Document:
        return {name: getattr(self, name) for name in ("new", "same", "other", "unlabelled", "refused")}


def import_feedback(store: ObjectStore, model: str, exported: Iterable[Any], redaction: Redaction) -> Imported:
    """Keep the feedback in an export. A task that cannot be read costs the others nothing. Errors: of the store."""
    done = Imported()
    for number, one in enumerate(exported, start=1):
        name = f"task {one['id'] if isinstance(one, Mapping) and 'id' in one else number}"
        try:
            found = feedback_of(one, name)
            given = found and redacted(found, redaction)
        except MtlError as error:
            done.refused[name] = error.message
            continue
        if given is None:
            done.unlabelled += 1
            continue
        kept = write_feedback(store, model, given)
        same = (kept.verdict, kept.correction) == (given.verdict, given.correction)
        if kept is given:
            done.new += 1
        elif same:
            done.same += 1
        else:
            done.other += 1
    return done


def summary_of(feedback: Iterable[Feedback]) -> list[Document]:
    """How often each verdict was given, by task and version."""
    counts = Counter((one.task, one.version or 0, one.verdict, one.origin) for one in feedback)
    names = ("task", "version", "verdict", "origin", "count")
    return [dict(zip(names, (*key, number), strict=True)) for key, number in sorted(counts.items())]


def newest(answers: Iterator[ServedAnswer], most: int) -> list[ServedAnswer]:
    """The last ones of the log, by the time of the answer."""
    return sorted(answers, key=lambda answer: (answer.at, answer.id))[-most:]
