"""Articles about a person, in the words of the reading passages, with highlights.

They keep the kind of text from giving the task away: a passage may be asked for questions or for a summary, so that
only the task token says which.
"""

import random
from typing import Final

from mtl.sources.demo import passages
from mtl.sources.demo.facts import Fact
from mtl.sources.demo.passages import KINDS, Passage

SHARE: Final = 0.25
"""Share of the articles that are about a person."""


def build(rng: random.Random) -> tuple[str, tuple[str, ...]]:
    """(text, highlights)."""
    passage, highlights = compose(rng)
    return passage.text, tuple(fact.fill(template) for template, fact in highlights)


def compose(rng: random.Random) -> tuple[Passage, list[tuple[str, Fact]]]:
    """The text, and its highlights as templates: the work, and the first other fact that has other words, in those."""
    passage = passages.build(rng)
    work, *others = passage.facts
    fact = next((fact for fact in others if fact.person == work.person and KINDS[fact.kind].again), None)
    lines = [("{N} makes a living as {job} in {town}.", work)]
    if fact is not None:
        template, _ = KINDS[fact.kind].again[0]
        lines.append((template, fact))
    return passage, lines
