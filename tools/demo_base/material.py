"""What a pre-training example is made from: a passage with its questions, an article, and words of no meaning."""

import random
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from mtl.sources.demo import articles, facts, passages, stories
from mtl.sources.demo.facts import Fact
from mtl.sources.demo.passages import KINDS, Passage, Question, Sentence

Pair = tuple[str, str]
CROWDED: Final = 0.4
"""Share of the passages about people in which the same is told of several."""
NEWS: Final = 0.35
SHORT: Final = 0.2
"""Shares of the passages that are news, and that read like summaries: more than in the demo, for they differ more."""


@dataclass
class Material:
    """What one example is made from: a passage with its questions, about people or about news, and an article."""

    rng: random.Random

    @cached_property
    def people(self) -> Passage:
        return crowd(self.rng) if self.rng.random() < CROWDED else passages.build(self.rng)

    @cached_property
    def passage(self) -> Passage:
        draw = self.rng.random()
        if draw < NEWS:
            return stories.article(self.rng)
        return stories.short(self.rng) if draw < NEWS + SHORT else self.people

    @cached_property
    def article(self) -> str:
        return articles.build(self.rng)[0]

    def questions(self, depth: str, most: int) -> list[Question]:
        return passages.select(self.rng, passages.questions(self.rng, self.passage, depth), most)

    def question(self) -> Question:
        """One question; each depth is as likely as the others."""
        return self.questions(self.rng.choice(passages.DEPTHS), 1)[0]

    def text(self) -> str:
        return self.article if self.rng.random() < 0.5 else self.people.text

    def sentences(self) -> list[str]:
        """The sentences of the article, of a passage about people, or of two headlines that belong to no article."""
        if self.rng.random() < 0.1:
            return list(articles.build(self.rng)[1])
        return split(self.article) if self.rng.random() < 0.5 else [s.text for s in self.people.sentences]


Task = Callable[[random.Random, Material], Pair]


def crowd(rng: random.Random) -> Passage:
    """Two or three people of whom the same is told, so that an answer must be about the one whom the question names."""
    kinds = ["work", *rng.sample(facts.FRIEND_KINDS, rng.choice((0, 1)))]
    made: list[Fact] = []
    sentences: list[Sentence] = []
    for _ in range(rng.choice((2, 2, 3))):
        who = facts.person(rng, besides=(*(fact.person.name for fact in made), *_values(made)))
        for place, kind in enumerate(kinds):
            fact = facts.fact(rng, kind, who, taken=_values(made))
            named = place == 0 or rng.random() < 0.3
            made.append(fact)
            sentences.append(Sentence(fact.fill(rng.choice(KINDS[kind].says), named=named), fact))
    return Passage(tuple(sentences))


def _values(made: list[Fact]) -> tuple[str, ...]:
    return tuple(value for fact in made for value in fact.values.values())


def split(text: str) -> list[str]:
    """A text cut behind its full stops."""
    return [f"{part.rstrip('.')}." for part in text.split(". ")]


def made_up(rng: random.Random) -> str:
    word = "".join(rng.choice("bdfgklmnprstvz") + rng.choice("aeiou") for _ in range(rng.randint(1, 3)))
    return word.capitalize() if rng.random() < 0.5 else word


def number(texts: list[str]) -> list[str]:
    """Each text with its number in front."""
    return [f"{place}. {text}" for place, text in enumerate(texts, 1)]
