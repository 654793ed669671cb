"""Parquet shards of one task and split: written as examples come, never held whole.

Columns: uid, inputs, targets, meta (JSON text), input_ids and labels (lists of int32, `</s>` last).
"""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from mtl.data.tokens import Encoder
from mtl.errors import DataError
from mtl.example import Example
from mtl.fingerprint import canonical_json

BATCH = 256
"""Examples that are encoded at once."""

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


@dataclass(slots=True)
class Lengths:
    """Histograms of token counts, before any cut; and how many inputs were cut, how many tokens were <unk>."""

    inputs: Counter[int] = field(default_factory=Counter)
    targets: Counter[int] = field(default_factory=Counter)
    cut: int = 0
    unknown: int = 0

    @property
    def tokens(self) -> int:
        return sum(length * n for side in (self.inputs, self.targets) for length, n in side.items())


class ShardWriter:
    """Writes `{task}-{split}-{n}.parquet` into `folder`; `content` is a hash of the examples, not of the files."""

    def __init__(
        self,
        folder: Path,
        name: str,
        *,
        encoder: Encoder,
        shard_rows: int,
        max_input_tokens: int,
        max_target_tokens: int,
        lengths: Lengths,
    ) -> None:
        self._folder, self._name, self._encoder = folder, name, encoder
        self._rows, self._max_input, self._max_target = shard_rows, max_input_tokens, max_target_tokens
        self._lengths = lengths
        self._waiting: list[Example] = []
        self._encoded: list[dict[str, object]] = []
        self._content = hashlib.sha256()
        self.examples = 0
        self.paths: list[Path] = []

    @property
    def content(self) -> str:
        return self._content.hexdigest()

    def add(self, example: Example) -> None:
        self._waiting.append(example)
        self.examples += 1
        if len(self._waiting) >= BATCH:
            self._encode()

    def close(self) -> None:
        """Writes what is left."""
        self._encode()
        if self._encoded:
            self._write(self._encoded)
        self._encoded = []

    def _encode(self) -> None:
        waiting, self._waiting = self._waiting, []
        inputs = self._encoder.encode([example.inputs for example in waiting])
        targets = self._encoder.encode([example.targets for example in waiting])
        for example, ids, labels in zip(waiting, inputs, targets, strict=True):
            self._encoded.append(self._row(example, ids, labels))
        while len(self._encoded) >= self._rows:
            self._write(self._encoded[: self._rows])
            self._encoded = self._encoded[self._rows :]

    def _row(self, example: Example, ids: list[int], labels: list[int]) -> dict[str, object]:
        if len(labels) > self._max_target:
            raise DataError(
                f"a target of {example.task} has {len(labels)} tokens, over max_target_tokens {self._max_target}",
                field="data.max_target_tokens",
                hint="task.render must split or drop what does not fit",
            )
        meta = canonical_json(dict(example.meta)).decode()
        text = {"uid": example.uid, "inputs": example.inputs, "targets": example.targets, "meta": meta}
        self._content.update(canonical_json(text) + b"\n")
        self._measure(ids, labels)
        return {**text, "input_ids": self._encoder.cut(ids, self._max_input), "labels": labels}

    def _measure(self, ids: list[int], labels: list[int]) -> None:
        lengths = self._lengths
        lengths.inputs[len(ids)] += 1
        lengths.targets[len(labels)] += 1
        lengths.cut += len(ids) > self._max_input
        lengths.unknown += self._encoder.unknown(ids) + self._encoder.unknown(labels)

    def _write(self, rows: list[dict[str, object]]) -> None:
        path = self._folder / f"{self._name}-{len(self.paths)}.parquet"
        pq.write_table(pa.Table.from_pylist(rows, schema=SCHEMA), path, compression=COMPRESSION)
        self.paths.append(path)
