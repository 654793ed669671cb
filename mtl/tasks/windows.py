"""Later windows of a long text: its lead, and then sentences from further on, so that training sees all of it. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence

_SENTENCE = re.compile(r"(?<=[.!?]) ")


def windows(
    text: str, *, room: int, lead_share: float, most: int, count: Callable[[str], int]
) -> Iterator[tuple[int, str]]:
    """(number from 1, lead + window) of up to `most` windows over what lies behind the first `room` tokens of `text`.

    room: tokens that the text may take. lead_share: of `room`, how much the lead gets; whole sentences, at least one.
    count: tokens of a text, with one for its end.
    """
    sentences = _SENTENCE.split(text)
    sizes = [count(sentence) - 1 for sentence in sentences]
    begin = _fitting(sizes, 0, room)
    lead = max(1, _fitting(sizes, 0, round(lead_share * room)))
    left = room - sum(sizes[:lead])
    for number in range(1, most + 1):
        if begin >= len(sentences):
            return
        end = max(begin + 1, _fitting(sizes, begin, left))
        yield number, " ".join([*sentences[:lead], *sentences[max(lead, begin) : end]])
        begin = end


def _fitting(sizes: Sequence[int], begin: int, room: int) -> int:
    """The end of the longest run of sentences from `begin` that takes at most `room` tokens."""
    end = begin
    while end < len(sizes) and sizes[end] <= room:
        room -= sizes[end]
        end += 1
    return end
