"""mcq: a passage in, multiple-choice questions of the requested difficulties out (RACE; Lai et al. 2017).

A row is one question; the questions of one passage join into one record. Inputs name how many questions of each
difficulty are wanted, and the target holds exactly those, Easy before Medium before Hard.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from mtl.example import Example
from mtl.fingerprint import sha256_bytes
from mtl.metrics.reading import GUESSABLE, USABLE, usable_of
from mtl.parameter import Parameter
from mtl.task import (
    Agreed,
    BadRequest,
    BadRow,
    Dropped,
    GateDefaults,
    Groups,
    Item,
    ReadingQuestion,
    Rendered,
    RenderOptions,
    Scores,
    Task,
)
from mtl.tasks import mcq_answers, mcq_score
from mtl.tasks.difficulty import DIFFICULTIES, SCHEMES, reading
from mtl.tasks.mcq_form import HEAD, LETTERS, parse, render_question, render_target, well_formed
from mtl.tasks.mcq_requests import ALL, OPTIONS, Choice, choose, pack
from mtl.tasks.mcq_rows import Question, read, rows
from mtl.tasks.text import clean, passage_key

TAG = "<mcq>"
MAX_REQUEST = 20
"""Most questions of all levels together that one request may ask for."""

_INPUTS = re.compile(r"<mcq> (?:Generate MCQs )?\(Easy: (\d+), Medium: (\d+), Hard: (\d+)\): (.*)", re.DOTALL)
_MARGIN = 8
"""Tokens by which the sum over questions may miss the true length of a target before it is counted itself."""


@dataclass(frozen=True, slots=True)
class Passage:
    """A passage and its questions, each with its position among the joined rows."""

    text: str
    questions: tuple[tuple[int, Question], ...]


def join(records: Sequence[Question]) -> tuple[Passage | None, Dropped]:
    """The questions of one passage; one that repeats another's question and options is dropped."""
    kept: list[tuple[int, Question]] = []
    dropped: Dropped = []
    seen: set[tuple[str, ...]] = set()
    for index, record in enumerate(records):
        key = (record.question.casefold(), *sorted(option.casefold() for option in record.options))
        if key in seen:
            dropped.append((index, BadRow("duplicate", "question")))
        else:
            seen.add(key)
            kept.append((index, record))
    return Passage(records[0].passage, tuple(kept)), dropped


def render(passage: Passage, options: RenderOptions) -> Rendered:
    """Examples for a passage: whole questions only, as many examples as they take."""
    key = options.key or passage_key(passage.text)
    labelled = _labelled(passage, options.options["scheme"])
    alike = {index for index, item in labelled if _alike(item["options"], options)}
    labelled = [(index, item) for index, item in labelled if index not in alike]
    width = int("8" * len(str(len(labelled))))
    sizes = [options.count(render_question(width, item)) - 1 for _, item in labelled]
    room = options.max_target_tokens - options.count(HEAD)
    dropped = [(index, _ALIKE) for index in sorted(alike)]
    dropped += [
        (index, BadRow("question over max_target_tokens", "question", detail=f"got {size} tokens, expected {room}"))
        for (index, _), size in zip(labelled, sizes, strict=True)
        if size > room
    ]
    pairs = [(item, size) for (_, item), size in zip(labelled, sizes, strict=True) if size <= room]
    items, sizes = [item for item, _ in pairs], [size for _, size in pairs]
    runs = [
        run
        for choice in _choices(items, key, options)
        for run in pack(choice, lambda picked: _fits(picked, items, sizes, room=room, options=options))
    ]
    wanted = dict.fromkeys(runs)  # two requests may have been broken into the same run
    examples = [_example(passage.text, [items[i] for i in run], key, options) for run in wanted]
    return Rendered(examples, dropped, {index: item["difficulty"] for index, item in labelled})


def _alike(options: Sequence[str], its: RenderOptions) -> bool:
    """Whether two of the options are the same to the model, because its vocabulary lacks what tells them apart."""
    return len({its.tokens(option) for option in options}) < len(options)


_ALIKE = BadRow(
    "options encode to the same tokens",
    "options",
    detail="the tokenizer's vocabulary lacks the characters that tell them apart",
)


def _labelled(passage: Passage, scheme: str) -> list[tuple[int, dict[str, Any]]]:
    """(position, question with its difficulty), Easy, Medium, Hard, each in the order of the source."""
    prepared = cache(lambda: reading(passage.text))
    labelled = []
    for index, record in passage.questions:
        label = record.level
        if label not in DIFFICULTIES:
            label = SCHEMES[scheme](record.level, prepared, question=record.question, option=record.right)
        item = {"question": record.question, "options": list(record.options), "correct": record.correct}
        labelled.append((index, item | {"difficulty": label}))
    return sorted(labelled, key=lambda pair: DIFFICULTIES.index(pair[1]["difficulty"]))


def _fits(
    picked: Choice, items: Sequence[Mapping[str, Any]], sizes: Sequence[int], *, room: int, options: RenderOptions
) -> bool:
    """Whether a target of the picked questions fits. Pieces of T5's vocabulary never span a space, so sums are exact
    up to the numbering; near the limit the target itself is counted."""
    bound = sum(sizes[i] for i in picked)
    if abs(bound - room) > _MARGIN:
        return bound < room
    return options.count(render_target([items[i] for i in picked])) <= options.max_target_tokens


def _choices(items: Sequence[Mapping[str, Any]], key: str, options: RenderOptions) -> list[Choice]:
    if not items:
        return []
    labels = [item["difficulty"] for item in items]
    rng = random.Random(f"requests:{options.seed}:{key}")
    mixed = options.training or options.options.get("evaluation_requests") == "mixed"
    shares = options.options["requests"] if mixed else ALL
    wanted = options.options["requests_per_passage"] if options.training else 1
    return choose(labels, shares=shares, wanted=wanted, rng=rng)


def _example(passage: str, questions: Sequence[Mapping[str, Any]], key: str, options: RenderOptions) -> Example:
    request = {level.lower(): sum(q["difficulty"] == level for q in questions) for level in DIFFICULTIES}
    targets = render_target(questions)
    uid = sha256_bytes(f"{TAG}\0{passage}\0{targets}".encode())[:20]
    inputs = _inputs(passage, request)
    if options.training and random.Random(f"dropout:{options.seed}:{uid}").random() < options.instruction_dropout:
        inputs = bare(inputs)
    return Example(inputs, targets, "mcq", uid, {"request": request, "passage": key[:16]})


def prompt(text: str, request: Mapping[str, Any]) -> str:
    """The inputs for a passage and {easy, medium, hard} counts, together 1 to MAX_REQUEST."""
    counts = {name: request.get(name, 0) for name in REQUEST}
    if not 0 < sum(counts.values()) <= MAX_REQUEST:
        hint = f"ask for 1 to {MAX_REQUEST} questions in all, for example easy 2, medium 1, hard 1"
        raise BadRequest(f"asked for {sum(counts.values())} questions", field="easy", hint=hint)
    passage = clean(text)
    if not passage:
        raise BadRequest("the passage is empty", field="text", hint="give a text that has words")
    return _inputs(passage, counts)


def _inputs(passage: str, counts: Mapping[str, int]) -> str:
    """The inputs for a cleaned passage and counts of all three levels."""
    asked = ", ".join(f"{level}: {counts[level.lower()]}" for level in DIFFICULTIES)
    return f"{TAG} Generate MCQs ({asked}): {passage}"


def bare(inputs: str) -> str:
    """`<mcq> (Easy: 2, …): PASSAGE`: the task token and the counts alone."""
    return inputs.replace(f"{TAG} Generate MCQs (", f"{TAG} (", 1)


def split_inputs(inputs: str) -> tuple[dict[str, int], str]:
    """({easy, medium, hard}, passage) of inputs that `prompt` or `bare` wrote; ValueError for any other text."""
    found = _INPUTS.fullmatch(inputs)
    if not found:
        raise ValueError(f"not inputs of mcq: {inputs[:60]!r}")
    return dict(zip(REQUEST, map(int, found.groups()[:3]), strict=True)), found[4]


def score(example: Example, prediction: str) -> Scores:
    """See `mcq_score.METRICS`."""
    request, passage = split_inputs(example.inputs)
    return mcq_score.score(example, prediction, passage=passage, request=request)


def questions(example: Example, text: str) -> list[ReadingQuestion]:
    """The questions in `text` that can be read, about the example's passage."""
    _, passage = split_inputs(example.inputs)
    return [
        ReadingQuestion(
            passage, item["question"], tuple(item["options"]), LETTERS.index(item["correct"]), item["difficulty"]
        )
        for item in well_formed(text)
    ]


def compose(chosen: Sequence[ReadingQuestion]) -> str:
    """The target with these questions."""
    return render_target(
        [
            {"question": q.question, "options": q.options, "correct": LETTERS[q.key], "difficulty": q.label}
            for q in chosen
        ]
    )


def requested(example: Example) -> dict[str, int]:
    """Difficulty -> number of questions that the example asks for, at least one."""
    request, _ = split_inputs(example.inputs)
    return {level: request[level.lower()] for level in DIFFICULTIES if request[level.lower()]}


def group(example: Example) -> Iterable[str]:
    """The difficulties that the example asks for."""
    return list(requested(example))


def draw(output: Sequence[Mapping[str, Any]]) -> list[Item]:
    """The questions as a quiz: options, and the key where the reader asks for it."""
    return [Item(item["question"], item["difficulty"], tuple(item["options"]), item["correct"]) for item in output]


def settle(options: Mapping[str, Any]) -> dict[str, Any]:
    """The options with `scheme`, the version in force of the scheme that `difficulty` names, in its place."""
    scheme = next(name for name in SCHEMES if name.rpartition("-")[0] == options["difficulty"])
    return {"scheme": scheme, **{name: value for name, value in options.items() if name != "difficulty"}}


def _dump(record: Question) -> dict[str, Any]:
    return {name: getattr(record, name) for name in Question.__slots__}


def _load(value: Mapping[str, Any]) -> Question:
    return Question(**{**value, "options": tuple(value["options"])})


REQUEST: Mapping[str, int] = {"easy": 2, "medium": 1, "hard": 1}
TASK = Task(
    name="mcq",
    version=2,
    token=TAG,
    columns=("article", "question", "options", "answer"),
    metrics=mcq_score.METRICS,
    read=read,
    dump=_dump,
    load=_load,
    passage=lambda record: record.passage,
    join=join,
    render=render,
    prompt=prompt,
    bare=bare,
    text=lambda inputs: split_inputs(inputs)[1],
    parse=parse,
    rows=rows,
    score=score,
    group=group,
    questions=questions,
    compose=compose,
    requested=requested,
    check_request={"medium": 1},
    optional=("level", "example_id", "hub_config", "questions", "answers", "id", mcq_answers.COLUMN),
    agreed=Agreed("answer", mcq_answers.COLUMN, mcq_answers.form_of),
    request=tuple(Parameter(name, f"{name} questions", 0, low=0) for name in REQUEST),
    default_request=REQUEST,
    options=OPTIONS,
    settle=settle,
    groups=Groups("difficulty", DIFFICULTIES),
    gate=GateDefaults(
        USABLE,
        guards=(
            *(usable_of(level).name for level in DIFFICULTIES),
            *(GUESSABLE, "four_options", "valid_key", "question_overlap", "key_supported"),
        ),
        without_reader="counts_obeyed",
    ),
    draw=draw,
    caveat="A question's key can be wrong.",
)
