"""News as passages: whole articles, and short texts that are written as summaries are."""

import random
from collections.abc import Sequence

from mtl.sources.demo import articles, portraits
from mtl.sources.demo.facts import Fact
from mtl.sources.demo.passages import Passage, Sentence


def article(rng: random.Random) -> Passage:
    """An article about news."""
    story = articles.compose(rng)
    return tell([(template, _fact(story)) for template in story.body])


def short(rng: random.Random) -> Passage:
    """The highlights of an article, of one about a person as often as among the articles."""
    if rng.random() < portraits.SHARE:
        return tell(portraits.compose(rng)[1])
    story = articles.compose(rng)
    return tell([(template, _fact(story)) for template in story.highlights])


def is_short(passage: Passage) -> bool:
    """Whether it is as short as highlights are."""
    return len(passage.sentences) <= 2


def _fact(story: articles.Story) -> Fact:
    return Fact(story.event, story.person, story.fields)


def tell(lines: Sequence[tuple[str, Fact]]) -> Passage:
    """A sentence for each template of a fact. It states the values that it names; what the others name is known."""
    known = {slot: value for template, fact in lines for slot, value in fact.stated(template).items()}
    return Passage(
        tuple(
            Sentence(fact.fill(template), Fact(fact.kind, fact.person, fact.stated(template), known))
            for template, fact in lines
        )
    )
