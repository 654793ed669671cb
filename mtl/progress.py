"""Progress: long work says how far it is, without knowing whether a terminal, a flow or nobody listens."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ProgressEvent:
    """`done` of `total` units (0: nobody knows yet) of a stage (prepare, train, …); `note` is for people."""

    stage: str
    done: int
    total: int
    note: str = ""


Listener = Callable[[ProgressEvent], None]
_listeners: list[Listener] = []


def report(stage: str, done: int, total: int, note: str = "") -> None:
    """Tell every listener. Cheap where nobody listens."""
    for listener in tuple(_listeners):
        listener(ProgressEvent(stage, done, total, note))


@contextmanager
def subscribe(listener: Listener) -> Iterator[None]:
    """Have `listener` called, from any thread of this process, until the block ends."""
    _listeners.append(listener)
    try:
        yield
    finally:
        _listeners.remove(listener)
