"""The first round as a whole: which chunks the sources have, which were read before, and reading the others."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from mtl.data.job import Job, Round
from mtl.data.pieces import Piece, Pieces, load_piece, piece_name, reading_rules
from mtl.data.reading import Reading, Unit, open_for, read_units, taken_for_reading
from mtl.data.runner import Choose
from mtl.errors import TransientError
from mtl.sources.base import Chunk
from mtl.tasks.table import get_task

PER_PROCESS = 8
"""Pieces of work for each process: smaller ones even out who has more to do."""
MOST = 64 * 2**20
"""Bytes of a piece of work, about, at most: what is worked on at the same time has to fit into memory."""


@dataclass(frozen=True, slots=True)
class Done:
    """What came of each unit of a task, and which of them were read now."""

    units: list[tuple[Unit, Piece]]
    fresh: frozenset[int]

    @property
    def known(self) -> int:
        """Rows that were not read again."""
        return sum(piece.seen for unit, piece in self.units if unit.number not in self.fresh)


def read_all(job: Job, pieces: Pieces, choose: Choose, *, shares: int, tick: Callable[[], None]) -> dict[str, Done]:
    """Everything that the sources hold, by task. shares: into how many parts what cannot be kept is cut."""
    units = _units(job, pieces, shares)
    found = {unit.number: pieces.take(unit.name, job.piece(unit.number)) for _, unit in units if unit.name}
    missing = [(task, unit) for task, unit in units if found.get(unit.number) is None]
    run(job, missing, choose, shares=shares, tick=tick)
    for _, unit in missing:
        piece = found[unit.number] = load_piece(job.piece(unit.number), unit.name)
        if piece is None:
            raise TransientError(f"what was read of {unit.chunk.files} is damaged", hint="prepare again")
        if unit.name:
            pieces.give(unit.name, piece.path)
    fresh = frozenset(unit.number for _, unit in missing)
    done: dict[str, list[tuple[Unit, Piece]]] = {task: [] for task in job.recipe.tasks}
    for task, unit in units:
        piece = found[unit.number]
        if piece is not None:
            done[task].append((unit, piece))
    return {task: Done(its, fresh) for task, its in done.items()}


def run(
    job: Job,
    units: Sequence[tuple[str, Unit]],
    choose: Choose,
    *,
    shares: int,
    tick: Callable[[], None],
    again: bool = False,
) -> None:
    """Reads units of tasks, about equally much in each piece of work."""
    if not units:
        return
    size = sum(unit.chunk.size for _, unit in units)
    room = min(size // (PER_PROCESS * shares) + 1, MOST)
    work: list[Reading] = []
    for task in dict.fromkeys(task for task, _ in units):
        for group in _groups([unit for its, unit in units if its == task], room):
            work.append(Reading(task, len(work), tuple(group), again))
    choose(size).map(Round(job, read_units, taken_for_reading), work, tick)


def _groups(units: Sequence[Unit], room: int) -> Iterable[list[Unit]]:
    group: list[Unit] = []
    for unit in units:
        group.append(unit)
        if sum(its.chunk.size for its in group) >= room:
            yield group
            group = []
    if group:
        yield group


def _units(job: Job, pieces: Pieces, shares: int) -> list[tuple[str, Unit]]:
    found: list[tuple[str, Unit]] = []
    for name in job.recipe.tasks:
        for number, config in enumerate(job.sources):
            if config.task != name:
                continue
            source = open_for(get_task(name), config, job.recipe.seed, cache=job.cache)
            rules = reading_rules(config, job.recipe)

            def known(chunk: Chunk, rules: str = rules) -> bool:
                return pieces.has(piece_name(chunk, rules))

            for split in source.splits():
                for chunk in source.chunks(split, shares, known):
                    local = source.local(chunk)
                    found.append((name, Unit(len(found), number, chunk, piece_name(chunk, rules), local)))
    return found
