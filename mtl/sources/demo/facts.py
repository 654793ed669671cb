"""What a passage can say about a person, and the ways to say it, to ask for it and to say it again.

A `Kind` is a row of templates; a `Fact` is a kind with a person and values. In templates, {N} is the name, {S} and {P}
stand at the start of a sentence ("Tom" or "He", "Tom's" or "His"), {He} is always the pronoun, {s} and {p} are "he"
and "his", and the other fields are values from `world.POOLS`.
"""

import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from string import Formatter
from typing import Final

from mtl.sources.demo.world import GLOSSES, MEN, POOLS, WOMEN

Ask = tuple[str, str]
"""A question template and the slot that answers it."""


@cache
def fields(template: str) -> frozenset[str]:
    """The names of the template's fields."""
    return frozenset(name for _, name, _, _ in Formatter().parse(template) if name)


@dataclass(frozen=True)
class Kind:
    """One kind of fact: `slots` it fills, sentences that state it, and questions of three depths about it."""

    slots: tuple[str, ...] = ()
    says: tuple[str, ...] = ()
    asks: tuple[Ask, ...] = ()
    gaps: tuple[Ask, ...] = ()
    again: tuple[Ask, ...] = ()
    deep: tuple[tuple[str, str, str], ...] = ()
    """(question, option sentence with {gloss}, slot whose gloss the option uses)"""
    about: str = "{N}"
    """What a true sentence is about."""


@dataclass(frozen=True)
class Person:
    """A name and the pronouns that go with it."""

    name: str
    woman: bool

    def words(self, *, named: bool = True) -> dict[str, str]:
        """Template fields for this person; `named` decides whether a sentence opens with the name or the pronoun."""
        he, his = ("she", "her") if self.woman else ("he", "his")
        opening = (self.name, f"{self.name}'s") if named else (he.capitalize(), his.capitalize())
        return {"N": self.name, "S": opening[0], "P": opening[1], "He": he.capitalize(), "s": he, "p": his}


@dataclass(frozen=True)
class Fact:
    """A kind of fact that holds for a person, with the value of each slot.

    `known` are values that other sentences state: a question may name them, but they are not its answer.
    """

    kind: str
    person: Person
    values: Mapping[str, str]
    known: Mapping[str, str] = field(default_factory=dict)

    def fill(self, template: str, changed: Mapping[str, str] | None = None, *, named: bool = True) -> str:
        """The template with this fact's person and values, some of them `changed`."""
        return template.format(**{**self.person.words(named=named), **self.known, **self.values, **(changed or {})})

    def gloss(self, slot: str, value: str | None = None) -> str:
        """The value of a slot in other words, where it has any (this fact's own value unless another is given)."""
        own = self.values[slot] if value is None else value
        return GLOSSES.get(slot, {}).get(own, own)

    def supports(self, template: str, slot: str) -> bool:
        """Whether this fact states the slot's value, and the text what else the template names."""
        return slot in self.values and fields(template) <= {*self.person.words(), *self.known, *self.values, "gloss"}

    def stated(self, template: str) -> dict[str, str]:
        """The values that the template gives away."""
        return {slot: value for slot, value in self.values.items() if slot in fields(template)}


KINDS: Final[Mapping[str, Kind]] = {
    "work": Kind(
        slots=("job", "town"),
        says=("{N} is {job} in {town}.", "{N} works as {job} in {town}.", "{N} lives in {town} and works as {job}."),
        asks=(("What is {N}'s job?", "job"), ("In which town does {N} work?", "town")),
        gaps=(("{N} earns money as _.", "job"), ("The town where {N} works is _.", "town")),
        again=(("{N} makes a living as {job}.", "job"), ("You can find {N} in {town}.", "town")),
        deep=(
            ("What do we know about {N}'s work?", "{He} {gloss}.", "job"),
            ("What is the passage mainly about?", "A person who {gloss}.", "job"),
        ),
    ),
    "pet": Kind(
        slots=("pet", "petname"),
        says=("{S} has {pet} called {petname}.", "At home {s} keeps {pet} called {petname}."),
        asks=(("What is {N}'s pet called?", "petname"), ("What kind of pet does {N} have?", "pet")),
        gaps=(("The name of {N}'s pet is _.", "petname"), ("{N} takes care of _.", "pet")),
        again=(("{N} shares a home with {pet}.", "pet"), ("{petname} belongs to {N}.", "petname")),
        deep=(("What is true of {N}'s pet?", "It {gloss}.", "pet"),),
    ),
    "food": Kind(
        slots=("food",),
        says=("{S} eats {food} for breakfast.", "For breakfast {s} likes {food}."),
        asks=(("What does {N} eat for breakfast?", "food"),),
        gaps=(("In the morning {N} eats _.", "food"),),
        again=(("{N} starts the day with {food}.", "food"),),
    ),
    "instrument": Kind(
        slots=("instrument",),
        says=("In the evening {s} plays the {instrument}.", "{S} plays the {instrument} after work."),
        asks=(("Which instrument does {N} play?", "instrument"),),
        gaps=(("The instrument that {N} plays is the _.", "instrument"),),
        again=(("{N} can make music on the {instrument}.", "instrument"),),
    ),
    "years": Kind(
        slots=("years",),
        says=("{S} has worked there for {years} years.", "{S} started this job {years} years ago."),
        asks=(("How many years has {N} had this job?", "years"),),
        gaps=(("{N} began to work there _ years ago.", "years"),),
        again=(("{N} has been in this job for {years} years.", "years"),),
    ),
    "transport": Kind(
        slots=("transport",),
        says=("{S} goes to work {transport}.", "Every morning {s} travels to work {transport}."),
        asks=(("How does {N} go to work?", "transport"),),
        gaps=(("{N} gets to work _.", "transport"),),
        again=(("{N} reaches the office {transport}.", "transport"),),
    ),
    "age": Kind(
        slots=("age",),
        says=("{S} is {age} years old.", "{S} turned {age} this year."),
        asks=(("How old is {N}?", "age"),),
        gaps=(("The age of {N} is _.", "age"),),
        again=(("{N} was born {age} years ago.", "age"),),
    ),
    "trip": Kind(
        slots=("month", "place", "relative", "companion"),
        says=(
            "In {month} {s} went to {place} with {p} {relative} {companion}.",
            "{S} visited {place} in {month} with {p} {relative} {companion}.",
        ),
        asks=(
            ("Where did {N} go in {month}?", "place"),
            ("Who went to {place} with {N}?", "companion"),
            ("When did {N} visit {place}?", "month"),
        ),
        gaps=(("{N} took a trip to _.", "place"), ("The trip to {place} was in _.", "month")),
        again=(("{companion} travelled with {N}.", "companion"), ("{N} saw {place} this year.", "place")),
    ),
    "choice": Kind(
        slots=("act", "why"),
        says=("Last year {s} {act} because {s} {why}.", "{S} {act} last year because {s} {why}."),
        asks=(("What did {N} do last year?", "act"),),
        gaps=(("A year ago {N} _.", "act"),),
        deep=(("Why did {N} make a change last year?", "{He} {gloss}.", "why"),),
    ),
    "event": Kind(
        slots=("day", "event"),
        says=("On {day} {s} {event}.", "{S} {event} on {day}."),
        asks=(("What happened to {N} on {day}?", "event"), ("On which day did something happen to {N}?", "day")),
        gaps=(("It was on _ that {N} {event}.", "day"),),
        deep=(("How did {N} probably feel on {day}?", "{He} {gloss}.", "event"),),
    ),
    "meet": Kind(
        slots=("weekday", "venue"),
        says=(
            "Every {weekday} {s} meets friends at the {venue}.",
            "{S} goes to the {venue} with friends every {weekday}.",
        ),
        asks=(("Where does {N} meet friends?", "venue"), ("On which day does {N} meet friends?", "weekday")),
        gaps=(("{N} and some friends go to the _.", "venue"), ("{N} sees friends every _.", "weekday")),
        again=(("{N} is not alone on {weekday}.", "weekday"),),
        deep=(("Where does {N} spend time with friends?", "In {gloss}.", "venue"),),
    ),
    "wish": Kind(
        slots=("wish",),
        says=("{S} dreams of {wish}.", "{P} dream is {wish}."),
        asks=(("What does {N} dream of?", "wish"),),
        gaps=(("{N} often thinks of _.", "wish"),),
        deep=(("What can we guess about {N}'s hopes?", "{He} {gloss}.", "wish"),),
    ),
}
DEEP_KINDS: Final = ("pet", "choice", "event", "meet", "wish")
OTHER_KINDS: Final = ("food", "instrument", "years", "transport", "age", "trip")
FRIEND_KINDS: Final = ("pet", "food", "instrument", "transport", "age", "wish", "event")


def person(rng: random.Random, *, besides: tuple[str, ...] = ()) -> Person:
    """A person whose name is not among `besides`."""
    woman = rng.random() < 0.5
    return Person(rng.choice([name for name in (WOMEN if woman else MEN) if name not in besides]), woman)


def fact(rng: random.Random, kind: str, who: Person, *, taken: tuple[str, ...] = ()) -> Fact:
    """A fact of the kind about `who`, whose values are not among `taken`."""
    values: dict[str, str] = {}
    for slot in KINDS[kind].slots:
        free = [value for value in POOLS[slot] if value not in taken and value not in values.values()]
        values[slot] = rng.choice([value for value in free if value != who.name])
    return Fact(kind, who, values)
