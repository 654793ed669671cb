"""Shards: examples encoded into Arrow tables bucket by bucket, then cut into Parquet files of equal length.

Columns: uid, inputs, targets, meta (JSON text), input_ids and labels (lists of int32, `</s>` last).
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

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

    def add(self, other: Lengths) -> None:
        self.inputs.update(other.inputs)
        self.targets.update(other.targets)
        self.cut += other.cut
        self.windows += other.windows
        self.unknown += other.unknown


@dataclass(frozen=True, slots=True)
class Limits:
    """Most tokens of inputs, which are cut, and of targets, which must fit."""

    inputs: int
    targets: int


def write_examples(
    examples: Sequence[Example], path: Path, *, encoder: Encoder, limits: Limits, lengths: Lengths
) -> None:
    """Examples with their ids as an Arrow file, and beside it the hash of each, in the same order."""
    inputs = encoder.pack([example.inputs for example in examples])
    targets = encoder.pack([example.targets for example in examples])
    _check_targets(examples, targets, limits.targets)
    cut = [encoder.cut(ids, limits.inputs) for ids in inputs]
    lengths.inputs.update(map(length, inputs))
    lengths.targets.update(map(length, targets))
    lengths.cut += sum(length(ids) > limits.inputs for ids in inputs)
    lengths.windows += sum("window" in example.meta for example in examples)
    lengths.unknown += encoder.unknown(inputs) + encoder.unknown(targets)
    texts = [_encoded(example) for example in examples]
    columns = [_column(pa.string(), column) for column in zip(*texts, strict=True)]
    table = pa.Table.from_arrays([*columns, _lists(cut), _lists(targets)], schema=SCHEMA)
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, SCHEMA) as writer:
        writer.write_table(table)
    digests = (hashlib.sha256(b"\0".join(text)).digest() for text in texts)
    path.with_suffix(".sha256").write_bytes(b"".join(digests))


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
class Shard:
    """One file of the data set, made of slices (file of examples, start, stop)."""

    path: Path
    slices: tuple[tuple[Path, int, int], ...]


def plan(parts: Iterable[tuple[Path, int]], name: str, folder: Path, *, rows: int) -> list[Shard]:
    """Shards of `rows` examples each (the last has what is left) of `parts`: (file of examples, how many it has)."""
    shards: list[list[tuple[Path, int, int]]] = []
    room = 0
    for path, total in parts:
        start = 0
        while start < total:
            if not room:
                shards.append([])
                room = rows
            taken = min(room, total - start)
            shards[-1].append((path, start, start + taken))
            start, room = start + taken, room - taken
    return [Shard(folder / f"{name}-{number}.parquet", tuple(slices)) for number, slices in enumerate(shards)]


def write_shard(shard: Shard) -> FileEntry:
    """The shard as a Parquet file of one row group: the same bytes wherever its examples were encoded."""
    pieces = [_mapped(path).slice(start, stop - start) for path, start, stop in shard.slices]
    table = pa.concat_tables(pieces).combine_chunks()
    pq.write_table(table, shard.path, compression=COMPRESSION, use_dictionary=False, row_group_size=max(1, len(table)))
    return FileEntry(path=shard.path.name, bytes=shard.path.stat().st_size, sha256=sha256_file(shard.path))


def _mapped(path: Path) -> pa.Table:
    return pa.ipc.open_file(pa.memory_map(str(path))).read_all()


def content(paths: Iterable[Path]) -> str:
    """Hash of all examples in order, from the hashes that `write_examples` left."""
    digest = hashlib.sha256()
    for path in paths:
        digest.update(path.with_suffix(".sha256").read_bytes())
    return digest.hexdigest()
