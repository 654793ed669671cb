"""What the models of a report write, by workers of a Ray cluster: the same calls as here, all sides at the same time.

A call is one group of inputs (`mtl.evaluation.groups`). A worker holds one model at a time, takes kept answers from the
store and puts new ones into it, as one process does.
"""

from __future__ import annotations

import gc
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch

from mtl.cluster import connected
from mtl.cluster.actors import Answer, Workers, workers
from mtl.cluster.folders import SentFolder, receive, send
from mtl.errors import InputError
from mtl.evaluation.consistency import Asked, Checks
from mtl.evaluation.engine import EnginesDisagree, Mode
from mtl.evaluation.groups import calls_of
from mtl.evaluation.report import BASE, Origin
from mtl.evaluation.side import Limits, Side
from mtl.evaluation.writing import Jobs, Written
from mtl.evaluation.writing import write_all as write_here
from mtl.progress import report as report_progress
from mtl.store.base import ObjectStore
from mtl.store.open import open_store
from mtl.tasks.table import get_task


def write_all(
    models: Mapping[str, Path],
    jobs: Jobs,
    engine: str,
    precision: str,
    checks: Checks | None,
    store: ObjectStore | None,
    *,
    files: Callable[[Path], Mapping[str, Path]],
    gpu: bool = False,
) -> Written:
    """As `mtl.evaluation.writing.write_all`. The tasks are those of this project, which the workers have too.

    seconds: of a side, the sum over its workers. files: what travels of a model folder, by its name in it.
    gpu: whether each worker takes one.
    Errors: also TransientError where the cluster is gone; InputError where its machines are too different.
    """
    calls = [call for task in jobs.max_new_tokens for call in _calls(jobs, task)]
    if not calls:
        return write_here(models, jobs, engine, precision, checks, store)
    with connected() as ray:
        sent = {folder: send(ray, files(folder)) for folder in dict.fromkeys(models.values())}
        make = _Make(
            models={name: sent[folder] for name, folder in models.items()},
            limits=jobs.limits,
            engine=engine,
            precision=precision,
            composing=bool(jobs.chosen()),
            probe=jobs.probe(),
            store=None if store is None else store.uri,
            threads=torch.get_num_threads(),
        )
        with workers(make, most=len(models) * len(calls), cpus=make.threads, gpu=gpu) as pool:
            tally = _Tally()
            texts = _texts(pool, models, jobs, calls, tally)
            asked = [] if checks is None else _asked(pool, jobs, checks, texts, tally)
    assert tally.mode is not None, "there was a call"
    origin = {name: Origin(tally.answered[name], tally.taken[name]) for name in models}
    return Written(tally.mode, texts, {name: round(tally.seconds[name], 3) for name in models}, asked, origin)


@dataclass(frozen=True, slots=True)
class _Call:
    """One group of inputs of one task; of which side, its queue says."""

    task: str
    composed: bool
    max_new_tokens: int
    inputs: list[str]


@dataclass(frozen=True, slots=True)
class _Texts:
    """texts: one for each input; None where CTranslate2 writes something else than transformers."""

    texts: list[str] | None
    mode: Mode
    taken: int
    seconds: float


@dataclass
class _Tally:
    """What is added up over the calls of each side."""

    mode: Mode | None = None
    answered: Counter[str] = field(default_factory=Counter)
    taken: Counter[str] = field(default_factory=Counter)
    seconds: Counter[str] = field(default_factory=Counter)

    def add(self, name: str, call: _Call, found: _Texts) -> dict[str, str]:
        """input -> text of one call. Errors: EnginesDisagree, InputError."""
        if found.texts is None:
            raise EnginesDisagree
        self.mode = self.mode or found.mode
        if found.mode != self.mode:
            raise InputError(
                f"the machines of the Ray cluster generate differently: by {found.mode} and by {self.mode}",
                field="evaluate.engine",
                hint="set evaluate.engine and evaluate.precision to what all of them have, e.g. torch and fp32",
            )
        self.answered[name] += len(call.inputs)
        self.taken[name] += found.taken
        self.seconds[name] += found.seconds  # type: ignore[assignment]  # a Counter of seconds
        return dict(zip(call.inputs, found.texts, strict=True))


def _calls(jobs: Jobs, task: str) -> list[_Call]:
    inputs = [jobs.examples[index].inputs for index in jobs.of(task)]
    groups = calls_of(inputs, most=jobs.limits.most)
    return [_Call(task, task in jobs.chosen(), jobs.max_new_tokens[task], group) for group in groups]


def _texts(
    pool: Workers, models: Mapping[str, Path], jobs: Jobs, calls: Sequence[_Call], tally: _Tally
) -> dict[str, list[str]]:
    """One text an example of each model."""
    number = Counter((example.task, example.inputs) for example in jobs.examples)
    done, total = 0, len(models) * len(jobs.examples)
    report_progress("evaluate", done, total, f"{', '.join(models)} on the Ray cluster")
    found: dict[tuple[str, str, str], str] = {}
    for name, place, texts in pool.answers({name: [(name, call) for call in calls] for name in models}):
        call = calls[place]
        written = tally.add(name, call, texts)
        found |= {(name, call.task, inputs): text for inputs, text in written.items()}
        done += sum(number[call.task, inputs] for inputs in written)
        report_progress("evaluate", done, total, f"{name} {call.task}")
    return {name: [found.get((name, own.task, own.inputs), "") for own in jobs.examples] for name in models}


def _asked(pool: Workers, jobs: Jobs, checks: Checks, texts: Mapping[str, Sequence[str]], tally: _Tally) -> list[Asked]:
    """What each model but the base asks about its own texts."""
    task, limits = checks.asker.name, jobs.limits
    prompts = {name: checks.prompts(own) for name, own in texts.items() if name != BASE}
    calls = {
        name: [_Call(task, False, jobs.max_new_tokens[task], group) for group in calls_of(own, most=limits.most)]
        for name, own in ((name, list(by_claim.values())) for name, by_claim in prompts.items())
    }
    total = sum(map(len, calls.values()))
    found: dict[str, dict[str, str]] = {name: {} for name in prompts}
    queues = {name: [(name, call) for call in own] for name, own in calls.items()}
    for done, (name, place, answers) in enumerate(pool.answers(queues), start=1):
        found[name] |= tally.add(name, calls[name][place], answers)
        report_progress("evaluate", done, total, f"{name} asks about its own texts")
    return [checks.asked(own, [found[name][inputs] for inputs in own.values()]) for name, own in prompts.items()]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Make:
    """What a worker needs to be each side.

    store: URI of the driver's, whatever MTL_STORE is where the worker runs; its credentials are those of its machine.
    threads: of the process that evaluates, because kept answers name them.
    """

    models: Mapping[str, SentFolder]
    limits: Limits
    engine: str
    precision: str
    composing: bool
    probe: Sequence[tuple[str, int]]
    store: str | None
    threads: int

    def __call__(self) -> Answer:
        torch.set_num_threads(self.threads)
        return _Worker(self, None if self.store is None else open_store(self.store))

    def side(self, name: str, store: ObjectStore | None) -> Side:
        return Side(
            name,
            receive(self.models[name]),
            self.limits,
            engine=self.engine,
            precision=self.precision,
            composing=self.composing,
            probe=self.probe,
            store=store,
        )


class _Worker:
    """One side at a time, which answers calls."""

    def __init__(self, make: _Make, store: ObjectStore | None) -> None:
        self._make, self._store = make, store
        self._side: Side | None = None

    def __call__(self, asked: tuple[str, _Call]) -> _Texts:
        name, call = asked
        start = time.monotonic()
        if self._side is None or self._side.name != name:
            self._side = None
            gc.collect()  # the model before it
            side = self._make.side(name, self._store)
            try:
                side.check_engine()
            except EnginesDisagree:
                return _Texts(None, side.mode, 0, 0.0)
            self._side = side
        side, before = self._side, self._side.origin.kept
        write = side.writer(get_task(call.task), composed=call.composed)
        texts = write(call.inputs, max_new_tokens=call.max_new_tokens)
        return _Texts(texts, side.mode, side.origin.kept - before, time.monotonic() - start)
