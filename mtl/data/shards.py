"""Shards: examples encoded into Arrow tables bucket by bucket, then cut into Parquet files of equal length.

Columns: uid, inputs, targets, meta (JSON text), input_ids and labels (lists of int32, `</s>` last).
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from mtl.data.job import Job, Need
from mtl.data.manifest import FileEntry
from mtl.data.tokens import WIDTH, Encoder, length
from mtl.errors import DataError
from mtl.example import Example
from mtl.fingerprint import canonical_json, sha256_file

SCHEMA = pa.schema(
    [
        ("uid", pa.string()),
        ("inputs", pa.string()),
        ("targets", pa.string()),
        ("meta", pa.string()),
        ("input_ids", pa.list_(pa.int32())),
        ("labels", pa.list_(pa.int32())),
    ]
)
COMPRESSION = "zstd"
DIGEST = 32
"""Bytes of an example's hash."""


@dataclass(slots=True)
class Lengths:
    """Histograms of token counts, before any cut; how many inputs were cut, how many examples are a later window of a
    long input, how many tokens were <unk>."""

    inputs: Counter[int] = field(default_factory=Counter)
    targets: Counter[int] = field(default_factory=Counter)
    cut: int = 0
    windows: int = 0
    unknown: int = 0

    @property
    def tokens(self) -> int:
        return sum(size * n for side in (self.inputs, self.targets) for size, n in side.items())

    def add(self, measures: Any, limit: int) -> None:
        """limit: tokens to which inputs are cut."""
        for side in ("inputs", "targets"):
            sizes, numbers = np.unique(measures[side], return_counts=True)
            getattr(self, side).update(dict(zip(sizes.tolist(), numbers.tolist(), strict=True)))
        self.cut += int(np.count_nonzero(measures["inputs"] > limit))
        self.windows += int(measures["window"].sum())
        self.unknown += int(measures["unknown"].sum())


@dataclass(frozen=True, slots=True)
class Limits:
    """Most tokens of inputs, which are cut, and of targets, which must fit."""

    inputs: int
    targets: int


MEASURE = np.dtype([("inputs", "<u4"), ("targets", "<u4"), ("unknown", "<u4"), ("window", "u1"), ("sha256", "u1", 32)])
"""Of an example: tokens of its sides before any cut, those that are <unk>, whether it is a later window; its hash."""


def write_examples(examples: Sequence[Example], path: Path, *, encoder: Encoder, limits: Limits) -> Any:
    """Examples with their ids as an Arrow file; returns the measures of each, in the same order."""
    inputs = encoder.pack([example.inputs for example in examples])
    targets = encoder.pack([example.targets for example in examples])
    _check_targets(examples, targets, limits.targets)
    cut = [encoder.cut(ids, limits.inputs) for ids in inputs]
    measures = np.zeros(len(examples), MEASURE)
    measures["inputs"], measures["targets"] = [*map(length, inputs)], [*map(length, targets)]
    measures["unknown"] = encoder.unknown(inputs) + encoder.unknown(targets)
    measures["window"] = ["window" in example.meta for example in examples]
    texts = [_encoded(example) for example in examples]
    columns = [_column(pa.string(), column) for column in zip(*texts, strict=True)]
    table = pa.Table.from_arrays([*columns, _lists(cut), _lists(targets)], schema=SCHEMA)
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, SCHEMA) as writer:
        writer.write_table(table)
    digests = b"".join(hashlib.sha256(b"\0".join(text)).digest() for text in texts)
    measures["sha256"] = np.frombuffer(digests, np.uint8).reshape(-1, DIGEST)
    return measures


def _check_targets(examples: Sequence[Example], targets: Sequence[bytes], limit: int) -> None:
    for example, labels in zip(examples, targets, strict=True):
        if length(labels) > limit:
            raise DataError(
                f"a target of {example.task} has {length(labels)} tokens, over max_target_tokens {limit}",
                field="data.max_target_tokens",
                hint="task.render must split or drop what does not fit",
            )


def _encoded(example: Example) -> tuple[bytes, ...]:
    meta = canonical_json(dict(example.meta))
    return example.uid.encode(), example.inputs.encode(), example.targets.encode(), meta


def _column(kind: pa.DataType, rows: Sequence[bytes], *, width: int = 1, children: Sequence[pa.Array] = ()) -> pa.Array:
    """An Arrow column of variable length. `pa.array` would import pandas to look at what it was given."""
    offsets = np.cumsum([0, *(len(row) // width for row in rows)], dtype=np.int32)
    data = [] if children else [pa.py_buffer(b"".join(rows))]
    return pa.Array.from_buffers(kind, len(rows), [None, pa.py_buffer(offsets), *data], children=list(children))


def _lists(rows: Sequence[bytes]) -> pa.ListArray:
    """Packed ids as an Arrow column, without a Python object for an id."""
    values = pa.Array.from_buffers(pa.int32(), sum(map(length, rows)), [None, pa.py_buffer(b"".join(rows))])
    return _column(pa.list_(pa.int32()), rows, width=WIDTH, children=[values])


@dataclass(frozen=True, slots=True)
class Examples:
    """A file of examples in their order: of a bucket (Arrow), or of an earlier data set (Parquet)."""

    path: Path
    rows: int


@dataclass(frozen=True, slots=True)
class Shard:
    """One file of the data set, made of some rows of some files, all of them in the job's folder."""

    name: str
    parts: tuple[tuple[Path, Any], ...]
    order: Any


def plan(job: Job, files: Sequence[Examples], wanted: Any, name: str, *, rows: int) -> list[Shard]:
    """Shards of `rows` examples each; the last has what is left.

    wanted: numbers of rows of `files`, laid end to end.
    """
    edges = np.cumsum([0, *(file.rows for file in files)])
    found = []
    for number, start in enumerate(range(0, len(wanted), rows)):
        its = wanted[start : start + rows]
        owner = np.searchsorted(edges, its, side="right") - 1
        parts, order, done = [], np.empty(len(its), dtype=np.int64), 0
        for file in np.unique(owner).tolist():
            mine = np.flatnonzero(owner == file)
            parts.append((files[file].path.relative_to(job.folder), its[mine] - edges[file]))
            order[mine] = np.arange(done, done + len(mine))
            done += len(mine)
        found.append(Shard(f"{name}-{number}.parquet", tuple(parts), order))
    return found


def taken_for_writing(job: Job, shard: Shard) -> Iterator[Need]:
    """The files whose rows it is made of."""
    return (job.need(job.folder / path) for path, _ in shard.parts)


def write_shard(job: Job, shard: Shard) -> FileEntry:
    """The shard as a Parquet file of one row group: the same bytes wherever its examples were encoded."""
    path = job.folder / shard.name
    table = pa.concat_tables([_rows(job.folder / its, rows) for its, rows in shard.parts]).combine_chunks()
    if (np.diff(shard.order) < 0).any():
        table = table.take(_numbers(shard.order)).combine_chunks()
    pq.write_table(table, path, compression=COMPRESSION, use_dictionary=False, row_group_size=max(1, len(table)))
    return FileEntry(path=path.name, bytes=path.stat().st_size, sha256=sha256_file(path))


def _rows(path: Path, rows: Any) -> pa.Table:
    """Some rows of a file, in rising order."""
    table = _unpacked(path) if path.suffix == ".parquet" else _mapped(path)
    start, stop = int(rows[0]), int(rows[-1]) + 1
    part = table.slice(start, stop - start)
    return part if len(part) == len(rows) else part.combine_chunks().take(_numbers(rows - start))


def _numbers(rows: Any) -> pa.Array:
    return pa.Array.from_buffers(pa.int64(), len(rows), [None, pa.py_buffer(np.ascontiguousarray(rows, np.int64))])


@lru_cache(maxsize=3)
def _unpacked(path: Path) -> pa.Table:
    """An earlier data set's file, kept for a while: the next shard begins where this one ends."""
    return pq.ParquetFile(path, memory_map=True).read().cast(SCHEMA)


def forget_unpacked() -> None:
    """Gives the memory of earlier files back."""
    _unpacked.cache_clear()


def _mapped(path: Path) -> pa.Table:
    return pa.ipc.open_file(pa.memory_map(str(path))).read_all()


def content(measures: Any) -> str:
    """Hash of all examples in order."""
    return hashlib.sha256(np.ascontiguousarray(measures["sha256"]).tobytes()).hexdigest()
