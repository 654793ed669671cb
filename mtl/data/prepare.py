"""prepare: sources to a stored data set, once; the same rows again give the data set that is there.

A data set's name is its fingerprint: a hash of the examples, the refused rows, the tasks' versions, the tokenizer and
the recipe, and of nothing else: not of paths, formats or the day. Files are built aside, put, and the manifest last.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mtl.config.data import DataConfig, SourceConfig
from mtl.data.build import Built, build
from mtl.data.dataset import find_manifest
from mtl.data.manifest import DatasetManifest, FileEntry, folder_key, manifest_key
from mtl.data.reading import Progress
from mtl.data.recipe import Recipe, recipe
from mtl.data.scratch import scratch
from mtl.data.shards import Lengths
from mtl.data.tokens import Encoder, Tokenizer
from mtl.errors import DataError
from mtl.fingerprint import sha256_file, sha256_json
from mtl.sources.base import Description, Source
from mtl.sources.open import open_source
from mtl.store.base import ObjectStore


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
) -> DatasetManifest:
    """The manifest of the data set that `config` describes, built and stored unless it exists.

    progress: called with (stage, n): "read" and "render" n more rows, "put" n files, "found" 1 for a data set that was
    there already.
    Errors: DataError with the counts for empty or bad data, NotFoundError for a source or task that does not exist.
    Nothing is left half-written: without its manifest a data set does not exist.
    """
    tell = progress or _silent
    made = recipe(config, seed, Encoder(tokenizer))
    sources = [(item, open_source(item, seed)) for item in config.sources]
    request = _request(config, made, sources)
    found = _recall(cache, request, store)
    if found is None:
        found = _prepare(config, made, sources, store=store, cache=cache, progress=tell)
        _remember(cache, request, found.fingerprint)
    else:
        tell("found", 1)
    return found


Opened = Sequence[tuple[SourceConfig, Source]]


def _prepare(
    config: DataConfig, made: Recipe, sources: Opened, *, store: ObjectStore, cache: Path, progress: Progress
) -> DatasetManifest:
    described = [_describe(item, source) for item, source in sources]
    with scratch(cache / "scratch") as folder:
        opened = [(item.task, item.uri, source) for item, source in sources]
        built = build(opened, made, folder, max_bad_share=config.max_bad_share, progress=progress)
        manifest = _manifest(built, made, described)
        existing = find_manifest(store, manifest.fingerprint)
        if existing is not None:
            progress("found", 1)
            return existing
        return _publish(manifest, built, store=store, cache=cache, progress=progress)


def _describe(config: SourceConfig, source: Source) -> Description:
    described = source.describe()
    if config.sha256 and described.sha256 != config.sha256:
        raise DataError(
            f"source {config.uri} of {config.task} changed: its sha256 is {described.sha256}, expected {config.sha256}",
            field="data.sources.sha256",
            hint="if the change is meant, put the new sha256 into the configuration",
        )
    return described


def _manifest(built: Built, made: Recipe, described: Sequence[Description]) -> DatasetManifest:
    tokenizer = {"name": made.encoder.name, "sha256": made.encoder.sha256}
    parts = {"content": built.content, "tasks": made.versions(), "tokenizer": made.encoder.sha256}
    return DatasetManifest(
        fingerprint=sha256_json({**parts, "recipe": made.document()}),
        sources=[description.to_dict() for description in described],
        scheme=made.scheme,
        tokenizer=tokenizer,
        counts=built.counts,
        quarantine=built.quarantine,
        truncated={task: _share(its.cut, its.inputs.total()) for task, its in built.lengths.items()},
        unknown={task: _share(its.unknown, its.tokens) for task, its in built.lengths.items()},
        lengths={task: _statistics(its) for task, its in built.lengths.items()},
        files=[FileEntry(path=path.name, bytes=path.stat().st_size, sha256=sha256_file(path)) for path in built.paths],
        tasks=made.versions(),
        settings=made.document(),
    )


def _publish(
    manifest: DatasetManifest, built: Built, *, store: ObjectStore, cache: Path, progress: Progress
) -> DatasetManifest:
    """Puts files, then the manifest; the files stay in the cache for whoever reads them next."""
    for path in built.paths:
        store.put_file(f"{folder_key(manifest.fingerprint)}/{path.name}", path)
        progress("put", 1)
    if not store.put_if_absent(manifest_key(manifest.fingerprint), manifest.to_json()):
        return find_manifest(store, manifest.fingerprint) or manifest
    kept = cache / folder_key(manifest.fingerprint)
    kept.mkdir(parents=True, exist_ok=True)
    for path in built.paths:
        path.replace(kept / path.name)
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


def _request(config: DataConfig, made: Recipe, sources: Opened) -> str:
    """Names an input without reading it: equal requests give equal data sets."""
    stamps = [[item.task, item.sha256, source.stamp()] for item, source in sources]
    parts: dict[str, Any] = {"sources": stamps, "recipe": made.document(), "tasks": made.versions()}
    return sha256_json({**parts, "tokenizer": made.encoder.sha256, "max_bad_share": config.max_bad_share})


def _recall(cache: Path, request: str, store: ObjectStore) -> DatasetManifest | None:
    path = cache / "prepared" / f"{request}.json"
    try:
        fingerprint = str(json.loads(path.read_text(encoding="utf-8"))["fingerprint"])
    except (OSError, ValueError, KeyError, TypeError):
        return None  # never prepared here, or its note is damaged: preparing again finds the same data set
    return find_manifest(store, fingerprint)


def _remember(cache: Path, request: str, fingerprint: str) -> None:
    path = cache / "prepared" / f"{request}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_suffix(".tmp")
    aside.write_text(json.dumps({"fingerprint": fingerprint}), encoding="utf-8")
    aside.replace(path)
