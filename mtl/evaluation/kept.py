"""Answers of models that the object store keeps, so that nobody has to answer the same twice.

predictions/{subject}/{call}.json   the answers of one call, sealed

subject: hash of the model and of all that computes with it (`mtl.evaluation.identity`). call: hash of what was asked,
the inputs in their order among it. An answer is taken only from a call that is the same in all of that; where there is
none, the very same call is made. So a report does not depend on what is kept (docs/adr/0032).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from mtl import layout
from mtl.document import Sha256, check_record
from mtl.errors import DamageError, NotFoundError, PermanentError
from mtl.fingerprint import sha256_json
from mtl.seal import seal, unseal
from mtl.store.base import ObjectInfo, ObjectStore

_log = logging.getLogger(__name__)
_DAY = 86_400.0
RENEW = 7 * _DAY
"""An object that is this old when it is taken is written again, so that its age tells when it was last needed."""
OLD = 30 * _DAY + RENEW
"""Age at which nobody can have taken an object for 30 days."""
T = TypeVar("T")


@dataclass(frozen=True)
class _Record:
    call: Sha256
    said: Mapping[str, Any]
    answers: list[Any]


class KeptAnswers:
    """What one subject answered before. store: None keeps nothing, and changes no answer."""

    def __init__(self, store: ObjectStore | None, subject: Mapping[str, Any]) -> None:
        self._store, self._subject = store, subject
        self._writable = True
        self._prefix = layout.predictions_prefix(sha256_json(subject))
        self._listed: tuple[dict[str, float], float] | None = None

    def answers(
        self, asked: Mapping[str, Any], inputs: list[Any], make: Callable[[], list[T]], *, kind: type[list[T]]
    ) -> tuple[list[T], bool]:
        """(what was answered to the inputs, whether it was kept); `make` is called where it was not.

        asked: all that the answers follow from besides subject and inputs. kind: of the answers, e.g. `list[str]`.
        Errors: TransientError of the store; those of `make`.
        """
        call = sha256_json({"asked": asked, "inputs": inputs})
        key = f"{self._prefix}/{call}.json"
        try:
            found, damaged = self._find(key, call, len(inputs), kind)
        except PermanentError as error:
            _log.warning("answers are not taken from earlier evaluations: %s", error.message)
            self._store = None
            found, damaged = None, False
        if found is not None:
            return found, True
        made = make()
        self._keep(key, {"call": call, "said": {**asked, **self._subject}, "answers": made}, replace=damaged)
        return made, False

    def _find(self, key: str, call: str, count: int, kind: type[list[T]]) -> tuple[list[T] | None, bool]:
        """(the answers, or None; whether what is there is damaged)."""
        if self._store is None:
            return None, False
        if self._listed is None:  # one question for all calls, and it says how old the answers are
            known = {info.key: info.modified for info in self._store.list(f"{self._prefix}/")}
            self._listed = known, self._store.now() if known else 0.0
        known, now = self._listed
        if key not in known:
            return None, False
        try:
            data = self._store.get(key)
            record = check_record(_Record, unseal(data, key), key)
            found = check_record(kind, record.answers, key)
            if record.call != call or len(found) != count:
                raise DamageError(f"{key} is damaged: it holds the answers to another call", field=key)
        except NotFoundError:  # it was pruned a moment ago
            return None, False
        except DamageError as error:
            _log.warning("%s; the model answers again", error.message)
            return None, True
        if now - known[key] > RENEW:
            self._write(key, data, replace=True)
        return found, False

    def _keep(self, key: str, record: Mapping[str, Any], *, replace: bool) -> None:
        try:
            data = seal(record)
        except ValueError:  # not a number, of a model that is broken: it has no form in JSON
            return
        self._write(key, data, replace=replace)

    def _write(self, key: str, data: bytes, *, replace: bool) -> None:
        """A store that may only be read gives answers all the same; it is said once that it gets none."""
        if self._store is None or not self._writable:
            return
        try:
            if replace:
                self._store.put(key, data)
            else:
                self._store.put_if_absent(key, data)
        except PermanentError as error:
            _log.warning("answers are not kept for later evaluations: %s", error.message)
            self._writable = False


def unused(store: ObjectStore) -> list[ObjectInfo]:
    """What nobody took for 30 days, by the store's clock."""
    before = store.now() - OLD
    return [info for info in store.list(layout.PREDICTIONS) if info.modified < before]


def delete_unused(store: ObjectStore, objects: Iterable[ObjectInfo]) -> int:
    """Delete those that nobody took since they were listed; how many that were. One that is taken at this very moment
    is answered again when it is next needed."""
    before, deleted = store.now() - OLD, 0
    for info in objects:
        found = store.head(info.key)
        if found is not None and found.modified < before:
            store.delete(info.key)
            deleted += 1
    return deleted
