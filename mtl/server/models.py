"""Where the model that a server answers with comes from."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from mtl.release.refs import resolve_ref
from mtl.server.follow import FollowedChampion, OnEvent
from mtl.server.served import OneModel, ServedModel, ServedModels
from mtl.serving.generate import load_generator
from mtl.settings import store_patience
from mtl.store.open import open_store
from mtl.workspace import Workspace

CHAMPION = "champion"
PATIENCE = 10.0
"""Seconds for one call to the store while a champion is followed: it is asked again soon, and a store that does not
answer is to be reported soon."""


@contextmanager
def models_for(
    ref: str,
    workspace: Workspace,
    *,
    name: str,
    follow: bool = True,
    wait: bool = False,
    on_event: OnEvent = lambda event, payload: None,
) -> Iterator[ServedModels]:
    """What `mtl serve REF` answers with until the block ends: the model that the ref stands for now, loaded.

    follow: `champion` stands for the champion at any time. wait, on_event: as `FollowedChampion`.
    Errors: NotFoundError (did you mean), InputError, ModelError, DamageError, TransientError.
    """
    if ref == CHAMPION and follow:
        store = open_store(workspace.settings.store, patience=min(PATIENCE, store_patience()))
        with FollowedChampion(store, name, cache=workspace.cache, on_event=on_event, wait=wait) as champion:
            yield champion
        return
    is_run = len(ref) == 32 and not Path(ref).exists()  # the registry takes seconds to open
    versions = workspace.registry(name) if is_run else None
    found = resolve_ref(ref, store=workspace.store, model=name, cache=workspace.cache, versions=versions)
    generator = load_generator(found.folder, engine="auto")
    since = datetime.now(UTC).isoformat(timespec="seconds")
    yield OneModel(ServedModel(name, found.version, None, since, found.folder, generator))
