"""The demo corpus in the schemas of `abisee/cnn_dailymail` and `ehovy/race`.

Every document is a pure function of (seed, index), so a corpus can be made again, or made longer, at any time:

    python -c "from mtl.sources.demo.corpus import passages; print(next(passages(seed=1, count=1)))"
"""

import hashlib
import random
from collections.abc import Iterator, Sequence
from functools import cache

from mtl.metrics.text import words
from mtl.sources.demo import articles as news
from mtl.sources.demo import passages as reading
from mtl.sources.demo import portraits, stories

NEWS = 0.3
"""Share of the passages that are articles about news."""

SHORT = 0.15
"""Share of the passages that read like summaries."""

GAPS = 2
SHORT_GAPS = 4
"""Gap questions about a passage. A short one has more: a summary is checked by questions about all that it says."""

BOTH_LEVELS = 0.8
"""Share of the passages that appear under a middle and under a high example_id."""


def articles(seed: int, count: int) -> Iterator[dict[str, str]]:
    """`count` rows {article, highlights, id}; the highlights are joined by a newline, as on the Hub."""
    for index in range(count):
        rng = _rng("article", seed, index)
        text, highlights = (portraits if rng.random() < portraits.SHARE else news).build(rng)
        name = hashlib.sha1(f"{seed}:{index}".encode(), usedforsecurity=False).hexdigest()
        yield {"article": text, "highlights": "\n".join(highlights), "id": name}


def passages(seed: int, count: int) -> Iterator[dict[str, object]]:
    """The rows of `count` passages, one row a question: {example_id, article, question, options, answer}."""
    for index in range(count):
        yield from _rows(_rng("passage", seed, index), index)


def readings(seed: int, count: int) -> Iterator[reading.Passage]:
    """The passages themselves, with the facts behind their text."""
    return (_passage(_rng("passage", seed, index)) for index in range(count))


@cache
def vocabulary() -> frozenset[str]:
    """The words of the demo's documents, as `mtl.metrics.text.words` gives them: more documents add no others."""
    count = 600  # the last new word comes in the sixth hundred
    texts = {row["article"] for row in articles(0, count)} | {str(row["article"]) for row in passages(0, count)}
    return frozenset(word for text in texts for word in words(text))


def _rng(kind: str, seed: int, index: int) -> random.Random:
    return random.Random(f"{kind}:{seed}:{index}")


def _passage(rng: random.Random) -> reading.Passage:
    draw = rng.random()
    if draw < NEWS:
        return stories.article(rng)
    return stories.short(rng) if draw < NEWS + SHORT else reading.build(rng)


def _rows(rng: random.Random, index: int) -> Iterator[dict[str, object]]:
    passage = _passage(rng)
    draw = rng.random()
    if draw < (1 + BOTH_LEVELS) / 2:
        easy = reading.select(rng, reading.questions(rng, passage, "easy"), rng.choice((2, 3)))
        yield from _level(f"middle{index}.txt", passage, easy)
    if draw >= (1 - BOTH_LEVELS) / 2:
        most = SHORT_GAPS if stories.is_short(passage) else GAPS
        gaps = reading.select(rng, reading.questions(rng, passage, "gap"), most)
        deep = reading.select(rng, reading.questions(rng, passage, "deep"), 3)
        yield from _level(f"high{index}.txt", passage, [*gaps, *deep])


def _level(name: str, passage: reading.Passage, questions: Sequence[reading.Question]) -> Iterator[dict[str, object]]:
    for question in questions:
        yield {
            "example_id": name,
            "article": passage.text,
            "question": question.text,
            "options": list(question.options),
            "answer": question.letter,
        }
