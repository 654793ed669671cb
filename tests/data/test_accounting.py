"""Rows in = kept + merged + quarantined, whatever has happened to the files; or else an error in words."""

from __future__ import annotations

import csv
import io
import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mtl.config.data import DataConfig
from mtl.data.prepare import prepare
from mtl.data.reading import open_for, read_row
from mtl.errors import MtlError
from mtl.sources.base import Part
from mtl.store.memory import MemoryStore
from mtl.task import BadRow
from mtl.tasks.table import get_task
from tests.support.rows import Row, article, question
from tests.support.words import word_tokenizer

ROWS: dict[str, list[Row]] = {
    "summarize": [article(n, highlights=f"School {n}, it opened.") for n in range(12)],
    "mcq": [question(n, passage=f"Passage {n // 2} says, that Tom has a dog.") for n in range(12)],
}


def jsonl(rows: list[Row]) -> bytes:
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


def comma(rows: list[Row]) -> bytes:
    file = io.StringIO()
    writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows({**row, **({"options": json.dumps(row["options"])} if "options" in row else {})} for row in rows)
    return file.getvalue().encode()


def parquet(rows: list[Row]) -> bytes:
    file = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows), file, row_group_size=5, compression="none", use_dictionary=False)
    return file.getvalue()


WRITERS: dict[str, Callable[[list[Row]], bytes]] = {"jsonl": jsonl, "csv": comma, "parquet": parquet}
_BITS = [b'"', b'""', b'",', b',"', b"\n", b"\\", b"\xff", b"\x00", b"}", b"[", b"\x93", b"7", b"\r", b"\xef\xbb\xbf"]
_DAMAGE = st.tuples(
    st.sampled_from(["insert", "replace", "delete", "double", "cut"]), st.floats(0, 1), st.sampled_from(_BITS)
)


def damaged(data: bytes, kind: str, where: float, bit: bytes) -> bytes:
    at = int(where * len(data))
    if kind == "insert":
        return data[:at] + bit + data[at:]
    if kind == "replace":
        return data[:at] + bit + data[at + len(bit) :]
    if kind == "double":  # the same lines once more
        return data[:at] + data[at // 2 : at] + data[at:]
    return data[:at] + (data[at + 3 :] if kind == "delete" else b"")


def config(task: str, folder: Path) -> DataConfig:
    source = {"task": task, "uri": str(folder)}
    return DataConfig.model_validate({"sources": [source], "max_bad_share": 1.0, "max_target_tokens": 1024})


@pytest.mark.parametrize("task", ROWS)
@pytest.mark.parametrize("kind", WRITERS)
@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(harm=st.lists(_DAMAGE, min_size=1, max_size=3))
def test_every_row_of_a_damaged_file_is_accounted_for(kind: str, task: str, harm: list[Any]) -> None:
    data = WRITERS[kind](ROWS[task])
    for one in harm:
        data = damaged(data, *one)
    with tempfile.TemporaryDirectory() as name:
        folder, store = Path(name), MemoryStore()
        (folder / f"train.{kind}").write_bytes(data)
        try:
            manifest = prepare(
                config(task, folder), seed=5, tokenizer=word_tokenizer(), store=store, cache=folder / ".cache"
            )
        except MtlError as error:
            assert f"train.{kind}" in error.message or "no training example" in error.message, error.message
            return
        for its in manifest.counts[task].values():
            assert its.rows == its.kept + its.merged + its.quarantined
        lines = store.get(f"datasets/{manifest.fingerprint}/quarantine.jsonl").splitlines()
        assert len(lines) == sum(its.quarantined for its in manifest.counts[task].values())


@pytest.mark.parametrize("task", ROWS)
@pytest.mark.parametrize("kind", WRITERS)
@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True, max_examples=40)
@given(harm=st.lists(_DAMAGE.filter(lambda one: one[0] in ("insert", "replace")), min_size=1, max_size=3))
def test_damage_takes_no_more_rows_than_it_touches(kind: str, task: str, harm: list[Any]) -> None:
    """Of n rows, harm in k places leaves at least n rows less the line breaks that it took; at most 2 k of them are not
    as they were. No law: two quotes may write what a csv writer would write. So the examples are always the same."""
    data = whole = WRITERS[kind](ROWS[task])
    for one in harm:
        data = damaged(data, *one)
    good = {_key(value) for value in _records(task, kind, whole)}
    try:
        found = _records(task, kind, data)
    except MtlError as error:
        assert f"train.{kind}" in error.message
        return
    assert len(found) >= len(ROWS[task]) - max(0, whole.count(b"\n") - data.count(b"\n")) or kind == "parquet"
    assert sum(_key(value) not in good for value in found if not isinstance(value, BadRow)) <= 2 * len(harm)


def _key(record: Any) -> str:
    return repr(record)


def _records(task: str, kind: str, data: bytes) -> list[Any]:
    """What the task makes of each row of a file, read in two parts."""
    with tempfile.TemporaryDirectory() as name:
        (Path(name) / f"train.{kind}").write_bytes(data)
        (one,) = config(task, Path(name)).sources
        source, found = open_for(get_task(task), one, 5, cache=Path(name) / ".cache"), list[Any]()
        for part in (Part(0, 2), Part(1, 2)):
            for raw in source.rows("train", part):
                try:
                    found.append(read_row(get_task(task), raw))
                except BadRow as bad:
                    found.append(bad)
        return found
