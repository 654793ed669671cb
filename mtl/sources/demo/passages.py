"""Reading passages made of facts, and questions whose keys follow from those facts.

Three depths of question: `easy` asks for a value in plain words, `gap` leaves a `_` for a value that the passage says
verbatim, and `deep` wants a whole sentence that says something in other words than the passage does.
"""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from mtl.sources.demo import facts, news, world
from mtl.sources.demo.facts import Fact, Kind, Person

KINDS: Final[Mapping[str, Kind]] = {**facts.KINDS, **news.KINDS}
POOLS: Final[Mapping[str, tuple[str, ...]]] = {**world.POOLS, **news.POOLS}
LETTERS: Final = "ABCD"
DEPTHS: Final = ("easy", "gap", "deep")
TRUE_QUESTION: Final = "Which sentence about {about} is true?"


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
    """A question with four options, its right answer among them, and where the answer comes from.

    The options are neighbours in the world's lists, in the order of those lists (days and numbers ascend, towns lie in
    one region), so that each letter is right as often as the others and no option stands out.
    """

    text: str
    right: str
    options: tuple[str, ...]
    depth: str
    fact: Fact
    slot: str

    @property
    def letter(self) -> str:
        return LETTERS[self.options.index(self.right)]

    @property
    def wrong(self) -> tuple[str, ...]:
        return tuple(option for option in self.options if option != self.right)


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
        found = [_deep(fact, ask) for fact in passage.facts for ask in _deep_asks(rng, fact, passage)]
        return found + [_true(rng, fact, passage) for fact in _restatable(rng, passage)]
    return [_direct(fact, ask, depth) for fact in passage.facts for ask in _asks(fact, depth)]


def _asks(fact: Fact, depth: str) -> list[facts.Ask]:
    kind = KINDS[fact.kind]
    return [ask for ask in (kind.asks if depth == "easy" else kind.gaps) if fact.supports(*ask)]


def restated(fact: Fact, passage: Passage) -> list[facts.Ask]:
    """The templates that say what the fact says in other words than the passage."""
    asks = [ask for ask in KINDS[fact.kind].again if fact.supports(*ask)]
    return [ask for ask in asks if fact.fill(ask[0]).rstrip(".") not in passage.text]


def answers(passage: Passage) -> dict[str, frozenset[str]]:
    """Every question that `questions` may ever ask about the passage, with every answer that is right."""
    found: dict[str, set[str]] = {}
    for fact in passage.facts:
        for template, slot in (*_asks(fact, "easy"), *_asks(fact, "gap")):
            found.setdefault(fact.fill(template), set()).add(fact.values[slot])
        for template, option, slot in _supported(fact, passage):
            found.setdefault(fact.fill(template), set()).add(fact.fill(option, {"gloss": fact.gloss(slot)}))
        for template, _ in restated(fact, passage):
            found.setdefault(_true_question(fact), set()).add(fact.fill(template))
    return {question: frozenset(right) for question, right in found.items()}


def _deep_asks(rng: random.Random, fact: Fact, passage: Passage) -> tuple[tuple[str, str, str], ...]:
    asks = _supported(fact, passage)
    return (rng.choice(asks),) if fact.kind == "work" and len(asks) > 1 else asks


def _supported(fact: Fact, passage: Passage) -> tuple[tuple[str, str, str], ...]:
    """The deep questions about a fact. The passage is mainly about its first person, so a friend's work has fewer."""
    asks = tuple(ask for ask in KINDS[fact.kind].deep if fact.supports(ask[0], ask[2]))
    return asks[:1] if fact.kind == "work" and fact.person != passage.facts[0].person else asks


def _restatable(rng: random.Random, passage: Passage) -> list[Fact]:
    found = [fact for fact in passage.facts if restated(fact, passage)]
    return rng.sample(found, min(1, len(found)))


def _true_question(fact: Fact) -> str:
    return fact.fill(TRUE_QUESTION.format(about=KINDS[fact.kind].about))


def neighbours(slot: str, value: str) -> tuple[str, ...]:
    """The four neighbours in the pool of a slot to which a value belongs, in their usual order."""
    pool = POOLS[slot]
    start = min(pool.index(value) // 4 * 4, len(pool) - 4)
    return pool[start : start + 4]


def _direct(fact: Fact, ask: facts.Ask, depth: str) -> Question:
    template, slot = ask
    return Question(fact.fill(template), fact.values[slot], neighbours(slot, fact.values[slot]), depth, fact, slot)


def _deep(fact: Fact, ask: tuple[str, str, str]) -> Question:
    template, option, slot = ask
    options = tuple(
        fact.fill(option, {"gloss": fact.gloss(slot, value)}) for value in neighbours(slot, fact.values[slot])
    )
    right = fact.fill(option, {"gloss": fact.gloss(slot)})
    return Question(fact.fill(template), right, options, "deep", fact, slot)


def _true(rng: random.Random, fact: Fact, passage: Passage) -> Question:
    """One true sentence in other words among three of the same form that are false."""
    template, slot = rng.choice(restated(fact, passage))
    options = tuple(fact.fill(template, {slot: other}) for other in neighbours(slot, fact.values[slot]))
    return Question(_true_question(fact), fact.fill(template), options, "deep", fact, slot)


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
