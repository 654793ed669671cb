"""Answer a file of texts in shards: each is written once, so that a job that was cut off goes on at the next one."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from mtl import progress
from mtl.decoding import GREEDY, Decoding
from mtl.errors import InputError
from mtl.fingerprint import sha256_file, sha256_json
from mtl.release.refs import check_model_folder, resolve_ref
from mtl.serving.batch import Row, answer_rows, read_rows
from mtl.serving.generate import Generator, load_generator
from mtl.store.files import written_aside
from mtl.workspace import Workspace

SCHEMA = pa.schema(
    [
        ("row", pa.int64()),
        ("id", pa.string()),
        ("output", pa.string()),
        ("text", pa.string()),
        ("truncated", pa.bool_()),
        ("error", pa.string()),
    ]
)
"""output: JSON of the summary or the questions, null where the answer is not of the task's form; error: null or why."""
MISSING = pa.field("missing", pa.string())
"""Only with candidates: JSON of what was requested and not found."""
_JOB = b"mtl_job"


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchJob:
    """What all shards of a job share. The version is fixed: a promotion meanwhile changes nothing.

    id: hash of the texts, the request and the version; parts of another job are never taken for this one's.
    """

    id: str
    source: str
    task: str
    request: Mapping[str, Any]
    truncate: bool
    decoding: Decoding
    shard_rows: int
    rows: int
    version: int | None
    folder: str

    @property
    def shards(self) -> int:
        return -(-self.rows // self.shard_rows)


@dataclass(frozen=True, slots=True)
class Part:
    """One written shard: its file, its rows, and how many of them were refused."""

    path: str
    rows: int
    refused: int


def plan(
    workspace: Workspace,
    source: Path,
    *,
    task: str,
    request: Mapping[str, Any],
    model: str,
    ref: str,
    shard_rows: int,
    truncate: bool,
    decoding: Decoding = GREEDY,
) -> BatchJob:
    """The job of answering the texts of `source` with the model that `ref` stands for now."""
    found = resolve_ref(ref, store=workspace.store, model=model, cache=workspace.cache)
    asked = {
        "task": task,
        "request": dict(request),
        "truncate": truncate,
        "shard_rows": shard_rows,
        "version": found.version,
    }
    if decoding != GREEDY:  # a greedy job keeps the id that it had before there were others
        asked["decoding"] = asdict(decoding)
    return BatchJob(
        id=sha256_json([asked, sha256_file(source)]),
        source=str(source.absolute()),
        task=task,
        request=dict(request),
        truncate=truncate,
        decoding=decoding,
        shard_rows=shard_rows,
        rows=sum(1 for _ in read_rows(source)),
        version=found.version,
        folder=str(found.folder),
    )


def run_shard(job: BatchJob, number: int, destination: Path) -> Part:
    """Answer shard `number` into `destination/part-NNNNN.parquet`, unless it is there.

    Errors: InputError if the part there is of another job, or the request is wrong.
    """
    part = find_part(job, number, destination)
    if part is None:
        first = number * job.shard_rows
        rows = list(islice(read_rows(Path(job.source)), first, first + job.shard_rows))
        part = write_part(job, number, destination, answer_shard(job, _generator(job.folder), rows))
    progress.report("generate", number + 1, job.shards, Path(part.path).name)
    return part


def answer_shard(job: BatchJob, generator: Generator, rows: Sequence[Row]) -> list[dict[str, Any]]:
    """One document for each row; see `mtl.serving.batch.answer_rows`."""
    asked: Any = {"request": job.request, "truncate": job.truncate, "decoding": job.decoding}
    return answer_rows(generator, rows, job.task, **asked)


def write_part(job: BatchJob, number: int, destination: Path, answers: Sequence[Mapping[str, Any]]) -> Part:
    """The part of shard `number`, whole or not at all."""
    schema = SCHEMA.append(MISSING) if job.decoding.candidates > 1 else SCHEMA
    table = pa.Table.from_pylist([_columns(answer) for answer in answers], schema=schema)
    table = table.replace_schema_metadata({_JOB: job.id.encode()})
    path = _path(number, destination)
    with written_aside(path) as out:
        pq.write_table(table, out, compression="zstd")
    return _part(path, table)


def find_part(job: BatchJob, number: int, destination: Path) -> Part | None:
    """The part of shard `number`, if it was written before. Errors: InputError if it is one of another job."""
    path = _path(number, destination)
    if not path.exists():
        return None
    table = pq.read_table(path)
    if (table.schema.metadata or {}).get(_JOB) != job.id.encode():
        raise InputError(
            f"{path} is a part of another job (other texts, task, request or model)",
            field="destination",
            hint="give an empty folder",
        )
    return _part(path, table)


def _path(number: int, destination: Path) -> Path:
    return destination / f"part-{number:05}.parquet"


def _part(path: Path, table: pa.Table) -> Part:
    return Part(str(path), rows=table.num_rows, refused=table.num_rows - table["error"].null_count)


def _columns(answer: Mapping[str, Any]) -> dict[str, Any]:
    error: Any = answer.get("error")
    output, missing = answer.get("output"), answer.get("missing")
    return {
        "row": answer["row"],
        "id": answer["id"],
        "output": None if output is None else json.dumps(output, ensure_ascii=False),
        "text": answer.get("text"),
        "truncated": answer.get("truncated"),
        "missing": None if missing is None else json.dumps(missing),
        "error": None if error is None else f"{error['kind']}: {error['message']}",
    }


@lru_cache(maxsize=1)
def _generator(folder: str) -> Generator:
    """One model in memory for all shards of a process, checked when it is loaded."""
    return load_generator(check_model_folder(Path(folder)), engine="auto")
