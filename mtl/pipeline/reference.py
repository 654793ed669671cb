"""The data set that a preparation is compared with, to see whether a source lost most of its rows."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import suppress

from mtl.checkpoints.related import load_identity
from mtl.data.dataset import look_for_manifest
from mtl.data.manifest import DatasetManifest
from mtl.errors import DamageError, NotFoundError
from mtl.release import layout
from mtl.release.journal import read_journal
from mtl.store.base import ObjectStore

_log = logging.getLogger(__name__)
_LOOK = 50
"""Versions, the newest first, among which one of the configuration is looked for."""


def last_data(store: ObjectStore, *, model: str, configuration: str) -> DatasetManifest | None:
    """Manifest of the data that the champion was trained on, if the configuration of this name trained it.

    Otherwise, with a warning, of the newest version that the configuration trained. None where there is no champion,
    no such version, or its data are gone. A champion whose run was removed from the store counts as its own.
    """
    champion = read_journal(store, model).champion
    if champion is None:
        return None
    release = layout.find_manifest(store, model, champion)
    if release is None:
        return None
    maker = _configuration(store, release)
    if maker in (None, configuration):
        return look_for_manifest(store, release.facts.fingerprint)
    _log.warning(
        "v%s, the champion of %s, comes from configuration %r, not %r: its data say nothing about the size of these, "
        "and new versions have to beat it on these. For a model of its own: register: {model: %s}",
        champion,
        model,
        maker,
        configuration,
        f"mtl-{configuration}",
    )
    newest = next(_of(store, model, configuration), None)
    return look_for_manifest(store, newest.facts.fingerprint) if newest else None


def _of(store: ObjectStore, model: str, configuration: str) -> Iterator[layout.ReleaseManifest]:
    """The releases that a configuration trained, newest first."""
    for version in layout.published_versions(store, model)[: -_LOOK - 1 : -1]:
        with suppress(DamageError):
            release = layout.find_manifest(store, model, version)
            if release is not None and _configuration(store, release) == configuration:
                yield release


def _configuration(store: ObjectStore, release: layout.ReleaseManifest) -> str | None:
    """Name of the configuration that trained a release; None where its run is gone."""
    try:
        return load_identity(store, release.facts.identity).name
    except (NotFoundError, DamageError):
        return None
