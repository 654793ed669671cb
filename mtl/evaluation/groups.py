"""Which inputs a model answers in one call: a function of the inputs alone, so that an answer can be kept.

The other inputs of a batch change the last bits of what is computed for an input, and so may change a word. So
answers are kept by the call, and the calls are fixed before anybody looks for kept ones. They are formed so that a few
inputs more or fewer change few of them: inputs are sorted into a tree, first by their length, then by their hash, and
a branch with at most `most` inputs is one group. An input that is added changes one group.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from mtl.fingerprint import sha256_bytes

LEAST = 32
"""Inputs that a call may always hold: more make a call on two cores hardly faster (docs/log.md)."""
_STEP, _BITS = 1.25, 6
"""A length class is a quarter longer than the one before; there are 64."""


def most_of(*, batch_tokens: int, max_input_tokens: int) -> int:
    """Most inputs of a group: as many of the longest as a batch takes, which is what a large GPU is fed with."""
    return max(LEAST, batch_tokens // max_input_tokens)


def calls_of(inputs: Sequence[str], *, most: int) -> list[list[str]]:
    """The distinct inputs of each group, in their order."""
    distinct = list(dict.fromkeys(inputs))
    return [[distinct[index] for index in group] for group in groups_of(distinct, most=most)]


def groups_of(texts: Sequence[str], *, most: int) -> list[list[int]]:
    """Indices of distinct texts by group; groups with the longest texts first, so that memory runs out at once or
    never, and the longest texts of a group first. Neither depends on the order of the texts.
    """
    keys = [_key(text) for text in texts]
    groups = [sorted(group, key=lambda i: (-len(texts[i]), keys[i])) for group in _split(range(len(texts)), keys, most)]
    return sorted(groups, key=lambda group: (-len(texts[group[0]]), keys[group[0]]))


def _split(indices: Sequence[int], keys: Sequence[str], most: int, bit: int = 0) -> Iterator[list[int]]:
    """The groups below one branch of the tree; `bit` is the next to divide by."""
    if len(indices) <= most or bit == len(keys[0]):
        if indices:
            yield list(indices)
        return
    for side in "01":
        yield from _split([index for index in indices if keys[index][bit] == side], keys, most, bit + 1)


def _key(text: str) -> str:
    """Bits: those of the length class, then those of the hash."""
    length = min(2**_BITS - 1, int(math.log(max(1, len(text)), _STEP)))
    return f"{length:0{_BITS}b}{int(sha256_bytes(text.encode()), 16):0256b}"
