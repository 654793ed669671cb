"""Prepare: from a configuration to a data set in the store, which is found again if nothing changed."""

from __future__ import annotations

import logging
from collections.abc import Iterable

from mtl import progress
from mtl.config.data import SourceConfig
from mtl.config.retrain import RetrainConfig
from mtl.data.dataset import open_dataset, resolve_fingerprint
from mtl.data.explain import explain as explain_dataset
from mtl.data.manifest import DatasetManifest
from mtl.data.on_ray import on_ray
from mtl.data.prepare import find_prepared as find_dataset
from mtl.data.prepare import prepare as prepare_dataset
from mtl.data.quarantine import Refused
from mtl.errors import DataError
from mtl.model.base import resolve_base
from mtl.model.tokenizer import LazyTokenizer
from mtl.pipeline.judging import judging_counts
from mtl.pipeline.models import task_names
from mtl.pipeline.promotable import unpromotable
from mtl.pipeline.records import PreparedDataset, SourceNote
from mtl.pipeline.reference import last_data
from mtl.pipeline.rotation import ROTATION_NEEDS, never_rotated
from mtl.sources.base import Note
from mtl.sources.feedback import address
from mtl.sources.listing import sentences
from mtl.tasks.table import get_task
from mtl.workspace import Workspace

_log = logging.getLogger(__name__)


def prepare(workspace: Workspace, config: RetrainConfig) -> PreparedDataset:
    """The data set, made unless it exists, by this machine or by the cluster, as `run.engine` says."""
    tokenizer = tokenizer_of(config)
    counting, notes = _Counting(), list[SourceNote]()

    def keep_note(source: SourceConfig, note: Note) -> None:
        notes.append(SourceNote(source.task, address(source.uri), note.name, note.text, note.usual))

    store = workspace.store
    try:
        manifest = prepare_dataset(
            config.data,
            seed=config.seed,
            tokenizer=tokenizer,
            store=store,
            cache=workspace.cache,
            progress=counting,
            runner=on_ray() if config.run.engine == "ray" else None,
            reference=last_data(store, model=config.register_.model, configuration=config.name),
            tokenizer_stamp=tokenizer.stamp(),
            tell_note=keep_note,
        )
    except DataError as error:
        left_out = [note for note in notes if not note.usual]
        error.hint = "; ".join(filter(None, [error.hint, *note_lines(left_out)]))
        raise
    counting.finish(sum(split.rows for splits in manifest.counts.values() for split in splits.values()))
    counts = judging_counts(workspace, config, manifest)
    for text in never_rotated(config, counts):
        _log.warning("%s; %s", text, ROTATION_NEEDS)
    return PreparedDataset(manifest, tuple(notes), tuple(unpromotable(config, counts)))


def find_prepared(workspace: Workspace, config: RetrainConfig) -> DatasetManifest | None:
    """The manifest of the data set if it was prepared and nothing changed since; found without reading any row."""
    return find_dataset(
        config.data,
        seed=config.seed,
        store=workspace.store,
        cache=workspace.cache,
        tokenizer_stamp=tokenizer_of(config).stamp(),
    )


def tokenizer_of(config: RetrainConfig) -> LazyTokenizer:
    """The tokenizer of a configuration, with the tokens of all of its tasks."""
    ref = resolve_base(config.model.base, config.model.revision)
    tokens = tuple(get_task(name).token for name in task_names(config))
    return LazyTokenizer(config.model.tokenizer or ref.location, tokens, ref.revision)


def note_lines(notes: Iterable[SourceNote]) -> list[str]:
    """The notes for a person: what was left out of each source, and how its splits were told apart."""
    sources: dict[str, list[Note]] = {}
    for note in notes:
        its = sources.setdefault(f"{note.uri} of {note.task}", [])
        its.append(Note(note.name, note.text, note.usual))
    return [f"{source}: {line}" for source, its in sources.items() for line in sentences(its)]


def explain(workspace: Workspace, fingerprint: str) -> str:
    """A summary of a stored data set with real examples; its fingerprint may be shortened."""
    store = workspace.store
    return explain_dataset(open_dataset(store, resolve_fingerprint(store, fingerprint), workspace.cache))


def refused_rows(workspace: Workspace, fingerprint: str) -> list[Refused]:
    """The first quarantined row of a stored data set for each reason."""
    return list(open_dataset(workspace.store, fingerprint, workspace.cache).refused())


_UNITS = {
    "read": "rows read",
    "known": "rows taken from the cache",
    "render": "passages rendered",
    "taken": "passages taken from the cache",
    "put": "files stored",
}


class _Counting:
    """Turns what the preparation tells into progress; how much there is to do is known only at the end."""

    def __init__(self) -> None:
        self._done: dict[str, int] = {}

    def __call__(self, stage: str, count: int) -> None:
        self._done[stage] = self._done.get(stage, 0) + count
        progress.report("prepare", self._done.get("read", 0), 0, self._note())

    def finish(self, rows: int) -> None:
        """All `rows` are accounted for."""
        progress.report("prepare", rows, rows, self._note())

    def _note(self) -> str:
        if "found" in self._done:
            return "the data set is there already"
        return ", ".join(f"{number} {_UNITS.get(stage, stage)}" for stage, number in self._done.items() if number)
