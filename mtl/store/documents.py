"""Small documents that nothing could make again: sealed and kept twice, so that one intact copy mends the other.

runs/…/result.json        the document, for whoever reads it
runs/…/result.copy.json   the same bytes
"""

from __future__ import annotations

import contextlib
import logging
from typing import Any

from mtl.errors import DamageError, MtlError, NotFoundError
from mtl.seal import seal, unseal
from mtl.store.base import ObjectStore

_log = logging.getLogger(__name__)


def copy_key(key: str) -> str:
    """Where the second copy of the document at `key` is."""
    return f"{key.removesuffix('.json')}.copy.json"


def put_document(store: ObjectStore, key: str, document: dict[str, Any]) -> None:
    """Write or overwrite both copies; killed between the two, it leaves one that is whole."""
    data = seal(document)
    store.put(key, data)
    store.put(copy_key(key), data)


def read_document(store: ObjectStore, key: str, *, hint: str) -> dict[str, Any]:
    """The document, whichever copy is intact; the other one is written again.

    One without a check, as earlier versions wrote it, is taken as it is, and sealed.
    Errors: NotFoundError for none, DamageError with `hint` if no copy is intact.
    """
    other = copy_key(key)
    problem: MtlError | None = None
    # One without a check is of an earlier version only where there is no intact copy.
    for own, unsealed in ((key, False), (other, False), (key, True)):
        try:
            document = unseal(store.get(own), own, hint=hint, unsealed=unsealed)
        except (NotFoundError, DamageError) as error:
            problem = error if problem is None or isinstance(problem, NotFoundError) else problem
            continue
        if own == other and isinstance(problem, DamageError):
            _log.warning("%s; its copy is intact and takes its place", problem.message)
        if not all(_holds(store, place, seal(document)) for place in (key, other)):
            with contextlib.suppress(MtlError):  # what was read is right, whether or not this can be written
                put_document(store, key, document)
        return document
    assert problem is not None
    raise problem


def delete_document(store: ObjectStore, key: str) -> None:
    """Remove both copies; missing ones are no error."""
    store.delete(key)
    store.delete(copy_key(key))


def _holds(store: ObjectStore, key: str, data: bytes) -> bool:
    try:
        return store.get(key) == data
    except (DamageError, NotFoundError):
        return False
