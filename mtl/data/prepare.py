"""prepare: sources to a stored data set, once; the same rows again give the data set that is there.

A data set's name is its fingerprint: a hash of the examples, the refused rows, the tasks' versions, the tokenizer and
the recipe, and of nothing else: not of paths, formats or the day. Files are built aside, put, and the manifest last.
"""

from __future__ import annotations

import re
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import asdict
from functools import lru_cache
from pathlib import Path
from typing import Any

from mtl import layout
from mtl.config.data import DataConfig, SourceConfig
from mtl.data.buckets import bucket_count
from mtl.data.build import Built, Tools, build
from mtl.data.dataset import look_for_manifest
from mtl.data.job import Job
from mtl.data.kept_tokenizer import kept_encoder
from mtl.data.local_files import keep_files
from mtl.data.manifest import DatasetManifest
from mtl.data.pieces import Pieces
from mtl.data.reading import Progress, settled
from mtl.data.recipe import Recipe, recipe
from mtl.data.refuse import refuse_shrunk, rows_of
from mtl.data.runner import Runner, chosen, processes_for
from mtl.data.shards import Lengths
from mtl.data.tokens import Encoder, Tokenizer
from mtl.errors import DamageError, DataError, NotFoundError, TransientError
from mtl.fingerprint import sha256_json, sha256_sources
from mtl.seal import seal, unseal
from mtl.settings import dataset_cache_bytes
from mtl.sources.base import Description, Note, Source
from mtl.sources.feedback import corrected_first, taken
from mtl.sources.open import open_source
from mtl.store.base import ObjectStore
from mtl.store.scratch import scratch

_FINGERPRINT = re.compile(r"[0-9a-f]{64}")


def _silent(stage: str, done: int) -> None:
    """Progress for nobody."""


def prepare(
    config: DataConfig,
    *,
    seed: int,
    tokenizer: Tokenizer,
    store: ObjectStore,
    cache: Path,
    progress: Progress | None = None,
    runner: AbstractContextManager[Runner] | None = None,
    reference: DatasetManifest | None = None,
    tokenizer_stamp: str | None = None,
    tell_note: Callable[[SourceConfig, Note], None] | None = None,
) -> DatasetManifest:
    """The manifest of the data set that `config` describes, built and stored unless it exists.

    progress: called with (stage, n): "read" and "render" n more rows, "known" and "taken" n rows and passages that were
    read and rendered before, "put" n files, "found" 1 for a data set that was there already.
    runner: who does the work, entered once there is some; by default this process, or the processes of
    `config.processes`. The bytes are the same.
    reference: manifest of the champion's data, which no source may have shrunk from.
    tokenizer_stamp: changes whenever the tokenizer does; with it, unchanged inputs are found without loading that.
    tell_note: called with each note on a source: what was left out of it, and how its splits were told apart.
    Errors: DataError with the counts for empty or bad data, NotFoundError for a source or task that does not exist,
    TransientError for a worker that was killed and for a source that changed while it was read.
    Nothing is left half-written: without its manifest a data set does not exist.
    """
    tell = progress or _silent
    config = _with_taken(config, store, cache)
    made = recipe(config, seed)
    sources = [(item, open_source(item, seed, cache=cache)) for item in config.sources]
    stamps = _stamps(sources)
    pieces = Pieces(cache / "pieces")
    encoder = lru_cache(1)(lambda: kept_encoder(tokenizer, tokenizer_stamp, pieces))  # making one takes its time
    quick = _request(config, made, tokenizer_stamp or encoder().sha256, stamps)
    found, noted = _recall(cache, quick, store)
    if found is None:
        described = [_describe(item, source) for item, source in sources]
        exact = _request(config, made, encoder().sha256, [its.sha256 for its in described])
        found, noted = _recall(cache, exact, store)
    if found is not None:
        refuse_shrunk(rows_of(found), reference, max_shrink=config.max_shrink)
        notes = _notes(sources, noted)
        _remember(cache, quick, found.fingerprint, notes)
        _tell_notes(config, notes, tell_note)
        tell("found", 1)
        return found
    for _, source in sources:
        source.splits()  # what it takes to know the notes
    notes = _notes(sources, [])
    _tell_notes(config, notes, tell_note)
    size = sum(source.size() for _, source in sources)
    with scratch(cache / "scratch") as folder, _tools(size, config, pieces, store, runner, tell) as its:
        sources_settled = tuple(settled(item, seed, cache=cache) for item in config.sources)
        job = Job(folder, cache, sources_settled, made, max(bucket_count(size), its.shares))
        job.make_folders()
        encoder().save(job.tokenizer)
        try:
            built = build(job, config, its, reference=reference)
            _refuse_changed(config, seed, cache, stamps)
            manifest = _manifest(built, made, encoder(), described)
            found = _store(manifest, built, folder, store=store, cache=cache, progress=tell)
            with suppress(OSError):  # the data set is stored: what cannot be remembered is prepared again
                built.remember(found.fingerprint)
        finally:
            its.pieces.prune()
    with suppress(OSError):
        for request in (quick, exact):
            _remember(cache, request, found.fingerprint, notes)
    return found


def find_prepared(
    config: DataConfig, *, seed: int, store: ObjectStore, cache: Path, tokenizer_stamp: str | None
) -> DatasetManifest | None:
    """The data set that `prepare` would find without reading a row, None if it would have to read."""
    if tokenizer_stamp is None:
        return None
    config = _with_taken(config, store, cache)
    sources = [(item, open_source(item, seed, cache=cache)) for item in config.sources]
    return _recall(cache, _request(config, recipe(config, seed), tokenizer_stamp, _stamps(sources)), store)[0]


def _with_taken(config: DataConfig, store: ObjectStore, cache: Path) -> DataConfig:
    """With what people have said so far, so that it stays the same for all of a preparation."""
    sources = [taken(source, store, cache, among=config.sources) for source in config.sources]
    return config.model_copy(update={"sources": corrected_first(sources)})


Opened = Sequence[tuple[SourceConfig, Source]]


@contextmanager
def _tools(
    size: int,
    config: DataConfig,
    pieces: Pieces,
    store: ObjectStore,
    given: AbstractContextManager[Runner] | None,
    progress: Progress,
) -> Iterator[Tools]:
    if given is not None:
        with given as runner:
            yield Tools(pieces, store, lambda size: runner, runner.shards, progress)
        return
    with chosen(config.processes) as choose:
        yield Tools(pieces, store, choose, processes_for(size, config.processes), progress)


def _store(
    manifest: DatasetManifest, built: Built, folder: Path, *, store: ObjectStore, cache: Path, progress: Progress
) -> DatasetManifest:
    existing = look_for_manifest(store, manifest.fingerprint)
    if existing is not None:
        progress("found", 1)
        return existing
    return _publish(manifest, built, folder, store=store, cache=cache, progress=progress)


def _describe(config: SourceConfig, source: Source) -> Description:
    described = source.describe()
    if config.sha256 and described.sha256 != config.sha256:
        raise DataError(
            f"source {config.uri} of {config.task} changed: its sha256 is {described.sha256}, expected {config.sha256}",
            field="data.sources.sha256",
            hint="if the change is meant, put the new sha256 into the configuration",
        )
    return described


def _stamps(sources: Opened) -> list[str]:
    return [source.stamp() for _, source in sources]


def _refuse_changed(config: DataConfig, seed: int, cache: Path, stamps: Sequence[str]) -> None:
    """TransientError if a source is no longer what it was when the work began: its hash would name other rows."""
    for item, before in zip(config.sources, stamps, strict=True):
        try:
            same = open_source(item, seed, cache=cache).stamp() == before  # opened again: a file may have come
        except (OSError, DataError, NotFoundError):
            same = False
        if not same:
            hint = "prepare again; give files another name while they are written, and rename them when whole"
            raise TransientError(f"source {item.uri} of {item.task} changed while it was read", hint=hint)


Notes = Sequence[Sequence[Note]]
"""Of each source in turn."""


def _notes(sources: Opened, noted: Notes) -> Notes:
    """What the sources say now; of one that was not read, what was noted when it was."""
    said = [source.notes() for _, source in sources]
    before = noted if len(noted) == len(said) else [[]] * len(said)
    return [its if its is not None else before[number] for number, its in enumerate(said)]


def _tell_notes(config: DataConfig, notes: Notes, tell: Callable[[SourceConfig, Note], None] | None) -> None:
    if tell is not None:
        for item, its in zip(config.sources, notes, strict=True):
            for note in its:
                tell(item, note)


def _manifest(built: Built, made: Recipe, encoder: Encoder, described: Sequence[Description]) -> DatasetManifest:
    parts = {"content": built.content, "tasks": made.versions(), "tokenizer": encoder.sha256}
    return DatasetManifest(
        fingerprint=sha256_json({**parts, "recipe": made.document()}),
        sources=[{**its.to_dict(), "rows": rows} for its, rows in zip(described, built.rows, strict=True)],
        scheme=made.scheme,
        tokenizer={"name": encoder.name, "sha256": encoder.sha256},
        counts=built.counts,
        quarantine=built.quarantine,
        truncated={task: _share(its.cut, its.inputs.total()) for task, its in built.lengths.items()},
        windows={task: its.windows for task, its in built.lengths.items()},
        unknown={task: _share(its.unknown, its.tokens) for task, its in built.lengths.items()},
        lengths={task: _statistics(its) for task, its in built.lengths.items()},
        histograms={task: _histograms(its) for task, its in built.lengths.items()},
        files=built.files,
        tasks=made.versions(),
        settings=made.document(),
    )


def _publish(
    manifest: DatasetManifest, built: Built, folder: Path, *, store: ObjectStore, cache: Path, progress: Progress
) -> DatasetManifest:
    """Puts files, then the manifest; the files stay in the cache, as far as there is room for them."""
    prefix = layout.dataset_prefix(manifest.fingerprint)
    for file in built.files:
        store.put_file(f"{prefix}/{file.path}", folder / file.path)
        progress("put", 1)
    key = layout.dataset_manifest_key(manifest.fingerprint)
    if not store.put_if_absent(key, manifest.to_json()):
        theirs = look_for_manifest(store, manifest.fingerprint)
        if theirs is not None:
            return theirs
        store.put(key, manifest.to_json())  # what was there is damaged
    keep_files(folder, prefix, built.files, cache=cache, room=dataset_cache_bytes())
    return manifest


def _share(part: int, whole: int) -> float:
    return round(part / whole, 6) if whole else 0.0


def _statistics(lengths: Lengths) -> dict[str, dict[str, float]]:
    return {"inputs": _quantiles(lengths.inputs), "targets": _quantiles(lengths.targets)}


def _quantiles(histogram: Counter[int]) -> dict[str, float]:
    """mean, median, p90, p99 and max of a histogram of lengths."""
    total = histogram.total()
    if not total:
        return {}
    wanted, seen = {"median": 0.5, "p90": 0.9, "p99": 0.99}, 0
    found: dict[str, float] = {"mean": round(sum(length * n for length, n in histogram.items()) / total, 2)}
    for length in sorted(histogram):
        seen += histogram[length]
        found |= {name: length for name, share in wanted.items() if name not in found and seen >= share * total}
    return {**found, "max": max(histogram)}


BIN = 16
"""Tokens to one bar of a histogram."""


def _histograms(lengths: Lengths) -> dict[str, dict[str, int]]:
    """{inputs | targets: {first length of a bin: examples}}"""
    found: dict[str, dict[str, int]] = {}
    for side, histogram in (("inputs", lengths.inputs), ("targets", lengths.targets)):
        bins: Counter[int] = Counter()
        for length, number in histogram.items():
            bins[length - length % BIN] += number
        found[side] = {str(start): bins[start] for start in sorted(bins)}
    return found


def _request(config: DataConfig, made: Recipe, tokenizer: str, contents: Sequence[str]) -> str:
    """Names an input by stamps or hashes of its sources and tokenizer: equal requests give equal data sets.

    All that is configured of a source is in it but its address, and so is the code that reads.
    """
    sources = [
        [item.model_dump(mode="json", exclude={"uri"}), its] for item, its in zip(config.sources, contents, strict=True)
    ]
    parts: dict[str, Any] = {"sources": sources, "recipe": made.document(), "tasks": made.versions()}
    parts |= {"tokenizer": tokenizer, "max_bad_share": config.max_bad_share}
    return sha256_json({**parts, "readers": sha256_sources(["mtl.sources"])})


def _recall(cache: Path, request: str, store: ObjectStore) -> tuple[DatasetManifest | None, Notes]:
    """The data set that this request gave before, if it is still there, and what was noted then."""
    path = cache / "prepared" / f"{request}.json"
    try:
        said = unseal(path.read_bytes(), str(path), hint="the data set is prepared again", unsealed=True)
        notes = [[Note(**note) for note in its] for its in said["notes"]]
    except (OSError, DamageError, KeyError, TypeError):
        return None, []  # never prepared here, or its note is damaged: preparing again finds the same data set
    fingerprint = str(said.get("fingerprint"))
    return (look_for_manifest(store, fingerprint), notes) if _FINGERPRINT.fullmatch(fingerprint) else (None, [])


def _remember(cache: Path, request: str, fingerprint: str, notes: Notes) -> None:
    path = cache / "prepared" / f"{request}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}.{uuid.uuid4().hex}~")  # another preparation may write the same
    try:
        aside.write_bytes(seal({"fingerprint": fingerprint, "notes": [[asdict(its) for its in own] for own in notes]}))
        aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)
