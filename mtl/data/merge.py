"""Passages that are known and passages that were rendered now, as one: the same that rendering all of them gives."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from mtl.data.near import FAR
from mtl.data.passages import Ints, Passages, Read
from mtl.data.rendered import KNOWN, Outcome
from mtl.data.rendering import Dropped
from mtl.data.shards import Examples
from mtl.data.splits import ORDER
from mtl.task import BadRow


@dataclass(frozen=True, slots=True)
class Merged:
    """outcome: of all passages that are rendered. files: of their examples by split, known ones first. wanted: the
    rows of those files, laid end to end, in the order of the data set."""

    outcome: Outcome
    files: dict[str, list[Examples]]
    wanted: dict[str, Ints]


class Merge:
    """todo: which passages have to be rendered. found: how many need not be."""

    def __init__(self, passages: Passages, known: Outcome) -> None:
        self._passages, self._known = passages, known
        self._rendered = np.flatnonzero(passages.near == FAR)
        self._place = _match(passages, known)[self._rendered]
        self._fresh = self._place < 0
        self.todo = self._rendered[self._fresh]
        self.found = len(self._rendered) - len(self.todo)

    def finish(self, fresh: Outcome) -> Merged:
        """With what came of those to do."""
        known, place = self._known, self._place
        passages, starts = np.zeros(len(place), KNOWN), np.zeros(len(place), dtype=np.int64)
        names = sorted({*known.names, *fresh.names})
        labels = np.zeros((len(place), len(names)), dtype=np.int64)
        for its, mine, rows in ((known, ~self._fresh, place[~self._fresh]), (fresh, self._fresh, slice(None))):
            passages[mine], labels[mine] = its.passages[rows], its.labelled(names)[rows]
            starts[mine] = its.starts()[rows]
        passages["digest"] = self._passages.digest[self._rendered]
        measures, files, wanted = {}, {}, {}
        for number, split in enumerate(ORDER):
            mine = passages["goal"] == number
            starts[mine & self._fresh] += len(known.measures[split])
            wanted[split] = _spread(starts[mine], passages["examples"][mine].astype(np.int64))
            measures[split] = np.concatenate([known.measures[split], fresh.measures[split]])[wanted[split]]
            files[split] = [*known.files[split], *fresh.files[split]]
        nothing: dict[str, list[Examples]] = {split: [] for split in ORDER}
        outcome = Outcome(passages, tuple(names), labels, self._dropped(fresh), measures, nothing)
        return Merged(outcome, files, wanted)

    def _dropped(self, fresh: Outcome) -> Dropped:
        now = np.full(len(self._known.passages), -1, dtype=np.int64)
        now[self._place[~self._fresh]] = np.flatnonzero(~self._fresh)
        places = [(now, self._known.dropped), (np.flatnonzero(self._fresh), fresh.dropped)]
        found = [(int(at[its[0]]), *its[1:]) for at, dropped in places for its in dropped]
        return sorted(its for its in found if its[0] >= 0)

    def count(self, read: Read, outcome: Outcome) -> None:
        """Into the tally and the quarantine of what was read."""
        tally, goals = read.tally, outcome.passages["goal"]
        left = outcome.passages["left"].astype(np.int64)
        for number, split in enumerate(ORDER):
            mine = goals == number
            if mine.any():
                tally.kept[split] += int(np.count_nonzero(left[mine]))
                tally.merged[split] += int(np.maximum(left[mine] - 1, 0).sum())
                sums = outcome.labels[mine].sum(axis=0).tolist()
                tally.labels.update({(split, name): n for name, n in zip(outcome.names, sums, strict=True) if n})
        of_people = self._of_people(read)
        for number, split in enumerate(ORDER):
            tally.feedback[split] += int(of_people[goals == number].sum())
        for passage, index, reason, field, detail in outcome.dropped:
            row = self._passages.own_row(self._rendered[passage], index)
            tally.feedback[ORDER[goals[passage]]] -= bool(read.people[row])
            tally.displaced[int(read.rows["source"][row])] += bool(of_people[passage] and not read.people[row])
            place, origin = read.place(row)
            bad = BadRow(reason, field, detail=detail)
            read.quarantine.add(bad, split=ORDER[goals[passage]], place=place, origin=origin)

    def _of_people(self, read: Read) -> Ints:
        """How many rows of each rendered passage come from people."""
        its = self._passages
        before = np.cumsum([0, *read.people[its.mine]])
        found: Ints = (before[its.stops] - before[its.starts])[self._rendered]
        return found


def _match(passages: Passages, known: Outcome) -> Ints:
    """Where each passage stands among the known ones; -1 for one that is not, or was made of something else."""
    mine, theirs = _sortable(passages.keys), _sortable(known.passages["key"])
    if not len(theirs):
        return np.full(len(mine), -1, dtype=np.int64)
    place = np.minimum(np.searchsorted(theirs, mine), len(theirs) - 1)
    same = (theirs[place] == mine) & (known.passages["digest"][place] == passages.digest).all(axis=1)
    return np.where(same, place, -1)


def _sortable(keys: Any) -> Any:
    """32-byte hashes in numpy's own text of bytes, which sorts as they do."""
    return np.ascontiguousarray(keys).view("S32").reshape(-1)


def _spread(starts: Ints, numbers: npt.NDArray[np.int64]) -> Ints:
    """All of `numbers[i]` numbers from `starts[i]` on, one after the other."""
    before = np.cumsum(numbers) - numbers
    return np.repeat(starts - before, numbers) + np.arange(int(numbers.sum()))
