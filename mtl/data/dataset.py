"""Dataset: a prepared data set, read back and verified."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from mtl import layout
from mtl.data.local_files import AGAIN, local_file
from mtl.data.manifest import QUARANTINE, DatasetManifest, FileEntry, load_manifest
from mtl.data.quarantine import Refused, firsts
from mtl.data.selection import FEEDBACK, passage_of
from mtl.errors import DamageError, InputError, NotFoundError, did_you_mean
from mtl.example import Example
from mtl.settings import dataset_cache_bytes
from mtl.store.base import ObjectStore
from mtl.store.searched import searched

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Dataset:
    """Shards by task and split, read one at a time; each is checked against the manifest on every read.

    room: bytes below `cache` that files of data sets may take, see `mtl.data.local_files`.
    """

    manifest: DatasetManifest
    store: ObjectStore
    cache: Path
    room: int = field(default_factory=dataset_cache_bytes)

    def shards(self, task: str, split: str) -> list[FileEntry]:
        """Files of a task's split, in order. Errors: NotFoundError for a task or split that is not there."""
        self._check(task, split)
        prefix = f"{task}-{split}-"
        entries = [entry for entry in self.manifest.files if entry.path.startswith(prefix)]
        if not entries:
            short = self.manifest.fingerprint[:12]
            raise DamageError(f"the manifest of data set {short} lists no file of {task} {split}", hint=AGAIN)
        return sorted(entries, key=lambda entry: _number(entry.path))

    def read(self, shard: FileEntry, columns: Sequence[str] | None = None) -> pa.Table:
        """The examples of a shard: uid, inputs, targets, meta (JSON text), input_ids, labels, or `columns` of these.

        Errors: DamageError for a file that was changed.
        """
        with self._opened(shard) as file:
            return pq.ParquetFile(file).read(columns)

    def table(self, task: str, split: str, columns: Sequence[str] | None = None) -> pa.Table:
        """All examples of a split in memory."""
        return pa.concat_tables([self.read(shard, columns) for shard in self.shards(task, split)])

    def examples(self, task: str, split: str) -> Iterator[Example]:
        """The same as text, one by one."""
        for shard in self.shards(task, split):
            with self._opened(shard) as file:
                for batch in pq.ParquetFile(file).iter_batches(256, columns=["uid", "inputs", "targets", "meta"]):
                    for row in batch.to_pylist():
                        yield Example(row["inputs"], row["targets"], task, row["uid"], json.loads(row["meta"]))

    def passages(self, task: str, split: str) -> list[str]:
        """The passage of each example, in the order of `table`; see `mtl.data.selection`."""
        rows = self.table(task, split, ["uid", "meta"]).to_pylist()
        return [passage_of(json.loads(row["meta"]), row["uid"]) for row in rows]

    def taught(self, task: str, split: str) -> list[bool]:
        """Of each example, in the order of `table`, whether rows of people are among those of its passage."""
        if not self.manifest.sizes(split).get(task):
            return []
        column = self.table(task, split, ["meta"]).column("meta")
        return [FEEDBACK in json.loads(meta) for meta in column.to_pylist()]

    def uids(self, task: str, split: str) -> list[str]:
        """The uid of each example, in the order of `table`; none for a task or split that is not there."""
        if not self.manifest.sizes(split).get(task):
            return []
        return [str(uid) for uid in self.table(task, split, ["uid"]).column("uid").to_pylist()]

    def refused(self) -> list[Refused]:
        """The first quarantined row for each reason."""
        entry = next((entry for entry in self.manifest.files if entry.path == QUARANTINE), None)
        if entry is None:
            return []
        with self._opened(entry) as file:
            rows = (json.loads(line) for line in io.TextIOWrapper(file, encoding="utf-8", errors="surrogateescape"))
            return firsts(Refused(*(str(row.get(key, "")) for key in Refused.__dataclass_fields__)) for row in rows)

    def _check(self, task: str, split: str) -> None:
        counts = self.manifest.counts
        short = self.manifest.fingerprint[:12]
        if task not in counts:
            raise NotFoundError(f"data set {short} has no task {task!r}", field="task", hint=did_you_mean(task, counts))
        have = [name for name, its in counts[task].items() if its.examples]
        if split not in have:
            hint = f"it has {', '.join(have)}; data: {{holdout: {{{split}: 0.1}}}} makes it out of a tenth of train"
            raise NotFoundError(f"data set {short} has no {split} examples of {task}", field="split", hint=hint)

    def _opened(self, entry: FileEntry) -> AbstractContextManager[io.BufferedReader]:
        key = f"{layout.dataset_prefix(self.manifest.fingerprint)}/{entry.path}"
        return local_file(self.store, key, entry=entry, cache=self.cache, room=self.room)


def open_dataset(store: ObjectStore, fingerprint: str, cache: Path, *, room: int | None = None) -> Dataset:
    """The data set of this fingerprint. room: bytes for its files on this machine; None: as the settings say.

    Errors: NotFoundError if the store has none, DamageError if its manifest is none.
    """
    if not fingerprint.isalnum():
        raise InputError(f"not a fingerprint: {fingerprint!r}", hint="64 hex digits, as `mtl prepare` prints them")
    manifest = find_manifest(store, fingerprint)
    if manifest is None:
        known = sorted({info.key.split("/")[1][:12] for info in store.list(layout.DATASETS)})
        hint = f"known: {', '.join(known[:8])}" if known else "run `mtl prepare` first"
        raise NotFoundError(
            f"no data set {fingerprint[:12]} in {store.uri}", field="dataset", hint=f"{hint}; {searched(store)}"
        )
    return Dataset(manifest, store, cache, dataset_cache_bytes() if room is None else room)


def resolve_fingerprint(store: ObjectStore, beginning: str) -> str:
    """The one fingerprint that starts so. InputError if several do; what none does is given back."""
    if not beginning.isalnum():
        return beginning
    found = sorted({info.key.split("/")[1] for info in store.list(layout.DATASETS) if _starts(info.key, beginning)})
    if len(found) > 1:
        raise InputError(f"{beginning!r} is the beginning of {len(found)} data sets", hint=", ".join(found[:8]))
    return found[0] if found else beginning


def _starts(key: str, beginning: str) -> bool:
    return key.startswith(layout.dataset_prefix(beginning))


def find_manifest(store: ObjectStore, fingerprint: str) -> DatasetManifest | None:
    """The manifest of a data set, or None if there is no complete one."""
    key = layout.dataset_manifest_key(fingerprint)
    if store.head(key) is None:
        return None
    manifest = load_manifest(store.get(key), key)
    if manifest.fingerprint != fingerprint:
        raise DamageError(
            f"{key} is the manifest of {manifest.fingerprint[:12]}", field=key, hint="prepare the data set again"
        )
    return manifest


def look_for_manifest(store: ObjectStore, fingerprint: str) -> DatasetManifest | None:
    """As `find_manifest`; of one that is damaged, None with a warning: for who can make it again or do without."""
    try:
        return find_manifest(store, fingerprint)
    except DamageError as error:
        _log.warning("%s", error)
        return None


def _number(path: str) -> int:
    return int(path.removesuffix(".parquet").rpartition("-")[2])
