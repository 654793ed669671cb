"""The examples of a warm start: old rows are replayed beside the new ones."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mtl.data.dataset import Dataset
from mtl.training.parts import Division

NEW_AT_MOST = 25
"""How many times as often as in a full run a new example may be drawn. If 1% of the examples are new, they may be a
quarter of what is drawn, which is what the default of `replay_share` leaves for them."""


def known_examples(now: Dataset, before: Dataset, tasks: Sequence[str]) -> np.ndarray:
    """Of each training example of `now`, in the order of TokenisedSplit, whether `before` had it."""
    found: list[bool] = []
    for task in tasks:
        known = set(before.uids(task, "train"))
        found += [uid in known for uid in now.uids(task, "train")]
    return np.array(found, dtype=bool)


def replayed(known: np.ndarray, share: float) -> Division:
    """Within each task, `share` of the examples are drawn from the known ones, whatever is new in which task.

    A task without new examples replays only, and one without known examples has new ones only. Behind `of_people` the
    same goes for the examples of people and for the others: the share of people is what was asked for, so that a night
    on which only people had something new does not train on their few rows for all that is not replayed.

    More than `share` is replayed where there are so few new examples that each would be drawn more than NEW_AT_MOST
    times as often as in a full run.
    """
    return Division(known, share, ("old", "new"), others_at_most=NEW_AT_MOST)
