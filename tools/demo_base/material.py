"""What a pre-training example is made from: a passage with its questions, an article, and words of no meaning."""

import random
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

from mtl.sources.demo import articles, passages
from mtl.sources.demo.passages import Passage, Question

Pair = tuple[str, str]


@dataclass
class Material:
    """What one example is made from: a passage with its questions, and an article."""

    rng: random.Random

    @cached_property
    def passage(self) -> Passage:
        return passages.build(self.rng)

    @cached_property
    def article(self) -> str:
        return articles.build(self.rng)[0]

    def questions(self, depth: str, most: int) -> list[Question]:
        return passages.select(self.rng, passages.questions(self.rng, self.passage, depth), most)

    def question(self) -> Question:
        """One question; each depth is as likely as the others."""
        return self.questions(self.rng.choice(passages.DEPTHS), 1)[0]

    def text(self) -> str:
        return self.article if self.rng.random() < 0.5 else self.passage.text

    def sentences(self) -> list[str]:
        """The sentences of the article, of the passage, or of two headlines that belong to no article."""
        if self.rng.random() < 0.1:
            return list(articles.build(self.rng)[1])
        return split(self.article) if self.rng.random() < 0.5 else [s.text for s in self.passage.sentences]


Task = Callable[[random.Random, Material], Pair]


def split(text: str) -> list[str]:
    """A text cut behind its full stops."""
    return [f"{part.rstrip('.')}." for part in text.split(". ")]


def made_up(rng: random.Random) -> str:
    word = "".join(rng.choice("bdfgklmnprstvz") + rng.choice("aeiou") for _ in range(rng.randint(1, 3)))
    return word.capitalize() if rng.random() < 0.5 else word


def number(texts: list[str]) -> list[str]:
    """Each text with its number in front."""
    return [f"{place}. {text}" for place, text in enumerate(texts, 1)]
