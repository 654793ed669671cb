"""Scores of generated questions, one value per example, so that two models can be compared in pairs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

from mtl.example import Example
from mtl.metrics.bleu import sentence_bleu
from mtl.metrics.rouge import rouge_scores
from mtl.metrics.text import distinct_n, normalise, repeated_share, word_f1
from mtl.task import Metric, Scores
from mtl.tasks.difficulty import DIFFICULTIES, evidence, reading
from mtl.tasks.mcq_form import HEAD, LETTERS, attempts, parse, well_formed

METRICS = (
    Metric("parsed", source="all of the answer is of the written form", needs_reference=False),
    Metric(
        "counts_obeyed",
        source="questions delivered per difficulty equal those requested",
        deviation=0.3,
        needs_reference=False,
    ),
    Metric("counts_total", source="number of questions delivered equals the number requested", needs_reference=False),
    Metric(
        "count_error",
        higher_is_better=False,
        high=None,
        source="questions too few or too many, summed over the difficulties",
        needs_reference=False,
    ),
    Metric("four_options", source="share of questions with four distinct options", needs_reference=False),
    Metric("valid_key", source="share of questions with one key among A to D", needs_reference=False),
    Metric("kind_obeyed", source=f"the answer starts with {HEAD!r}", needs_reference=False),
    Metric(
        "key_supported",
        source="share of the correct option's content words in the passage's best sentence",
        needs_reference=False,
    ),
    Metric("question_overlap", source="word F1 of each question with the nearest reference question"),
    Metric("question_rougeL", source="ROUGE-L of each question with its best-matching reference (Lin 2004)"),
    Metric("question_bleu", source="BLEU-4 of each question with its best-matching reference (Papineni et al. 2002)"),
    Metric("option_overlap", source="word F1 of each question's options with those of that reference"),
    Metric(
        "repeated",
        higher_is_better=False,
        source="share of questions asked before in the same answer",
        needs_reference=False,
    ),
    Metric("distractor_diversity", source="distinct words among the words of the wrong options", needs_reference=False),
    *(
        Metric(
            f"key_{letter}",
            higher_is_better=None,
            source=f"share of questions with key {letter}; 0.25 is balance",
            needs_reference=False,
        )
        for letter in LETTERS
    ),
)

_CONTENT = (
    *("key_supported", "question_overlap", "question_rougeL", "question_bleu", "option_overlap"),
    *("repeated", "distractor_diversity", *(f"key_{letter}" for letter in LETTERS)),
)
"""Metrics of what the questions say: None without a question that can be read."""


def score(example: Example, prediction: str, *, passage: str, request: Mapping[str, int]) -> Scores:
    """One value per metric of METRICS; None where nothing can be read from which to tell."""
    begun, keyed = attempts(prediction)
    questions = well_formed(prediction)
    strict = parse(prediction)
    delivered = Counter(question["difficulty"] for question in strict or ())
    asked = {level: request[level.lower()] for level in DIFFICULTIES}
    obeyed = strict is not None and all(delivered[level] == asked[level] for level in DIFFICULTIES)
    distinct = sum(len({normalise(option) for option in question["options"]}) == 4 for question in questions)
    return {
        "parsed": float(strict is not None),
        "counts_obeyed": float(obeyed),
        "counts_total": float(strict is not None and len(strict) == sum(asked.values())),
        "count_error": float(sum(abs(delivered[level] - asked[level]) for level in DIFFICULTIES)),
        "four_options": distinct / begun if begun else 0.0,
        "valid_key": keyed / begun if begun else 0.0,
        "kind_obeyed": float(prediction.lstrip().startswith(HEAD)),
        **_content(questions, parse(example.targets) or [], passage),
    }


def _content(
    questions: Sequence[Mapping[str, Any]], references: Sequence[Mapping[str, Any]], passage: str
) -> dict[str, float | None]:
    if not questions:
        return dict.fromkeys(_CONTENT)
    read = reading(passage)
    nearest = [_nearest(question, references) for question in questions]
    asked = [str(reference["question"]) for reference in references]
    keys = Counter(question["correct"] for question in questions)
    return {
        "key_supported": fmean(min(1.0, evidence(read, _correct(question))) for question in questions),
        "question_overlap": fmean(alike for alike, _ in nearest) if references else None,
        "question_rougeL": fmean(_rouge(q["question"], asked) for q in questions) if references else None,
        "question_bleu": fmean(sentence_bleu(q["question"], asked) for q in questions) if references else None,
        "option_overlap": fmean(options for _, options in nearest) if references else None,
        "repeated": repeated_share([question["question"] for question in questions]),
        "distractor_diversity": distinct_n([option for q in questions for option in _wrong(q)], n=1),
        **{f"key_{letter}": keys[letter] / len(questions) for letter in LETTERS},
    }


def _rouge(question: str, references: Sequence[str]) -> float:
    return max(rouge_scores(question, reference)["rougeL"] for reference in references)


def _nearest(question: Mapping[str, Any], references: Sequence[Mapping[str, Any]]) -> tuple[float, float]:
    """Word F1 of the question and of its options with the reference whose question is most alike."""
    pairs = (
        (
            word_f1(question["question"], reference["question"]),
            word_f1(" ".join(question["options"]), " ".join(reference["options"])),
        )
        for reference in references
    )
    return max(pairs, default=(0.0, 0.0))


def _correct(question: Mapping[str, Any]) -> str:
    return str(question["options"][LETTERS.index(question["correct"])])


def _wrong(question: Mapping[str, Any]) -> list[str]:
    return [
        option for letter, option in zip(LETTERS, question["options"], strict=True) if letter != question["correct"]
    ]
