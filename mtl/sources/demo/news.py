"""What can be asked about news: for each event of `articles`, questions of three depths about its fields.

A question is asked only where the text states all of its fields and its answer: `Fact.supports` says so. No question is
about a field that the wordings of an article give different meanings.
"""

from collections.abc import Mapping
from typing import Final

from mtl.sources.demo.articles import COMMON, EVENTS
from mtl.sources.demo.facts import Kind
from mtl.sources.demo.world import MEN, TOWNS, WOMEN

KINDS: Final[Mapping[str, Kind]] = {
    "fire": Kind(
        about="the fire",
        asks=(
            ("Which house was damaged by the fire?", "house"),
            ("In which town was the fire?", "town"),
            ("On which day was the fire?", "day"),
            ("How many hours did it take to put out the fire?", "n"),
            ("How many people came because of the fire?", "big"),
            ("Who is the owner of the {house}?", "who"),
            ("What would {N} like to do?", "plan"),
            ("In which month will {N} {plan}?", "month"),
        ),
        gaps=(
            ("The fire was in a _.", "house"),
            ("The fire was in the town of _.", "town"),
            ("The {house} was damaged on _.", "day"),
            ("The fire was put out after _ hours.", "n"),
            ("The owner of the {house} is _.", "who"),
            ("The owner would like to _.", "plan"),
            ("{N} will have a lot to do in _.", "month"),
        ),
        again=(
            ("The {house} belongs to {who}.", "who"),
            ("People worked at the fire for {n} hours.", "n"),
            ("It was a {house} that had a fire.", "house"),
        ),
        deep=(
            ("What do we know about the hopes of {N}?", "{He} thinks it is best to {gloss}.", "plan"),
            ("When will {N} probably be happy again?", "There is a new start in {gloss}.", "month"),
            ("Where were people probably afraid?", "They were outside a house in {gloss}.", "town"),
        ),
    ),
    "flood": Kind(
        about="the rain",
        asks=(
            ("What was closed because of the rain?", "thing"),
            ("In which town was the heavy rain?", "town"),
            ("On which day was the {thing} closed?", "day"),
            ("How many houses had water in them?", "big"),
            ("Who is the mayor of {town}?", "who"),
            ("On which day can people leave home again?", "until"),
        ),
        gaps=(
            ("The rain closed the _.", "thing"),
            ("The heavy rain was in the town of _.", "town"),
            ("The {thing} was closed on _.", "day"),
            ("There was water in _ houses.", "big"),
            ("The mayor of {town} is _.", "who"),
            ("People should stay at home until _.", "until"),
        ),
        again=(
            ("{who} speaks for the town.", "who"),
            ("{big} families had a wet home.", "big"),
            ("It was not safe to be in {town}.", "town"),
        ),
        deep=(
            ("What do we know about the rain?", "It stopped people on the way to the {gloss}.", "thing"),
            ("What can we guess about the people?", "They would like to go outdoors after {gloss}.", "until"),
            ("What is probably true of the families?", "They are afraid of water in {gloss}.", "town"),
        ),
    ),
    "match": Kind(
        about="the match",
        asks=(
            ("Which town won the match?", "town"),
            ("Which town lost the match?", "rival"),
            ("What did {town} play against {rival}?", "sport"),
            ("On which day was the match?", "day"),
            ("Who scored {n} points?", "who"),
            ("How many points has {N} scored?", "n"),
            ("How many fans were there?", "big"),
            ("In which month will the team play again?", "month"),
        ),
        gaps=(
            ("The match was won by the team of _.", "town"),
            ("The team that lost was from _.", "rival"),
            ("{town} and {rival} played _.", "sport"),
            ("The match was on _.", "day"),
            ("The best player was _.", "who"),
            ("{N} scored _ points.", "n"),
            ("The next match is in _.", "month"),
        ),
        again=(
            ("{who} was a great help to the team.", "who"),
            ("{big} people had a day with the team.", "big"),
            ("The players from {rival} were sad.", "rival"),
        ),
        deep=(
            ("What do we know about {N}?", "{He} brought the team {gloss} points.", "n"),
            ("What can we guess about the fans?", "They felt happy for {gloss}.", "town"),
            ("What is true of the players?", "They enjoyed the time with {gloss}.", "sport"),
        ),
    ),
    "opening": Kind(
        about="the {house}",
        asks=(
            ("What is new in {town}?", "house"),
            ("In which town is the new {house}?", "town"),
            ("On which day did the {house} open?", "day"),
            ("How many years did it take to build the {house}?", "n"),
            ("How many guests came to the {house}?", "big"),
            ("Who is the director of the {house}?", "who"),
            ("What is said about the {house}?", "good"),
        ),
        gaps=(
            ("The town of {town} has a new _.", "house"),
            ("The new {house} is in the town of _.", "town"),
            ("The {house} was opened on _.", "day"),
            ("They built the {house} in _ years.", "n"),
            ("The director of the {house} is _.", "who"),
            ("{N} says that the {house} is _.", "good"),
        ),
        again=(
            ("{who} has an office in the {house}.", "who"),
            ("Workers needed {n} years.", "n"),
            ("{big} people were the first to go in.", "big"),
        ),
        deep=(
            ("What do we know about the {house}?", "People are pleased that it is {gloss}.", "good"),
            ("What is true of {town}?", "There was no {gloss} there until now.", "house"),
            ("Where are people probably pleased?", "There are new things for them in {gloss}.", "town"),
        ),
    ),
    "award": Kind(
        about="{N}",
        asks=(
            ("Who won the prize?", "who"),
            ("What does {N} work as?", "work"),
            ("From which town is {N}?", "town"),
            ("On which day was the prize given to {N}?", "day"),
            ("What was the prize for?", "deed"),
            ("How many years has {N} been in {town}?", "n"),
            ("How many people were at the party?", "big"),
        ),
        gaps=(
            ("The prize was given to _.", "who"),
            ("{N} works as a _.", "work"),
            ("{N} comes from the town of _.", "town"),
            ("{N} won a prize on _.", "day"),
            ("{N} was given a prize for _.", "deed"),
            ("{N} has been in {town} for _ years.", "n"),
        ),
        again=(
            ("{who} felt proud.", "who"),
            ("{N} moved to {town} {n} years ago.", "n"),
            ("{N} was happy on {day}.", "day"),
        ),
        deep=(
            ("What do we know about {N}?", "{He} is a well known {gloss}.", "work"),
            ("What can we guess about the people?", "They are thankful for {gloss}.", "deed"),
            ("Where is {N} probably famous?", "The people of {gloss} have heard of it.", "town"),
        ),
    ),
    "rescue": Kind(
        about="{N}",
        asks=(
            ("Who saved the child?", "who"),
            ("What did {N} save the child from?", "lost"),
            ("In which town was the child saved?", "town"),
            ("On which day was the child saved?", "day"),
            ("What was used to save the child?", "help"),
            ("How old is the child?", "n"),
        ),
        gaps=(
            ("The child was saved by _.", "who"),
            ("{N} saved the child from _.", "lost"),
            ("The child was saved in the town of _.", "town"),
            ("{N} saved the child on _.", "day"),
            ("{N} reached the child with _.", "help"),
            ("The age of the child is _.", "n"),
        ),
        again=(
            ("The family is thankful to {who}.", "who"),
            ("The child was born {n} years ago.", "n"),
            ("The child was afraid on {day}.", "day"),
        ),
        deep=(
            ("What do we know about the child?", "It felt afraid because of {gloss}.", "lost"),
            ("What can we learn about {N}?", "{He} knew that {gloss} would be enough.", "help"),
            ("Where is {N} probably famous?", "The people of {gloss} have heard of it.", "town"),
            ("What is true of the child?", "People felt sorry for a child of {gloss}.", "n"),
        ),
    ),
    "theft": Kind(
        about="the {thing}",
        asks=(
            ("What was stolen?", "thing"),
            ("From where was the {thing} stolen?", "spot"),
            ("In which town was the {thing} stolen?", "town"),
            ("On which day were the police called?", "day"),
            ("How old is the {thing}?", "big"),
            ("Who had the {thing}?", "who"),
            ("How old is {N}?", "age"),
        ),
        gaps=(
            ("The police looked for a _.", "thing"),
            ("The {thing} was stolen from _.", "spot"),
            ("The {thing} was stolen in the town of _.", "town"),
            ("The police were there on _.", "day"),
            ("The {thing} was made _ years ago.", "big"),
            ("The police found the {thing} with _.", "who"),
            ("The age of {N} is _.", "age"),
        ),
        again=(
            ("The police asked {who} questions.", "who"),
            ("{N} was born {age} years ago.", "age"),
            ("It was the {thing} that was lost.", "thing"),
        ),
        deep=(
            ("What do we know about the police?", "They looked for something in {gloss}.", "town"),
            ("Where were people probably surprised?", "They missed something in {gloss}.", "spot"),
            ("What can we guess about the owner?", "A lost {gloss} is back again.", "thing"),
        ),
    ),
    "vote": Kind(
        about="{N}",
        asks=(
            ("Who is the new mayor of {town}?", "who"),
            ("Of which town is {N} the mayor?", "town"),
            ("On which day was {N} chosen?", "day"),
            ("How many percent voted for {N}?", "big"),
            ("What has {N} promised to do?", "aim"),
            ("In which month will {N} start?", "month"),
        ),
        gaps=(
            ("The new mayor of {town} is _.", "who"),
            ("{N} is now the mayor of _.", "town"),
            ("{N} was chosen on _.", "day"),
            ("{N} got _ percent of the votes.", "big"),
            ("{N} has promised to _.", "aim"),
            ("{N} will start in _.", "month"),
        ),
        again=(
            ("The people of {town} believe in {who}.", "who"),
            ("{N} was liked by {big} percent.", "big"),
            ("There will be a new mayor in {month}.", "month"),
        ),
        deep=(
            ("What do we know about the plans of {N}?", "{He} thinks it is best to {gloss}.", "aim"),
            ("Where will {N} probably work?", "There is an office for {p} work in {gloss}.", "town"),
            ("Who is probably proud?", "It is the family of {gloss}.", "who"),
        ),
    ),
    "travel": Kind(
        about="the trip",
        asks=(
            ("Who travelled to {rival}?", "who"),
            ("From which town did {N} travel?", "town"),
            ("Which town did {N} travel to?", "rival"),
            ("How did {N} travel?", "way"),
            ("How many days did the trip take?", "big"),
            ("How old is {N}?", "age"),
            ("How many nights was {N} without a bed?", "n"),
            ("In which month will {N} travel again?", "month"),
        ),
        gaps=(
            ("The one who travelled to {rival} is _.", "who"),
            ("{N} started in the town of _.", "town"),
            ("{N} travelled to the town of _.", "rival"),
            ("{N} travelled _.", "way"),
            ("The trip took _ days.", "big"),
            ("The age of {N} is _.", "age"),
            ("{N} will travel again in _.", "month"),
        ),
        again=(
            ("{who} was far from home.", "who"),
            ("{N} was born {age} years ago.", "age"),
            ("{N} was outdoors for {n} nights.", "n"),
        ),
        deep=(
            ("What do we know about the trip?", "It stopped after {gloss} days.", "big"),
            ("What can we guess about {N}?", "{He} thinks it is best to go {gloss}.", "way"),
            ("Where was {N} probably thankful for a bed?", "There was one in {gloss}.", "rival"),
        ),
    ),
    "animal": Kind(
        about="the {beast}",
        asks=(
            ("What ran away from the zoo?", "beast"),
            ("In which town is the zoo?", "town"),
            ("On which day did the {beast} run away?", "day"),
            ("How many hours was the {beast} free?", "n"),
            ("How many people looked for the {beast}?", "big"),
            ("Who found the {beast}?", "who"),
        ),
        gaps=(
            ("The zoo looked for a _.", "beast"),
            ("The {beast} is from the zoo of _.", "town"),
            ("The {beast} ran away on _.", "day"),
            ("The {beast} was free for _ hours.", "n"),
            ("The {beast} was found by _.", "who"),
        ),
        again=(
            ("{who} was surprised by a {beast}.", "who"),
            ("{big} people were there to help.", "big"),
            ("People felt afraid on {day}.", "day"),
        ),
        deep=(
            ("Why were people probably afraid?", "They believe that a {gloss} is wild.", "beast"),
            ("What do we know about the {beast}?", "It was alone for {gloss} hours.", "n"),
            ("What is true of the zoo?", "It keeps wild animals in {gloss}.", "town"),
        ),
    ),
}


def _pools() -> dict[str, tuple[str, ...]]:
    """The values of each field; those of several events together, so that their neighbours are of one kind."""
    found = {**COMMON, "who": WOMEN + MEN, "rival": TOWNS}
    for event in reversed(tuple(EVENTS.values())):
        for slot, pool in event.pools.items():
            found[slot] = tuple(dict.fromkeys((*found.get(slot, ()), *pool)))
    return found


POOLS: Final[Mapping[str, tuple[str, ...]]] = _pools()
