"""Decoding: how a model's probabilities become a text. Greedy unless beams or candidates are asked for."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from mtl.errors import InputError
from mtl.fingerprint import sha256_bytes

MOST_BEAMS = 16
MOST_CANDIDATES = 16
MOST_PENALTY = 10.0
TOP = 5
"""Likeliest entries of the vocabulary among which a drawn answer chooses at each step: enough for other questions, too
few for nonsense."""


@dataclass(frozen=True, slots=True)
class Decoding:
    """num_beams: beams of beam search; 1 is greedy. length_penalty: a beam's score is its log-likelihood divided by
    length ** length_penalty, as in transformers. candidates: answers drawn for each text, from which the questions that
    a reader confirms are chosen; 1 takes the one answer as it is.

    Errors: InputError for values out of range, and for those that exclude each other.
    """

    num_beams: int = 1
    length_penalty: float = 1.0
    candidates: int = 1

    def __post_init__(self) -> None:
        _check_count("num_beams", self.num_beams, MOST_BEAMS)
        _check_count("candidates", self.candidates, MOST_CANDIDATES)
        penalty: Any = self.length_penalty
        if isinstance(penalty, bool) or not isinstance(penalty, int | float) or not abs(penalty) <= MOST_PENALTY:
            raise InputError(
                f"length_penalty must be a number from -{MOST_PENALTY:g} to {MOST_PENALTY:g}, got {penalty!r}",
                field="length_penalty",
            )
        if self.num_beams == 1 and not math.isclose(penalty, 1.0):
            raise InputError(
                f"length_penalty is {penalty:g}, but without beams it has no effect",
                field="length_penalty",
                hint="set num_beams to 2 or more, or leave length_penalty out",
            )
        if self.num_beams > 1 and self.candidates > 1:
            raise InputError(
                f"candidates ({self.candidates}) and num_beams ({self.num_beams}) exclude each other: candidates are "
                "drawn by sampling",
                field="candidates",
                hint="leave one of them out",
            )

    def __str__(self) -> str:
        if self.candidates > 1:
            return f"best of {self.candidates} candidates"
        if self.num_beams > 1:
            return f"beam search ({self.num_beams} beams, length penalty {self.length_penalty:g})"
        return "greedy"


def seed_of(inputs: str, number: int = 0) -> int:
    """The seed of the draws for an input, below 2 ** 60: the same input is answered alike in whatever batch."""
    return int(sha256_bytes(f"{number}\0{inputs}".encode())[:15], 16)


def _check_count(name: str, value: Any, most: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= most:
        raise InputError(f"{name} must be a whole number from 1 to {most}, got {value!r}", field=name)


GREEDY = Decoding()
