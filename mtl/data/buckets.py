"""Buckets: records spread over files by the hash of their passage, so that those of one passage meet again.

Memory holds one bucket at a time, and the order that comes out (by hash) owes nothing to the order that went in, nor
to the number of processes that put records in.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from types import TracebackType
from typing import Any

from mtl.task import Task
from mtl.tasks.text import passage_key

COUNT = 64


@dataclass(frozen=True, slots=True)
class Piece:
    """One record of a passage and where it came from."""

    record: Any
    split: str
    origin: str
    source: int


class Buckets:
    """Files `folder/NN.jsonl` of one task. Write all, then read."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True)
        self._stack = ExitStack()
        self._paths = [folder / f"{number:02}.jsonl" for number in range(COUNT)]
        self._files = [self._stack.enter_context(path.open("w", encoding="utf-8")) for path in self._paths]
        self._added = 0

    def __enter__(self) -> Buckets:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def add(self, task: Task, record: Any, *, split: str, origin: str, source: int) -> None:
        key = passage_key(task.passage(record))
        line = json.dumps([key, self._added, split, origin, source, task.dump(record)], ensure_ascii=False)
        self._files[int(key[:4], 16) * COUNT >> 16].write(line + "\n")
        self._added += 1

    def passages(self, task: Task) -> Iterator[tuple[str, list[Piece]]]:
        """(hash of a passage, its records in the order of the source), by rising hash."""
        self._stack.close()
        for path in self._paths:
            with path.open(encoding="utf-8") as file:
                lines = sorted((json.loads(line) for line in file), key=lambda line: (line[0], line[1]))
            for key, group in groupby(lines, key=lambda line: str(line[0])):
                yield (
                    key,
                    [Piece(task.load(record), split, origin, source) for _, _, split, origin, source, record in group],
                )
