"""Does a summary say what its article says? The model asks questions about its own summary, and a reader answers them.

Each question is answered twice, with the summary and with the article. `consistent` is 1 - the total variation distance
of the two distributions over the options, averaged over the questions that the summary can answer: those where the
effective number of options with the summary, 2 to the power of the distribution's entropy in bits, is at most `BOUND`.
A text that has no such question has no score. (Manakul, Liusie and Gales 2023, "MQAG: Multiple-choice Question
Answering and Generation for Assessing Information Consistency in Summarization", doi 10.18653/v1/2023.ijcnlp-main.4)

It is generic: texts of every task with `claim` are checked, by questions of the one task with `questions`.

    checks = plan_checks(tasks, examples, per_task=100, seed=17)
    asked = checks.ask(predict, texts, max_new_tokens=208)    # while the model is in memory
    tasks = with_consistency(tasks, checks, [asked], reader)  # when no model is
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean

from mtl.evaluation.predictor import Predictor
from mtl.evaluation.reader import Probabilities, Reader
from mtl.evaluation.samples import sample_examples
from mtl.example import Example
from mtl.task import CONSISTENT, BadRequest, ReadingQuestion, Scores, Task

METRICS = (CONSISTENT,)
"""What has no value without a reader."""

BOUND = 2.0
"""Most effective options with the summary of a question that it can answer; of four options, 4 is a mere guess."""

Claim = tuple[str, str]
"""A source and what a text says of it."""
Asked = Mapping[Claim, Sequence[ReadingQuestion]]
"""The questions about each text, each with the text as its passage."""


@dataclass(frozen=True, slots=True)
class Checks:
    """Whose texts are checked, and by which task's questions. places: of the checked examples, in their order."""

    examples: Sequence[Example]
    tasks: Mapping[str, Task]
    places: Sequence[int]
    asker: Task

    def ask(self, predict: Predictor, texts: Sequence[str], *, max_new_tokens: int) -> Asked:
        """What a model asks about its own `texts`, one for each example; each distinct text is asked about once."""
        prompts = self.prompts(texts)
        return self.asked(prompts, predict(list(prompts.values()), max_new_tokens=max_new_tokens))

    def prompts(self, texts: Sequence[str]) -> dict[Claim, str]:
        """The inputs by which a model is made to ask about its `texts`."""
        wanted = dict.fromkeys(filter(None, (self._claim(place, texts[place]) for place in self.places)))
        return {claim: found for claim in wanted if (found := self._prompt(claim[1])) is not None}

    def asked(self, prompts: Mapping[Claim, str], answers: Sequence[str]) -> Asked:
        """The questions in the answers to `prompts`, one for each."""
        return {
            claim: self._questions(inputs, answer)
            for (claim, inputs), answer in zip(prompts.items(), answers, strict=True)
        }

    def _claim(self, place: int, text: str) -> Claim | None:
        example = self.examples[place]
        claim = self.tasks[example.task].claim
        return None if claim is None else claim(example, text)

    def _prompt(self, text: str) -> str | None:
        """The inputs for questions about a text; None for one that nothing can be asked about."""
        try:
            return self.asker.prompt(text, self.asker.complete(self.asker.check_request))
        except BadRequest:
            return None

    def _questions(self, inputs: str, answer: str) -> list[ReadingQuestion]:
        assert self.asker.questions is not None, "plan_checks looked"
        return self.asker.questions(Example(inputs, "", self.asker.name, ""), answer)


def plan_checks(tasks: Mapping[str, Task], examples: Sequence[Example], *, per_task: int, seed: int) -> Checks | None:
    """None where nothing can be checked: no example's task has a claim, or none of the examples' tasks asks.

    Of each task at most `per_task` examples are checked, a function of `seed` and their uids.
    """
    present = dict.fromkeys(example.task for example in examples)
    asker = next((tasks[name] for name in present if tasks[name].questions is not None), None)
    claiming = {name for name in present if tasks[name].claim is not None}
    chosen = sample_examples((e for e in examples if e.task in claiming), per_task=per_task, seed=seed)
    if asker is None or not chosen:
        return None
    uids = {(example.task, example.uid) for example in chosen}
    places = [place for place, example in enumerate(examples) if (example.task, example.uid) in uids]
    return Checks(examples, tasks, places, asker)


def with_consistency(
    tasks: Mapping[str, Task], checks: Checks, asked: Iterable[Asked], reader: Reader
) -> dict[str, Task]:
    """The tasks, of which those with a claim also score how consistent it is. asked: by each model.

    A text that several models wrote is checked by the questions of all of them, so that equal texts score equally.
    """
    agreed: dict[Claim, dict[ReadingQuestion, float | None]] = {}
    for found in asked:
        _read(reader, found, agreed)
    scores = {claim: _mean(values.values()) for claim, values in agreed.items()}
    checked = {(checks.examples[place].task, checks.examples[place].uid) for place in checks.places}
    extended = {name: _extended(task, checked, scores) for name, task in tasks.items() if task.claim is not None}
    return dict(tasks) | extended


def agreement(first: Probabilities, second: Probabilities) -> float:
    """1 - the total variation distance of two distributions: 1 where they are equal, 0 where they share nothing."""
    return 1 - sum(abs(ours - theirs) for ours, theirs in zip(first, second, strict=True)) / 2


def effective_options(probabilities: Probabilities) -> float:
    """2 to the power of the entropy in bits: 1 where one option is certain, their number where all are alike."""
    return 2.0 ** -sum(share * math.log2(share) for share in probabilities if share > 0)


def _read(reader: Reader, asked: Asked, agreed: dict[Claim, dict[ReadingQuestion, float | None]]) -> None:
    """Add to `agreed` what is new in one model's questions, read by themselves: so the answers do not depend on the
    models that come after it. The source is read only for questions that the text can answer; the others have None."""
    pairs = [
        (claim, question)
        for claim, written in asked.items()
        for question in dict.fromkeys(written)
        if question not in agreed.setdefault(claim, {})
    ]
    told = reader([question for _, question in pairs], passage=True)
    clear = [(pair, found) for pair, found in zip(pairs, told, strict=True) if effective_options(found) <= BOUND]
    true = reader([replace(question, passage=claim[0]) for (claim, question), _ in clear], passage=True)
    for claim, question in pairs:
        agreed[claim][question] = None
    for ((claim, question), ours), theirs in zip(clear, true, strict=True):
        agreed[claim][question] = agreement(ours, theirs)


def _mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return fmean(known) if known else None


def _extended(task: Task, checked: set[tuple[str, str]], agreed: Mapping[Claim, float | None]) -> Task:
    claim, score = task.claim, task.score
    assert claim is not None, "the caller looked"

    def scored(example: Example, text: str) -> Scores:
        found = claim(example, text) if (example.task, example.uid) in checked else None
        return {**score(example, text), CONSISTENT.name: None if found is None else agreed.get(found)}

    return replace(task, score=scored)
