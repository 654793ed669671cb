"""Batching: requests of many callers are answered together, by one thread.

    batcher = Batcher(models)
    served = batcher.submit(Wanted("summarize", (text,))).future.result()

Requests that can share a batch are those of one task, length limit and decoding. The thread takes the oldest request,
waits a few milliseconds for others that fit, and answers them with one model: `models.current()` is called by this
thread alone, between two batches, and nothing else uses a model. So a model can be exchanged inside `current()`.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

from mtl.decoding import GREEDY, Decoding
from mtl.errors import InternalError, MtlError, TransientError
from mtl.server.marks import Marked, looked_at, read
from mtl.server.served import ServedModel, ServedModels
from mtl.serving.generate import Generator, Prompt

_log = logging.getLogger(__name__)

WAIT_SECONDS = 0.005
"""How long a request waits for others to be answered with it, if nothing else is being answered."""
MOST_WAITING = 256
MOST_IN_BATCH = 32
"""Texts from which no more requests join a batch, so that nobody waits for the answers of too many others."""
CLOSING_SECONDS = 5.0
"""How long the end of the server waits for a batch: when it ends, all callers have their answer or have left."""


class QueueFull(TransientError):
    """As many texts wait already as may."""

    kind = "queue_full"


class Closed(TransientError):
    """The server ends."""

    kind = "closed"


@dataclass(frozen=True, slots=True)
class Wanted:
    """What one caller asks for. request: values of the task's parameters, empty for its default. marks: let the reader
    look at the questions of each answer. first: what errors call the first text, where others came before it."""

    task: str
    texts: tuple[str, ...]
    request: Mapping[str, Any] = field(default_factory=dict)
    decoding: Decoding = GREEDY
    max_new_tokens: int | None = None
    truncate: bool = False
    marks: bool = False
    first: int = 1

    @property
    def group(self) -> tuple[Any, ...]:
        """Requests of the same group can share a batch."""
        return self.task, self.max_new_tokens, self.decoding


@dataclass(frozen=True, slots=True)
class Served:
    """The answers to one request, all of one model, in the order of its texts; of a text that is refused, why."""

    model: ServedModel
    answers: tuple[Marked | MtlError, ...]


@dataclass(slots=True, eq=False)
class Ticket:
    """A request in the queue. version: of the model of its batch, once that has begun.

    future: the answers to come. If it is cancelled before its batch begins, it costs nothing more. Its errors: MtlError
    if the request is wrong for every text, or the model failed.
    """

    wanted: Wanted
    future: Future[Served]
    since: float
    version: int | None = None


_NOTHING = None, float("inf")
_Ready = tuple[Ticket, Sequence[Prompt | MtlError]]
"""A request and what the model is given for each of its texts, or why it is not."""


class Batcher:
    """A queue and the thread that empties it. wait: seconds. most_waiting: texts in the queue.

    observe: called with the number of texts of each batch.
    """

    def __init__(
        self,
        models: ServedModels,
        *,
        wait: float = WAIT_SECONDS,
        most_waiting: int = MOST_WAITING,
        observe: Callable[[int], None] = lambda texts: None,
    ) -> None:
        self._models, self._wait, self._most_waiting, self._observe = models, wait, most_waiting, observe
        self._queue: list[Ticket] = []
        self._changed = threading.Condition()
        self._closing = False
        self._writing: tuple[int | None, float] = _NOTHING
        self._thread = threading.Thread(target=self._work, name="mtl-serve-batches", daemon=True)
        self._thread.start()

    @property
    def waiting(self) -> int:
        """Texts in the queue."""
        with self._changed:
            return self._count()

    @property
    def alive(self) -> bool:
        """Whether what is submitted will be answered."""
        return self._thread.is_alive()

    def waits_for(self, ticket: Ticket) -> int | None:
        """The version that has begun to answer the ticket, or is still at a batch that began before the ticket came."""
        version, since = self._writing
        return version if ticket.version is None and since <= ticket.since else ticket.version

    def submit(self, wanted: Wanted) -> Ticket:
        """Errors: QueueFull, Closed."""
        ticket = Ticket(wanted, Future(), time.monotonic())
        with self._changed:
            if self._closing:
                raise _closed()
            waiting = self._count()
            if waiting and waiting + len(wanted.texts) > self._most_waiting:
                raise QueueFull(
                    f"{waiting} texts wait to be answered, and at most {self._most_waiting} may",
                    hint="send the request again later, or raise MTL_SERVE_QUEUE",
                )
            self._queue.append(ticket)
            self._changed.notify_all()
        return ticket

    def close(self, seconds: float = CLOSING_SECONDS) -> None:
        """Answer what is in the queue, for so long at most, and end. Requests from now on are refused."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        self._thread.join(seconds)
        if not self._thread.is_alive():
            return
        _log.warning("a batch was still being answered after %g s: the server ends without it", seconds)
        with self._changed:
            left, self._queue = self._queue, []
        for ticket in left:
            if ticket.future.set_running_or_notify_cancel():
                ticket.future.set_exception(_closed())

    def _count(self) -> int:
        self._queue = [ticket for ticket in self._queue if not ticket.future.cancelled()]
        return sum(len(ticket.wanted.texts) for ticket in self._queue)

    def _work(self) -> None:
        while batch := self._take():
            try:
                self._serve(batch)
            except BaseException as error:  # there is no model; a panic of a library in Rust is no Exception
                for ticket in batch:
                    if not ticket.future.done():
                        ticket.future.set_exception(_own(error))
            self._writing = _NOTHING
            batch.clear()  # its answers hold the model, which must not stay in memory until somebody asks again

    def _take(self) -> list[Ticket]:
        """The next batch; empty once the batcher is closed and all is answered."""
        with self._changed:
            while True:
                if not self._count():
                    if self._closing:
                        return []
                    self._changed.wait()
                    continue
                batch = self._alike()
                left = self._queue[0].since + self._wait - time.monotonic()
                if left <= 0 or self._closing or _texts(batch) >= MOST_IN_BATCH:
                    break
                self._changed.wait(left)
            self._queue = [ticket for ticket in self._queue if ticket not in batch]
        return [ticket for ticket in batch if ticket.future.set_running_or_notify_cancel()] or self._take()

    def _alike(self) -> list[Ticket]:
        """The oldest request, and those after it that fit into its batch."""
        oldest = self._queue[0]
        batch = [oldest]
        for ticket in self._queue[1:]:
            fits = _texts(batch) + len(ticket.wanted.texts) <= MOST_IN_BATCH
            if ticket.wanted.group == oldest.wanted.group and fits:
                batch.append(ticket)
        return batch

    def _serve(self, batch: Sequence[Ticket]) -> None:
        model = self._models.current()
        self._writing = model.version, time.monotonic()
        for ticket in batch:
            ticket.version = model.version
        self._observe(_texts(batch))
        ready = []
        for ticket in batch:
            try:
                ready.append((ticket, _prompts(model.generator, ticket.wanted)))
            except BaseException as error:  # of this request alone
                ticket.future.set_exception(_own(error))
        if ready:
            _settle(model, ready)


def _texts(batch: Sequence[Ticket]) -> int:
    return sum(len(ticket.wanted.texts) for ticket in batch)


def _closed() -> Closed:
    return Closed("this server ends", hint="send the request again: another server answers it")


def _own(error: BaseException) -> MtlError:
    if isinstance(error, MtlError):
        return error
    _log.error("a request could not be answered", exc_info=error)
    return InternalError("the model could not answer", hint="the server's log says why")


def _prompts(generator: Generator, wanted: Wanted) -> list[Prompt | MtlError]:
    """What the model is given for each text, or why it is not. Errors: of the request, whatever its texts."""
    generator.check(wanted.task, request=wanted.request, max_new_tokens=wanted.max_new_tokens, decoding=wanted.decoding)
    found: list[Prompt | MtlError] = []
    options: Any = {"request": wanted.request, "truncate": wanted.truncate}
    for number, text in enumerate(wanted.texts, start=wanted.first):
        name = "the text" if len(wanted.texts) == wanted.first == 1 else f"text {number}"
        try:
            found.append(generator.prompt(text, wanted.task, name=name, **options))
        except MtlError as error:
            found.append(error)
    return found


def _settle(model: ServedModel, ready: Sequence[_Ready]) -> None:
    """Answer the requests together; if that fails, one by one, so that a request can only spoil its own answer."""
    try:
        found = _answered(model.generator, ready)
    except BaseException as error:
        if len(ready) > 1:
            _log.warning("a batch of %d requests failed (%s); each is tried alone", len(ready), type(error).__name__)
            for one in ready:
                _settle(model, [one])
        else:
            ready[0][0].future.set_exception(_own(error))
        return
    for (ticket, prepared), own in zip(ready, found, strict=True):
        answers = iter(own)
        ticket.future.set_result(
            Served(model, tuple(one if isinstance(one, MtlError) else next(answers) for one in prepared))
        )


def _answered(generator: Generator, ready: Sequence[_Ready]) -> list[list[Marked]]:
    """For each request, the answers to those of its texts that are not refused. All are of one group."""
    wanted = ready[0][0].wanted
    prompts = [[one for one in prepared if isinstance(one, Prompt)] for _, prepared in ready]
    flat = [prompt for own in prompts for prompt in own]
    if not flat:
        return [[] for _ in ready]
    answers = iter(generator.answer(flat, wanted.task, max_new_tokens=wanted.max_new_tokens, decoding=wanted.decoding))
    found = []
    for (ticket, _), own in zip(ready, prompts, strict=True):
        written = [next(answers) for _ in own]
        if ticket.wanted.marks and wanted.decoding.candidates == 1:
            found.append(read(generator.reader, wanted.task, own, written))
        else:
            found.append([looked_at(wanted.task, answer) for answer in written])
    return found
