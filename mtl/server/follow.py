"""A server that follows the champion: a thread watches the journal, loads what became champion, and switches to it.

    with FollowedChampion(store, "mtl-flan-t5", cache=workspace.cache) as champion:
        model = champion.current()  # once for each batch

The new model is pulled, verified, loaded and tried beside the running one, which answers meanwhile and is let go after
its last batch. A rollback is followed in the same way. What does not load changes nothing: the old one goes on, and the
fault is reported until the champion loads or is another one. (docs/adr/0034-a-champion-is-loaded-whole.md)
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from mtl.errors import NotFoundError, TransientError
from mtl.release.journal import Change, Journal, newest_journal, read_journal
from mtl.release.refs import resolve_ref
from mtl.server.alarm import Alarm, Fault, utc_now
from mtl.server.memory import give_back
from mtl.server.served import ServedModel
from mtl.serving.generate import load_generator
from mtl.store.base import ObjectStore

_log = logging.getLogger(__name__)
EVERY = 2.0
"""Seconds between two looks at the journal, on average."""
SWITCHED, FAILED = "server.switched", "server.failed"
OnEvent = Callable[[str, Mapping[str, Any]], None]


@dataclass(frozen=True, slots=True)
class _Ready:
    """A model that is loaded and does not answer yet, for the change that made it champion."""

    model: ServedModel
    change: Change
    seconds: float


class FollowedChampion:
    """The champion of a model, as `ServedModels`.

    cache: where releases are pulled to. on_event: called in a thread of its own with a name (`server.switched`,
    `server.failed`) and what happened. wait: begin without a model if there is none yet that loads; `current` then
    raises TransientError.
    """

    def __init__(
        self,
        store: ObjectStore,
        name: str,
        *,
        cache: Path,
        on_event: OnEvent = lambda name, payload: None,
        every: float = EVERY,
        wait: bool = False,
    ) -> None:
        self._store, self._name, self._cache = store, name, cache
        self._on_event, self._every, self._wait = on_event, every, wait
        self._journal: Journal | None = None
        self._change: Change | None = None
        self._model: ServedModel | None = None
        self._ready: _Ready | None = None
        self._left = False
        self._unread = Alarm(f"the journal of {name} cannot be followed", self._failed)
        self._unloaded = Alarm(f"the champion of {name} cannot be served", self._failed)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="mtl-follow", daemon=True)

    def __enter__(self) -> Self:
        """Errors: those of reading the journal and of loading the champion, unless it may wait."""
        if self._wait:
            self.look()
        else:
            self._load(self._newest())
            self._settle(self._newest())
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._ended.set()
        self._thread.join(10)

    def current(self) -> ServedModel:
        """Errors: TransientError while no champion was loaded yet."""
        if self._model is None:
            fault = self._fault()
            said = fault["message"] if fault else f"{self._name} has no champion in memory yet"
            raise TransientError(said, hint="the server goes on looking for one; try again later")
        return self._model

    def health(self) -> Mapping[str, Any]:
        model = self._model
        version, seq, since = (model.version, model.seq, model.since) if model else (None, None, None)
        return {"model": self._name, "version": version, "seq": seq, "since": since, "fault": self._fault()}

    def look(self) -> None:
        """Ask the journal once, and load and switch if another version is champion. Faults are reported, not raised."""
        if self._left:  # one look ago: its last batch is done
            self._left = False
            give_back()
        journal = self._seen()
        if journal is None or self._unloaded.waits(journal.champion):
            return
        try:
            self._load(journal)
        except Exception as error:  # whatever a library raises, the old one goes on
            self._unloaded.raised(error, version=journal.champion)
            return
        self._unloaded.clear()
        newest = self._seen() if self._ready else journal  # loading took a while
        if newest is not None:
            self._settle(newest)

    def _watch(self) -> None:
        while not self._ended.wait(self._every * random.uniform(0.75, 1.25)):
            self.look()

    def _seen(self) -> Journal | None:
        """The journal, or None if it cannot be read, which is reported. What is loaded then waits for the next look."""
        try:
            found = self._newest()
        except Exception as error:  # whatever it is, the server goes on and looks again
            self._unread.raised(error)
            return None
        self._unread.clear()
        return found

    def _newest(self) -> Journal:
        """The journal, which never becomes shorter."""
        known = self._journal
        found = read_journal(self._store, self._name) if known is None else self._newer(known)
        self._journal = found
        return found

    def _newer(self, known: Journal) -> Journal:
        found = newest_journal(self._store, self._name, known)
        if found.seq < known.seq:
            raise TransientError(
                f"{self._store.uri} holds {found.seq} entries of the journal of {self._name}, and held {known.seq}",
                hint="is the store where it was? If entries are lost: mtl repair-journal (docs/operations.md)",
            )
        return found

    def _load(self, journal: Journal) -> None:
        """Have the champion of the journal in memory. Errors: those of pulling and loading."""
        change = journal.head
        if change is None:
            raise NotFoundError(f"{self._name} has no champion yet", hint="mtl retrain or mtl promote makes one")
        if self._ready is not None and _same(change, self._ready.change):
            return
        self._ready = None
        if self._model is None or self._change is None or not _same(change, self._change):
            begun = time.monotonic()
            model = self._loaded(change.version, journal.seq)
            self._ready = _Ready(model, change, time.monotonic() - begun)

    def _settle(self, journal: Journal) -> None:
        """Switch to the model that is ready, if its version is champion still."""
        ready, self._ready, change = self._ready, None, journal.head
        assert change is not None, "journals never become shorter"
        if ready is None:
            assert self._model is not None
            self._change, self._model = change, replace(self._model, seq=journal.seq)
        elif _same(change, ready.change):
            self._switch(replace(ready.model, seq=journal.seq, since=utc_now()), change, ready.seconds)
        else:  # the next look comes soon
            _log.warning("v%s was loaded, and is champion no longer", ready.change.version)

    def _loaded(self, version: int, seq: int) -> ServedModel:
        found = resolve_ref(f"v{version}", store=self._store, model=self._name, cache=self._cache)
        generator = load_generator(found.folder, engine="auto")
        generator.try_out()
        return ServedModel(self._name, version, seq, utc_now(), found.folder, generator)

    def _switch(self, model: ServedModel, change: Change, seconds: float) -> None:
        before = self._model.version if self._model else None
        self._change, self._model, self._left = change, model, True
        if before is None:
            return
        _log.warning("%s v%s answers now, not v%s (loaded in %.1f s)", self._name, model.version, before, seconds)
        self._tell(
            SWITCHED,
            {
                "version": model.version,
                "previous": before,
                "seq": model.seq,
                "kind": change.kind,
                "reason": change.reason,
                "seconds": round(seconds, 1),
            },
        )

    def _failed(self, fault: Fault) -> None:
        if (fault.kind, fault.version) == (NotFoundError.kind, None):
            return  # no champion yet, which is no news to whoever said that it may wait for one
        self._tell(FAILED, {**fault.to_dict(), "serving": self._model.version if self._model else None})

    def _tell(self, event: str, payload: Mapping[str, Any]) -> None:
        """In a thread of its own: people are told over networks, and following does not wait for them."""

        def tell() -> None:
            try:
                self._on_event(event, {"model": self._name, **payload})
            except Exception as error:
                _log.warning("the event %s could not be told: %s", event, error)

        threading.Thread(target=tell, name="mtl-tell", daemon=True).start()

    def _fault(self) -> dict[str, Any] | None:
        fault = self._unloaded.fault or self._unread.fault
        return None if fault is None else fault.to_dict()


def _same(change: Change, other: Change) -> bool:
    """Whether both are about the same bytes."""
    return (change.version, change.manifest_sha256) == (other.version, other.manifest_sha256)
