"""Which questions of a passage an example asks for, and how many examples that takes. Pure; every choice is seeded."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence

from mtl.parameter import Parameter

Choice = tuple[int, ...]
"""Positions of questions, in rising order."""

ALL: Mapping[str, float] = {"all": 1.0}
SHARES = (
    Parameter("all", "Share of examples that ask for all questions of the passage.", 0.4, low=0),
    Parameter("one", "Share of examples that ask for one question.", 0.2, low=0),
    Parameter("level", "Share of examples that ask for the questions of one difficulty.", 0.2, low=0),
    Parameter(
        "subset",
        "Share of examples that ask for some questions. Each count of each difficulty is equally likely.",
        0.2,
        low=0,
    ),
)


def _none(shares: Mapping[str, float]) -> str | None:
    return None if sum(shares.values()) > 0 else f"at least one of {', '.join(shares)} must be over 0"


OPTIONS = (
    Parameter(
        "difficulty",
        "How the level of a question becomes its difficulty. With overlap, high is Medium or Hard by the evidence in "
        "the passage. With levels, high is Medium and college is Hard.",
        "overlap",
        choices=("overlap", "levels"),
    ),
    Parameter(
        "requests",
        "Which questions of its passage an mcq training example asks for. The numbers are shares of their sum.",
        parts=SHARES,
        check=_none,
    ),
    Parameter(
        "requests_per_passage", "Number of different mcq requests for one passage in training.", 2, low=1, high=8
    ),
    Parameter(
        "evaluation_requests",
        "What mcq examples of validation and test ask for. all asks for every question of the passage, mixed draws one "
        "request as in training.",
        "all",
        choices=("all", "mixed"),
    ),
)
"""What `data` of the configuration says about the requests of examples."""


def choose(labels: Sequence[str], *, shares: Mapping[str, float], wanted: int, rng: random.Random) -> list[Choice]:
    """Up to `wanted` requests over questions with these difficulty `labels`, drawn by the shares of
    {all, one, level, subset}, no two asking for the same counts; and one for the questions that none asks for."""
    kinds, weights = list(shares), list(shares.values())
    chosen: dict[tuple[str, ...], Choice] = {}
    for _ in range(4 * wanted):
        if len(chosen) == wanted:
            break
        choice = _draw(rng.choices(kinds, weights)[0], labels, rng)
        chosen.setdefault(tuple(sorted(labels[i] for i in choice)), choice)
    seen = {i for choice in chosen.values() for i in choice}
    rest = tuple(i for i in range(len(labels)) if i not in seen)
    return [*chosen.values(), rest] if rest else list(chosen.values())


def _draw(kind: str, labels: Sequence[str], rng: random.Random) -> Choice:
    everything = tuple(range(len(labels)))
    if kind == "one":
        return (rng.choice(everything),)
    if kind == "level":
        level = rng.choice(list(dict.fromkeys(labels)))
        return tuple(i for i in everything if labels[i] == level)
    if kind == "subset":
        return _some(labels, rng)
    return everything


def _some(labels: Sequence[str], rng: random.Random) -> Choice:
    """At least one question, with every count of each difficulty as likely as the others.

    A plain sample would seldom leave a difficulty out, and a model would never learn requests that do.
    """
    chosen: list[int] = []
    while not chosen:
        for level in dict.fromkeys(labels):
            those = [i for i, label in enumerate(labels) if label == level]
            chosen += rng.sample(those, rng.randint(0, len(those)))
    return tuple(sorted(chosen))


def pack(choice: Choice, fits: Callable[[Choice], bool]) -> list[Choice]:
    """`choice` broken into as few runs as greedily fit; every question must fit alone.

    The runs get their questions in turn where that fits, so that none is left with the last and hardest one alone.
    """
    greedy = _fill(choice, fits)
    dealt = [choice[start :: len(greedy)] for start in range(len(greedy))]
    return dealt if all(map(fits, dealt)) else greedy


def _fill(choice: Choice, fits: Callable[[Choice], bool]) -> list[Choice]:
    runs: list[Choice] = []
    for i in choice:
        if runs and fits((*runs[-1], i)):
            runs[-1] = (*runs[-1], i)
        else:
            runs.append((i,))
    return runs
