"""A piece of work on a machine that shares no folder with the driver: it brings its files, and its results go back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from mtl.data.job import Round
from mtl.data.shards import forget_unpacked
from mtl.settings import load_settings
from mtl.settings.environment import set_variables
from mtl.store.scratch import scratch

T = TypeVar("T")
R = TypeVar("R")

Files = dict[Path, Any]
"""Their bytes, as arrays, by their place below the job's folder."""


@dataclass(frozen=True, slots=True)
class Brought:
    """Bytes of a file of the job, from `start` on. data: an array of them, or what another machine fetches it by."""

    place: Path
    start: int
    data: Any


def work_away(
    work: Round[T, R], item: T, brought: Sequence[Brought], fetch: Callable[[Any], Any] = np.asarray
) -> tuple[R, Files]:
    """The result, and the files that were made: in a folder of this machine, which is removed.

    fetch: from what was brought to the bytes.
    """
    set_variables({"TOKENIZERS_PARALLELISM": "false", "RAYON_NUM_THREADS": "1"})  # another piece is on the next core
    cache = load_settings().cache
    with scratch(cache / "scratch") as folder:
        job = replace(work.job, folder=folder, cache=cache, away=True)
        job.make_folders()
        for its in brought:
            _write(folder / its.place, its.start, fetch(its.data))
        try:
            result = work.do(job, item)
        finally:
            forget_unpacked()  # the files are removed with the folder
        made = {path.relative_to(folder) for path in folder.rglob("*") if path.is_file()}
        return result, {place: np.fromfile(folder / place, np.uint8) for place in made - {its.place for its in brought}}


def bring_back(work: Round[T, R], files: Files) -> None:
    """Puts what was made into the job's own folder."""
    for place, data in files.items():
        _write(work.job.folder / place, 0, data)


def _write(path: Path, start: int, data: Any) -> None:
    """Some bytes of a file, at their place in it; what lies between them is a hole, and nobody looks at it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("r+b" if path.exists() else "wb") as file:
        file.seek(start)
        file.write(data)
