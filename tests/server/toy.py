"""A served model whose texts a function of the test writes: for what the server does around a model."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from mtl.server.served import OneModel, ServedModel
from mtl.serving.generate import Generator
from mtl.tasks.table import TASKS
from tests.support.tiny_model import plain_tokenizer

LIMIT = 200


def echo(inputs: Sequence[str]) -> list[str]:
    return [f"Summary: {text.rpartition(' ')[2]}" for text in inputs]


class Writer:
    """Writes when it may, and remembers what it was given: a list of inputs for each batch."""

    def __init__(self, write: Callable[[Sequence[str]], list[str]] = echo) -> None:
        self.write = write
        self.batches: list[list[str]] = []
        self.may, self.begun = threading.Event(), threading.Event()
        self.may.set()

    def __call__(self, inputs: Sequence[str], *, max_new_tokens: int) -> list[str]:
        self.batches.append(list(inputs))
        self.begun.set()
        assert self.may.wait(60), "the test let it write"
        return self.write(inputs)


def served(writer: Writer, *, version: int | None = 7, tasks: Iterable[str] = TASKS) -> OneModel:
    generator = Generator(writer, plain_tokenizer(), max_input_tokens=LIMIT, max_new_tokens=dict.fromkeys(tasks, 16))
    return OneModel(ServedModel("toy", version, 3, "2026-11-27T00:00:00+00:00", Path(), generator))
