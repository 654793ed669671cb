"""News-like articles with highlights, one table of templates for each kind of event.

Fields: {who}, {surname}, {He}, {s}, {p} are the person of the story, {rival} is a second town, and the other fields are
drawn from `COMMON` or from the pools of the event. A sentence with several wordings is a tuple of them.
"""

import random
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from mtl.sources.demo import facts
from mtl.sources.demo.facts import Person
from mtl.sources.demo.world import AGES, BIG_NUMBERS, DAYS, MONTHS, SMALL_NUMBERS, SURNAMES, TOWNS

Wordings = tuple[str, ...]


@dataclass(frozen=True)
class Event:
    """A kind of news: pools for its own fields, a lead, details, and two sentences of highlights."""

    pools: Mapping[str, tuple[str, ...]]
    lead: Wordings
    details: tuple[Wordings, ...]
    highlights: tuple[str, str]


COMMON: Final[Mapping[str, tuple[str, ...]]] = {
    "town": TOWNS,
    "day": DAYS,
    "until": DAYS,
    "month": MONTHS,
    "n": SMALL_NUMBERS,
    "big": BIG_NUMBERS,
    "age": AGES,
}
FILLERS: Final = (
    "The weather was cold and wet that week.",
    "Many people in the town talked about it.",
    "A local newspaper wrote about the story.",
    "Neighbours told reporters that they were surprised.",
    "Nothing like this had happened there for years.",
    "The mayor thanked everyone for the quick help.",
    "Pictures of the day were shown on television.",
    "People from other towns sent kind letters.",
)
QUOTES: Final = (
    '"It was a day that I will not forget," {s} said.',
    '"I am very thankful to all of you," {s} said.',
    '"We have a lot of work to do now," {s} said.',
    '"Nobody could believe it at first," {s} said.',
    '"This means a lot to our town," {s} said.',
)
EVENTS: Final[Mapping[str, Event]] = {
    "fire": Event(
        pools={
            "house": ("bakery", "school", "hotel", "library", "factory", "theatre", "museum", "garage"),
            "plan": ("open again", "build a new one", "leave the town", "sell the land"),
        },
        lead=("A fire damaged a {house} in {town} on {day}.", "On {day} a fire broke out in a {house} in {town}."),
        details=(
            ("About {big} firefighters came to the place.", "The fire service sent {big} people."),
            ("They needed {n} hours to put out the fire.", "After {n} hours the fire was out."),
            (
                "The owner, {who} {surname}, wants to {plan} in {month}.",
                "{who} {surname}, the owner, hopes to {plan} in {month}.",
            ),
            ("Nobody was hurt.", "All guests left the house in time."),
        ),
        highlights=("Fire damages a {house} in {town} on {day}.", "Owner {who} {surname} wants to {plan} in {month}."),
    ),
    "flood": Event(
        pools={"thing": ("bridge", "road", "market", "station", "hospital", "harbour")},
        lead=(
            "Heavy rain closed the {thing} in {town} on {day}.",
            "The {thing} in {town} was closed after heavy rain.",
        ),
        details=(
            ("Water stood in {big} houses.", "The water reached {big} houses."),
            (
                "Mayor {who} {surname} asked people to stay at home until {until}.",
                "People should stay at home until {until}, mayor {who} {surname} said.",
            ),
            ("Helpers worked for {n} nights.", "It rained for {n} days."),
            ("Boats carried families to a dry place.", "Families were brought to a dry place by boat."),
        ),
        highlights=(
            "Heavy rain closes the {thing} in {town}.",
            "Mayor {who} {surname} asks people to stay at home until {until}.",
        ),
    ),
    "match": Event(
        pools={"sport": ("football", "tennis", "hockey", "rugby", "cricket", "volleyball")},
        lead=(
            "The {sport} team of {town} won against {rival} on {day}.",
            "On {day} {town} beat {rival} in a {sport} match.",
        ),
        details=(
            ("{who} {surname} scored {n} points.", "With {n} points {who} {surname} was the best player."),
            ("About {big} fans came by bus.", "More than {big} fans had travelled with the team."),
            ("The next match will be in {month}.", "In {month} the team plays again."),
            ("The trainer was pleased with the players.", "The trainer praised the players."),
        ),
        highlights=("{town} beats {rival} in a {sport} match.", "{who} {surname} scores {n} points."),
    ),
    "opening": Event(
        pools={
            "house": ("museum", "library", "school", "cinema", "hospital", "theatre", "zoo", "market"),
            "good": ("free for children", "open every day", "larger than the old one", "close to the station"),
        },
        lead=("A new {house} opened in {town} on {day}.", "On {day} {town} opened a new {house}."),
        details=(
            ("It took {n} years to build it.", "Workers built it in {n} years."),
            ("About {big} guests came on the first day.", "The first {big} guests came in the morning."),
            ("It is {good}, director {who} {surname} said.", "Director {who} {surname} said that it is {good}."),
            ("A band played in the street.", "There was music in the street."),
        ),
        highlights=("A new {house} opens in {town} on {day}.", "Director {who} {surname} says it is {good}."),
    ),
    "award": Event(
        pools={
            "work": ("teacher", "doctor", "writer", "singer", "painter", "cook", "farmer", "nurse"),
            "deed": ("saving a child", "helping the poor", "many years of work", "a brave act", "a great idea"),
        },
        lead=(
            "{who} {surname}, a {work} from {town}, won a prize on {day}.",
            "A {work} from {town}, {who} {surname}, was given a prize on {day}.",
        ),
        details=(
            ("The prize was given for {deed}.", "It is a prize for {deed}."),
            ("{He} has worked in the town for {n} years.", "{He} came to the town {n} years ago."),
            ("About {big} people came to the party.", "There was a party with {big} guests."),
            ("The money will go to a school.", "A school will get the money."),
        ),
        highlights=("{who} {surname}, a {work} from {town}, wins a prize.", "The prize is for {deed}."),
    ),
    "rescue": Event(
        pools={
            "lost": ("a river", "a deep hole", "a burning car", "the snow", "a cold lake", "a locked lift"),
            "help": ("a rope", "a ladder", "a small boat", "a long stick"),
        },
        lead=(
            "{who} {surname} saved a child from {lost} in {town} on {day}.",
            "On {day} {who} {surname} pulled a child out of {lost} in {town}.",
        ),
        details=(
            ("{He} used {help}.", "With {help} {s} reached the child."),
            ("The child is {n} years old.", "The child, who is {n}, is well."),
            ("About {big} people watched.", "It took {big} minutes."),
            ("A doctor looked at both of them.", "Both were taken to a doctor."),
        ),
        highlights=("{who} {surname} saves a child from {lost} in {town}.", "The child is {n} years old."),
    ),
    "theft": Event(
        pools={
            "thing": ("painting", "clock", "statue", "car", "ring", "violin", "crown", "map"),
            "spot": ("a church", "a museum", "a hotel", "a shop", "a bank", "a castle"),
        },
        lead=("Thieves took a {thing} from {spot} in {town}.", "A {thing} was stolen from {spot} in {town}."),
        details=(
            ("Police were called on {day}.", "The police came on {day}."),
            ("The {thing} is {big} years old.", "It was made {big} years ago."),
            (
                "The police found it with {who} {surname}, who is {age}.",
                "It was found in the house of {who} {surname}, who is {age}.",
            ),
            ("There were {n} people in the room.", "A camera saw {n} people."),
        ),
        highlights=("Thieves take a {thing} from {spot} in {town}.", "Police find it with {who} {surname}."),
    ),
    "vote": Event(
        pools={
            "aim": ("build more houses", "plant more trees", "clean the river", "lower the taxes", "repair the roads")
        },
        lead=(
            "{who} {surname} was chosen as mayor of {town} on {day}.",
            "On {day} the people of {town} chose {who} {surname} as mayor.",
        ),
        details=(
            ("{He} got {big} percent of the votes.", "Of all people {big} percent voted for {p} plans."),
            ("{He} promised to {aim}.", "{He} said that {s} will {aim}."),
            ("The old mayor had been there for {n} years.", "{He} has lived in the town for {n} years."),
            ("{He} will start in {month}.", "The work begins in {month}."),
        ),
        highlights=("{who} {surname} becomes mayor of {town}.", "{He} promises to {aim}."),
    ),
    "travel": Event(
        pools={"way": ("by bike", "on foot", "by boat", "on a horse", "by train", "in a balloon")},
        lead=(
            "{who} {surname} travelled from {town} to {rival} {way}.",
            "From {town} to {rival} {who} {surname} went {way}.",
        ),
        details=(
            ("The trip took {big} days.", "{He} needed {big} days."),
            ("{He} is {age} years old.", "{He} turned {age} on the way."),
            ("{He} slept outside for {n} nights.", "For {n} nights {s} had no bed."),
            ("{He} plans a new trip in {month}.", "In {month} {s} will leave again."),
        ),
        highlights=("{who} {surname} goes from {town} to {rival} {way}.", "The trip takes {big} days."),
    ),
    "animal": Event(
        pools={"beast": ("lion", "bear", "wolf", "monkey", "tiger", "snake", "zebra", "camel")},
        lead=("A {beast} ran away from the zoo of {town} on {day}.", "On {day} a {beast} left the zoo of {town}."),
        details=(
            ("It was free for {n} hours.", "For {n} hours nobody knew where it was."),
            ("{who} {surname} found it in {p} garden.", "It was found by {who} {surname} in a garden."),
            ("About {big} people looked for it.", "The zoo sent {big} people to find it."),
            ("The {beast} was tired but well.", "The {beast} is now back in the zoo."),
        ),
        highlights=("A {beast} runs away from the zoo of {town}.", "{who} {surname} finds it after {n} hours."),
    ),
}


@dataclass(frozen=True)
class Story:
    """An event with values for its fields, and the templates of its sentences in reading order."""

    event: str
    person: Person
    fields: Mapping[str, str]
    body: Wordings
    highlights: Wordings


def build(rng: random.Random) -> tuple[str, tuple[str, ...]]:
    """An article and its two highlights; both come from the same values."""
    story = compose(rng)
    body, highlights = (
        tuple(sentence(text, story.fields) for text in texts) for texts in (story.body, story.highlights)
    )
    return " ".join(body), highlights


def compose(rng: random.Random) -> Story:
    """What an article is made of."""
    name = rng.choice(tuple(EVENTS))
    event = EVENTS[name]
    who, fields = draw(rng, event)
    body = [rng.choice(wordings) for wordings in event.details]
    body.append(rng.choice(QUOTES))
    for filler in rng.sample(FILLERS, 2):
        body.insert(rng.randint(0, len(body)), filler)
    body.insert(0, rng.choice(event.lead))
    return Story(name, who, fields, tuple(body), event.highlights)


def sentence(template: str, fields: Mapping[str, str]) -> str:
    """The template with its fields, opening with a capital letter."""
    text = template.format(**fields)
    return text[0].upper() + text[1:]


def draw(rng: random.Random, event: Event) -> tuple[Person, dict[str, str]]:
    """The person of a story, and a value for every field that the templates of the event may use."""
    who = facts.person(rng)
    fields = {name: rng.choice(pool) for name, pool in {**COMMON, **event.pools}.items()}
    rival = rng.choice([town for town in TOWNS if town != fields["town"]])
    names = {"who": who.name, "surname": rng.choice(SURNAMES)}
    return who, {**fields, **who.words(named=False), **names, "rival": rival}
