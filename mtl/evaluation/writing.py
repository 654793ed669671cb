"""What the models of a report write: each answers everything, and is let go before the next."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from mtl.decoding import GREEDY
from mtl.evaluation.candidates import can_choose
from mtl.evaluation.consistency import Asked, Checks
from mtl.evaluation.engine import PROBES, Mode
from mtl.evaluation.report import BASE, Origin
from mtl.evaluation.side import Limits, Side
from mtl.example import Example
from mtl.progress import report as report_progress
from mtl.store.base import ObjectStore
from mtl.task import Task


@dataclass(frozen=True, slots=True)
class Jobs:
    """What every model answers. max_new_tokens: task -> limit."""

    examples: Sequence[Example]
    tasks: Mapping[str, Task]
    max_new_tokens: Mapping[str, int]
    limits: Limits

    def of(self, task: str) -> list[int]:
        return [index for index, example in enumerate(self.examples) if example.task == task]

    def chosen(self) -> list[str]:
        """The tasks whose answers are composed of candidates."""
        if self.limits.decoding.candidates == 1:
            return []
        return [name for name in self.max_new_tokens if can_choose(self.tasks[name])]

    def decoded(self) -> str:
        """How the answers are generated, for the report."""
        chosen = self.chosen()
        others = [name for name in self.max_new_tokens if name not in chosen]
        if not chosen or not others:
            return str(self.limits.decoding if chosen or self.limits.decoding.candidates == 1 else GREEDY)
        return f"{self.limits.decoding} ({', '.join(chosen)}), {GREEDY} ({', '.join(others)})"

    def probe(self) -> list[tuple[str, int]]:
        """(inputs, limit) of a few examples of each task."""
        return [
            (self.examples[index].inputs, limit)
            for task, limit in self.max_new_tokens.items()
            if task not in self.chosen()
            for index in self.of(task)[:PROBES]
        ]


@dataclass(frozen=True, slots=True)
class Written:
    """texts: model -> one for each example. asked: what each model but the base asks about its own texts."""

    mode: Mode
    texts: dict[str, list[str]] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    asked: list[Asked] = field(default_factory=list)
    origin: dict[str, Origin] = field(default_factory=dict)


Write = Callable[[Mapping[str, Path], "Jobs", str, str, "Checks | None", "ObjectStore | None"], Written]
"""As `write_all`."""


def write_all(
    models: Mapping[str, Path],
    jobs: Jobs,
    engine: str,
    precision: str,
    checks: Checks | None,
    store: ObjectStore | None,
) -> Written:
    """What all models write, one of them in memory at a time. Errors: EnginesDisagree, InputError, TransientError."""
    written: Written | None = None
    for number, (name, folder) in enumerate(models.items()):
        start = time.monotonic()
        side = Side(
            name,
            folder,
            jobs.limits,
            engine=engine,
            precision=precision,
            composing=bool(jobs.chosen()),
            probe=jobs.probe(),
            store=store,
        )
        written = written or Written(side.mode)
        side.check_engine()
        before, total = number * len(jobs.examples), len(models) * len(jobs.examples)
        written.texts[name] = _texts(side, jobs, before=before, total=total)
        written.seconds[name] = round(time.monotonic() - start, 3)
        if checks is not None and name != BASE:  # nobody has taught the base to ask
            ask = side.writer(
                checks.asker, progress=partial(report_progress, "evaluate", note=f"{name} asks about its own texts")
            )
            limit = jobs.max_new_tokens[checks.asker.name]
            written.asked.append(checks.ask(ask, written.texts[name], max_new_tokens=limit))
        written.origin[name] = side.origin
        if side.loaded:
            del side
            gc.collect()
    assert written is not None, "there is always a candidate"
    return written


def _texts(side: Side, jobs: Jobs, *, before: int, total: int) -> list[str]:
    """One text an example; task by task, because their limits differ. before: examples of other sides, which are done;
    total: of all sides."""
    answers = [""] * len(jobs.examples)
    for task, limit in jobs.max_new_tokens.items():
        own = jobs.of(task)
        tell = partial(advance, before=before, total=total, note=f"{side.name} {task}")
        tell(0, len(own))  # the first texts may take minutes
        write = side.writer(jobs.tasks[task], composed=task in jobs.chosen(), progress=tell)
        texts = write([jobs.examples[index].inputs for index in own], max_new_tokens=limit)
        for index, text in zip(own, texts, strict=True):
            answers[index] = text
        before += len(own)
    return answers


def advance(done: int, _: int, *, before: int, total: int, note: str) -> None:
    """Tell how far all sides together are."""
    report_progress("evaluate", before + done, total, note)
