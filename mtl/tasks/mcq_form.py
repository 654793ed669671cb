"""The written form of multiple-choice questions: how a target is rendered, and how a model's answer is read back.

    MCQs: 1. Question: … Options: A. … B. … C. … D. … Correct: B Difficulty: Medium 2. Question: …

One line, because T5's vocabulary holds neither line breaks nor braces. `escape` takes the markers out of running text
before it is kept ("Options:" becomes "Options :", "George B. Shaw" becomes "George B.Shaw"), so that the markers alone
decide where a part ends, and parse(render(x)) == x for every x that was read. Reading is linear in the text.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from mtl.tasks.difficulty import DIFFICULTIES

HEAD = "MCQs:"
LETTERS = "ABCD"

_NUMBERED = re.compile(r"(?:^|(?<= ))(\d{1,3})\. Question: ")
_WORDS = re.compile(r"\b(Question|Options|Correct|Difficulty):")
_LETTER_INSIDE = re.compile(r"(?<!\S)([A-H])\. ")
_LETTER_LAST = re.compile(r"(?<!\S)([A-H])\.$")
_KEY = re.compile(r"(?<!\S)Correct: [A-D](?= |$)")
_OWN_LETTER = re.compile(r"[(\[]?(?P<letter>[A-Da-d])(?:[.)\]:、]+| - ) *(?P<rest>.*)", re.DOTALL)
_BREAKS = (" Options: A. ", " B. ", " C. ", " D. ", " Correct: ", " Difficulty: ")


def escape(text: str) -> str:
    """`text` (one line, cleaned) without anything that could be taken for a marker; its own fixed point."""
    if ":" in text:
        text = _WORDS.sub(r"\1 :", text)
    if "." in text:
        text = _LETTER_LAST.sub(r"\1", _LETTER_INSIDE.sub(r"\1.", text))
    return text


def without_letters(options: Sequence[str]) -> list[str]:
    """Cleaned options without letters of their own ("A. a dog", "(B) ..."), if all four carry them in order."""
    found = [_OWN_LETTER.match(option) for option in options]
    if [match["letter"].upper() if match else "" for match in found] != list(LETTERS):
        return list(options)
    plain = [match["rest"] for match in found if match]
    return plain if all(plain) else list(options)


def render_question(number: int, question: Mapping[str, Any]) -> str:
    """One question {question, options[4], correct, difficulty} in its written form."""
    options = " ".join(f"{letter}. {option}" for letter, option in zip(LETTERS, question["options"], strict=True))
    asked = f"{number}. Question: {question['question']} Options: {options}"
    return f"{asked} Correct: {question['correct']} Difficulty: {question['difficulty']}"


def render_target(questions: Sequence[Mapping[str, Any]]) -> str:
    """The whole target, questions numbered from 1."""
    return " ".join([HEAD, *(render_question(number, item) for number, item in enumerate(questions, start=1))])


def parse(text: str) -> list[dict[str, Any]] | None:
    """The questions in `text`, or None unless all of it is of the written form, numbered 1, 2, 3, …"""
    line = " ".join(text.split())
    body = line.removeprefix(f"{HEAD} ")
    if body == line or not _NUMBERED.match(body):
        return None
    found = _blocks(body)
    questions = [_read(block) for _, block in found]
    if [number for number, _ in found] != list(range(1, len(found) + 1)) or None in questions:
        return None
    return [question for question in questions if question is not None]


def well_formed(text: str) -> list[dict[str, Any]]:
    """The questions that can be read, whatever stands around them."""
    questions = (_read(block) for _, block in _blocks(" ".join(text.split())))
    return [question for question in questions if question is not None]


def attempts(text: str) -> tuple[int, int]:
    """(how many questions were begun, how many of them have one valid key)."""
    found = _blocks(" ".join(text.split()))
    return len(found), sum(len(_KEY.findall(block)) == 1 for _, block in found)


def _blocks(line: str) -> list[tuple[int, str]]:
    """(number, text up to the next number) of each '<n>. Question: '."""
    marks = list(_NUMBERED.finditer(line))
    edges = [*(mark.start() for mark in marks), len(line)]
    return [(int(mark[1]), line[mark.end() : end].strip()) for mark, end in zip(marks, edges[1:], strict=True)]


def _read(block: str) -> dict[str, Any] | None:
    """One question from the text behind its 'Question: ', or None."""
    parts: list[str] = []
    for mark in _BREAKS:
        part, found, block = block.partition(mark)
        if not found:
            return None
        parts.append(part)
    asked, *options, correct = parts
    if any(not part or part != part.strip() or part != escape(part) for part in (asked, *options)):
        return None
    if correct not in LETTERS or len(correct) != 1 or block not in DIFFICULTIES:
        return None
    return {"question": asked, "options": options, "correct": correct, "difficulty": block}
