"""Articles about a person, in the words of the reading passages, with highlights.

They keep the kind of text from giving the task away: a passage may be asked for questions or for a summary, so that
only the task token says which.
"""

import random

from mtl.sources.demo import passages
from mtl.sources.demo.facts import KINDS


def build(rng: random.Random) -> tuple[str, tuple[str, ...]]:
    """(text, highlights): who the person is, and the first other fact that has other words, in those."""
    passage = passages.build(rng)
    work, *others = passage.facts
    fact = next((fact for fact in others if fact.person == work.person and KINDS[fact.kind].again), None)
    lines = [work.fill("{N} makes a living as {job} in {town}.")]
    if fact is not None:
        template, _ = KINDS[fact.kind].again[0]
        lines.append(fact.fill(template))
    return passage.text, tuple(lines)
