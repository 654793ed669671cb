"""Reading passages made of facts, and questions whose keys follow from those facts.

Three depths of question: `easy` asks for a value in plain words, `gap` leaves a `_` for a value that the passage says
verbatim, and `deep` wants a whole sentence that says something in other words than the passage does.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from mtl.sources.demo import facts
from mtl.sources.demo.facts import KINDS, Fact, Person
from mtl.sources.demo.world import GLOSSES, POOLS

LETTERS: Final = "ABCD"
DEPTHS: Final = ("easy", "gap", "deep")
TRUE_QUESTION: Final = "Which sentence about {N} is true?"


@dataclass(frozen=True)
class Sentence:
    """One sentence of a passage and the fact that it states."""

    text: str
    fact: Fact


@dataclass(frozen=True)
class Passage:
    """Sentences in reading order."""

    sentences: tuple[Sentence, ...]

    @property
    def text(self) -> str:
        return " ".join(sentence.text for sentence in self.sentences)

    @property
    def facts(self) -> tuple[Fact, ...]:
        return tuple(sentence.fact for sentence in self.sentences)

    def values(self, slot: str) -> tuple[str, ...]:
        """Every value that the passage gives to slots with the same pool as `slot`."""
        return tuple(value for fact in self.facts for value in fact.values.values() if value in POOLS[slot])


@dataclass(frozen=True)
class Question:
    """A question with its right answer, three wrong ones and where the answer comes from."""

    text: str
    right: str
    wrong: tuple[str, str, str]
    depth: str
    fact: Fact
    slot: str

    def options(self, rng: random.Random) -> tuple[list[str], str]:
        """Four options in random order and the letter of the right one."""
        options = [self.right, *self.wrong]
        rng.shuffle(options)
        return options, LETTERS[options.index(self.right)]


def build(rng: random.Random) -> Passage:
    """A passage of five to seven sentences about one person, or about that person and a friend."""
    hero = facts.person(rng)
    chosen = ["work", *_pick_kinds(rng)]
    made: list[Fact] = []
    for kind in chosen:
        made.append(facts.fact(rng, kind, hero, taken=_taken(made)))
    sentences = _tell(rng, made)
    if rng.random() < 0.4:
        sentences += _friend(rng, hero, made)
    return Passage(tuple(sentences))


def _pick_kinds(rng: random.Random) -> list[str]:
    deep = rng.sample(facts.DEEP_KINDS, rng.choice((2, 2, 3)))
    kinds = deep + rng.sample(facts.OTHER_KINDS, 2)
    rng.shuffle(kinds)
    return kinds


def _taken(made: Sequence[Fact]) -> tuple[str, ...]:
    return tuple(value for fact in made for value in fact.values.values())


def _tell(rng: random.Random, made: Sequence[Fact]) -> list[Sentence]:
    """Facts about one person as sentences; the first names the person, later ones may use the pronoun."""
    told = []
    for place, fact in enumerate(made):
        named = place == 0 or rng.random() < 0.3
        told.append(Sentence(fact.fill(rng.choice(KINDS[fact.kind].says), named=named), fact))
    return told


def _friend(rng: random.Random, hero: Person, made: Sequence[Fact]) -> list[Sentence]:
    """The friend's work and perhaps one more fact, with values that the hero does not have."""
    friend = facts.person(rng, besides=(hero.name, *_taken(made)))
    theirs: list[Fact] = []
    for kind in ["work", *rng.sample(facts.FRIEND_KINDS, rng.choice((0, 1)))]:
        theirs.append(facts.fact(rng, kind, friend, taken=_taken([*made, *theirs])))
    return _tell(rng, theirs)


def questions(rng: random.Random, passage: Passage, depth: str) -> list[Question]:
    """Every question of a depth that the passage supports, in reading order, at most one for each value."""
    if depth == "deep":
        found = [_deep(rng, fact, ask) for fact in passage.facts for ask in _deep_asks(rng, fact, passage)]
        return found + [_true(rng, fact, passage) for fact in _restatable(rng, passage)]
    asks = "asks" if depth == "easy" else "gaps"
    return [
        _direct(rng, fact, ask, passage, depth) for fact in passage.facts for ask in getattr(KINDS[fact.kind], asks)
    ]


def _deep_asks(rng: random.Random, fact: Fact, passage: Passage) -> tuple[tuple[str, str, str], ...]:
    asks = KINDS[fact.kind].deep
    if fact.kind != "work":
        return asks
    return (rng.choice(asks),) if fact.person == passage.facts[0].person else asks[:1]


def _restatable(rng: random.Random, passage: Passage) -> list[Fact]:
    found = [fact for fact in passage.facts if KINDS[fact.kind].again]
    return rng.sample(found, min(1, len(found)))


def _others(rng: random.Random, slot: str, passage: Passage, fact: Fact) -> list[str]:
    """Three other values for a slot, half of the time from elsewhere in the passage where there are any."""
    value = fact.values[slot]
    near = [other for other in dict.fromkeys(passage.values(slot)) if other != value and rng.random() < 0.5]
    pool = [other for other in POOLS[slot] if other not in (value, *near, fact.person.name)]
    picked = (near + rng.sample(pool, 3))[:3]
    rng.shuffle(picked)
    return picked


def _direct(rng: random.Random, fact: Fact, ask: facts.Ask, passage: Passage, depth: str) -> Question:
    template, slot = ask
    wrong = _others(rng, slot, passage, fact)
    return Question(fact.fill(template), fact.values[slot], (wrong[0], wrong[1], wrong[2]), depth, fact, slot)


def _deep(rng: random.Random, fact: Fact, ask: tuple[str, str, str]) -> Question:
    template, option, slot = ask
    right = fact.gloss(slot)
    others = [gloss for gloss in GLOSSES[slot].values() if gloss != right]
    wrong = [fact.fill(option, {"gloss": gloss}) for gloss in rng.sample(others, 3)]
    chosen = (wrong[0], wrong[1], wrong[2])
    return Question(fact.fill(template), fact.fill(option, {"gloss": right}), chosen, "deep", fact, slot)


def _true(rng: random.Random, fact: Fact, passage: Passage) -> Question:
    """One true sentence in other words among three of the same form that are false."""
    template, slot = rng.choice(KINDS[fact.kind].again)
    wrong = [fact.fill(template, {slot: other}) for other in _others(rng, slot, passage, fact)]
    chosen = (wrong[0], wrong[1], wrong[2])
    return Question(fact.fill(TRUE_QUESTION), fact.fill(template), chosen, "deep", fact, slot)


def select(rng: random.Random, found: Sequence[Question], count: int) -> list[Question]:
    """Up to `count` questions in their order, no two about the same value of the same fact."""
    order = list(range(len(found)))
    rng.shuffle(order)
    seen: set[tuple[str, str, str]] = set()
    kept: list[int] = []
    for place in order:
        key = (found[place].fact.kind, found[place].fact.person.name, found[place].slot)
        if len(kept) < count and key not in seen:
            seen.add(key)
            kept.append(place)
    return [found[place] for place in sorted(kept)]
