"""What was read of a task, as columns: all rows, and the passages that they make up. Rules that look at all rows are
here: which split keeps a passage, what is held out, what has a near-duplicate in another split.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

import numpy as np
import numpy.typing as npt

from mtl.data.job import Place, Tally, split_number
from mtl.data.near import FAR, RANKS, Batch, find_near
from mtl.data.pieces import Piece
from mtl.data.quarantine import Quarantine
from mtl.data.reading import Unit
from mtl.data.splits import ORDER, held_out
from mtl.sources.names import printable
from mtl.sources.splits import SPLITS
from mtl.task import BadRow, Task

Ints = npt.NDArray[np.int64]
DIGEST = 16
_BATCH = 8192
_ROW = np.dtype(
    [
        *(("key", "u1", 32), ("record", "u1", 16)),
        *(("source", "<i8"), ("split", "<i8"), ("file", "<i8"), ("line", "<i8"), ("unit", "<i8")),
    ]
)
_OWN = np.array([ORDER.index(split) for split in SPLITS])
"""Places in ORDER of the splits by their place in SPLITS."""


def order_by_key(keys: Any) -> tuple[Any, ...]:
    """32-byte hashes as numbers that sort like them, the first ones last, as `lexsort` takes them."""
    words = np.ascontiguousarray(keys).view(">u8").reshape(-1, 4).astype(np.uint64)
    return words[:, 3], words[:, 2], words[:, 1], words[:, 0]


class Read:
    """Everything that was read of one task, in the order of keys and, for one key, of the sources."""

    def __init__(self, task: Task, done: Sequence[tuple[Unit, Piece]], people: Collection[int] = ()) -> None:
        """people: numbers of the sources whose rows come from people."""
        self.task, self._done = task, done
        self.tally = Tally()
        self.quarantine = Quarantine(task.name, self.tally)
        blocks = [np.zeros(0, _ROW)]
        for number, (unit, piece) in enumerate(done):
            self._count(unit, piece)
            blocks.append(_block(number, unit, piece))
        rows = np.concatenate(blocks)
        places = (rows["line"], rows["file"], rows["split"], rows["source"])
        order = np.lexsort((*places, *order_by_key(rows["key"])))
        self._rank = np.empty(len(order), dtype=np.int64)
        self._rank[order] = np.arange(len(order))
        self._starts = np.cumsum([0, *(len(block) for block in blocks[1:])])
        self.rows = rows[order]
        self.people = np.isin(self.rows["source"], sorted(people))
        """Whether each row comes from people."""

    def _count(self, unit: Unit, piece: Piece) -> None:
        split = unit.chunk.split
        self.tally.read[unit.source, split] += piece.seen
        self.tally.rows[split] += piece.seen
        for file, line, reason, field, content, detail in piece.refused:
            number, name = _files(unit, piece)[file]
            line += unit.chunk.first
            place = (unit.source, split_number(split), number, line)
            bad = BadRow(reason, field, detail=detail)
            self.quarantine.add(bad, split=split, place=place, origin=f"{name}:{line}", content=content)

    def place(self, row: int) -> tuple[Place, str]:
        """Of a row, and how it is called."""
        its = self.rows[row]
        unit, piece = self._done[its["unit"]]
        name = next(name for number, name in _files(unit, piece) if number == its["file"])
        place = (int(its["source"]), int(its["split"]), int(its["file"]), int(its["line"]))
        return place, f"{name}:{place[3]}"

    def signatures(self, passage_of: Ints) -> Iterator[Batch]:
        """passage_of: the passage of each row."""
        waiting: list[Batch] = []
        for number, (_, piece) in enumerate(self._done):
            records = piece.signatures()
            rows = self._rank[self._starts[number] + records["row"].astype(np.int64)]
            waiting.append((passage_of[rows], records["signature"]))
            if sum(len(passages) for passages, _ in waiting) >= _BATCH:
                yield _together(waiting)
                waiting = []
        if waiting:
            yield _together(waiting)


def _together(batches: Sequence[Batch]) -> Batch:
    passages, signatures = zip(*batches, strict=True)
    return np.concatenate(passages), np.concatenate(signatures)


def _files(unit: Unit, piece: Piece) -> list[tuple[int, str]]:
    return [(number, printable(name)) for number, name in unit.chunk.files] or piece.files


def _block(number: int, unit: Unit, piece: Piece) -> Any:
    rows = np.zeros(len(piece.rows), _ROW)
    for name in ("key", "record"):
        rows[name] = piece.rows[name]
    numbers = np.array([its for its, _ in _files(unit, piece)] or [0])
    rows["source"], rows["split"], rows["unit"] = unit.source, split_number(unit.chunk.split), number
    rows["file"], rows["line"] = numbers[piece.rows["file"]], piece.rows["line"] + unit.chunk.first
    return rows


@dataclass(frozen=True, slots=True)
class Passages:
    """One entry a passage, by rising key.

    own: place in ORDER of the split that keeps it. goal: where its rows go. put: whether it is held out because people
    spoke of it. digest: of what its examples are made of; equal digests of equal keys mean equal examples. near: FAR,
    or the rank of its near-duplicate (see RANKS). mine: rows that are its own, a slice of which, from starts to stops,
    is each passage's.
    """

    keys: Any
    own: npt.NDArray[np.uint8]
    goal: npt.NDArray[np.uint8]
    put: npt.NDArray[np.bool_]
    near: npt.NDArray[np.uint8]
    digest: Any
    mine: Ints
    starts: Ints
    stops: Ints

    def own_row(self, passage: int, index: int) -> int:
        """The row of one of its records."""
        return int(self.mine[self.starts[passage] + index])


def sort_out(read: Read, holdout: Mapping[str, float], threshold: float | None) -> Passages:
    """The passages of what was read; rows that a passage loses are refused and counted here."""
    rows = read.rows
    fresh = np.ones(len(rows), dtype=bool)
    fresh[1:] = (rows["key"][1:] != rows["key"][:-1]).any(axis=1)
    starts = np.flatnonzero(fresh)
    passage_of = np.cumsum(fresh) - 1
    split_of = _OWN[rows["split"]].astype(np.uint8)
    keys = rows["key"][starts]
    own, goal, put = _places(keys, split_of, read.people, starts, holdout)
    near = np.full(len(keys), FAR, dtype=np.uint8)
    if threshold:
        near = find_near(lambda: read.signatures(passage_of), goal, threshold, put=put)
    lost = split_of != own[passage_of]
    lost |= read.people & (own != goal)[passage_of]  # people teach, and do not judge
    mine = np.flatnonzero(~lost)
    first, last = np.searchsorted(passage_of[mine], np.arange(len(keys))), _stops(passage_of[mine], len(keys))
    found = Passages(keys, own, goal, put, near, _digests(read, mine, first, last, goal), mine, first, last)
    _count(read, found, passage_of, lost)
    return found


def _stops(passages: Ints, number: int) -> Ints:
    return np.searchsorted(passages, np.arange(number), side="right")


_TRAIN = ORDER.index("train")


def _places(
    keys: Any,
    split_of: npt.NDArray[np.uint8],
    people: npt.NDArray[np.bool_],
    starts: Ints,
    holdout: Mapping[str, float],
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8], npt.NDArray[np.bool_]]:
    """own, goal and put of each passage. split_of, people: of each row. starts: the first row of each passage.

    The sources decide, and then the holdout. Rows of people do so only for what would be train, or what they alone
    have: anybody could empty a held-out split with them.
    """
    if not len(starts):
        return np.zeros(0, np.uint8), np.zeros(0, np.uint8), np.zeros(0, bool)
    nobody = np.uint8(len(ORDER))
    own = np.minimum.reduceat(np.where(people, nobody, split_of), starts)
    asked = np.minimum.reduceat(np.where(people, split_of, nobody), starts)
    goal = own.copy()
    if holdout:
        for passage in np.flatnonzero(own == _TRAIN).tolist():
            goal[passage] = ORDER.index(held_out(keys[passage].tobytes().hex(), holdout))
    free = goal >= _TRAIN
    put = free & (asked < _TRAIN)
    own = np.where(free, np.minimum(own, asked), own)
    return own, np.where(free, own, goal), put


def _digests(read: Read, mine: Ints, starts: Ints, stops: Ints, goals: npt.NDArray[np.uint8]) -> Any:
    records = np.column_stack([read.rows["record"][mine], read.people[mine]]).astype(np.uint8)
    data, width = records.tobytes(), records.shape[1]
    found = (
        blake2b(data[start * width : stop * width], digest_size=DIGEST, key=b"%d" % goal).digest()
        for start, stop, goal in zip(starts.tolist(), stops.tolist(), goals.tolist(), strict=True)
    )
    return np.frombuffer(b"".join(found), np.uint8).reshape(-1, DIGEST)


def _count(read: Read, passages: Passages, passage_of: Ints, lost: npt.NDArray[np.bool_]) -> None:
    """Moves rows to the split they go to, and refuses those of passages that another split keeps, or nearly has.

    lost: rows that their passage does without.
    """
    tally = read.tally
    moved = passages.own != passages.goal
    for own, goal in {
        (int(own), int(goal)) for own, goal in zip(passages.own[moved], passages.goal[moved], strict=True)
    }:
        which = (passages.own == own) & (passages.goal == goal)
        number = int((passages.stops - passages.starts)[which].sum())
        tally.rows[ORDER[own]] -= number
        tally.rows[ORDER[goal]] += number
    for row in np.flatnonzero(lost).tolist():
        split = SPLITS[read.rows["split"][row]]
        passage = passage_of[row]
        reason = f"passage in {ORDER[passages.goal[passage]]}"
        _refuse(read, row, reason, split, by_people=bool(passages.put[passage]))
    for passage in np.flatnonzero(passages.near != FAR).tolist():
        for row in passages.mine[passages.starts[passage] : passages.stops[passage]].tolist():
            where, by_people = RANKS[passages.near[passage]]
            _refuse(read, row, f"near-duplicate in {where}", ORDER[passages.goal[passage]], by_people=by_people)


def _refuse(read: Read, row: int, reason: str, split: str, *, by_people: bool) -> None:
    """by_people: the row makes way for what people said."""
    place, origin = read.place(row)
    read.tally.displaced[place[0]] += by_people and not read.people[row]
    read.quarantine.add(BadRow(reason, read.task.columns[0]), split=split, place=place, origin=origin)
