"""Answer a file of texts in shards: each is written once, so that a job that was cut off goes on at the next one."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from mtl import progress
from mtl.chain.common import Document
from mtl.errors import InputError
from mtl.fingerprint import sha256_file, sha256_json
from mtl.serving.batch import answer_rows, read_rows
from mtl.serving.generate import Generator, load_generator
from mtl.settings import load_settings
from mtl.store.files import written_aside
from mtl.store.open import open_store

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
_JOB = b"mtl_job"


def plan(
    source: Path,
    *,
    task: str,
    request: Mapping[str, int],
    model: str,
    ref: str,
    shard_rows: int,
    truncate: bool,
) -> Document:
    """Everything that the shards share. The version is fixed here: a promotion meanwhile changes nothing."""
    from mtl.release.refs import resolve_ref

    settings = load_settings()
    found = resolve_ref(ref, store=open_store(settings.store), model=model, cache=settings.cache)
    rows = sum(1 for _ in read_rows(source))
    job: Document = {
        "source": str(source.absolute()),
        "task": task,
        "request": dict(request),
        "truncate": truncate,
        "shard_rows": shard_rows,
        "rows": rows,
        "shards": -(-rows // shard_rows),
        "version": found.version,
        "folder": str(found.folder),
    }
    kept = {name: job[name] for name in ("task", "request", "truncate", "shard_rows", "version")}
    return job | {"job": sha256_json([kept, sha256_file(source)])}


def run_shard(job: Document, number: int, destination: Path) -> Document:
    """Answer shard `number` into `destination/part-NNNNN.parquet`, unless it is there.

    Errors: InputError if the part there is of another job, or the request is wrong.
    """
    path = destination / f"part-{number:05}.parquet"
    kept = _kept(path, job["job"])
    if kept is None:
        first = number * job["shard_rows"]
        rows = list(islice(read_rows(Path(job["source"])), first, first + job["shard_rows"]))
        answers = answer_rows(
            _generator(job["folder"]), rows, job["task"], request=job["request"], truncate=job["truncate"]
        )
        kept = pa.Table.from_pylist([_columns(answer) for answer in answers], schema=SCHEMA)
        kept = kept.replace_schema_metadata({_JOB: job["job"].encode()})
        with written_aside(path) as out:
            pq.write_table(kept, out, compression="zstd")
    progress.report("generate", number + 1, job["shards"], path.name)
    return {"part": str(path), "rows": kept.num_rows, "refused": kept.num_rows - kept["error"].null_count}


def _kept(path: Path, job: str) -> pa.Table | None:
    if not path.exists():
        return None
    table = pq.read_table(path)
    if (table.schema.metadata or {}).get(_JOB) != job.encode():
        raise InputError(
            f"{path} is a part of another job (other texts, task, request or model)",
            field="destination",
            hint="give an empty folder",
        )
    return table


def _columns(answer: Document) -> Document:
    error: Any = answer.get("error")
    output = answer.get("output")
    return {
        "row": answer["row"],
        "id": answer["id"],
        "output": None if output is None else json.dumps(output, ensure_ascii=False),
        "text": answer.get("text"),
        "truncated": answer.get("truncated"),
        "error": None if error is None else f"{error['kind']}: {error['message']}",
    }


@lru_cache(maxsize=1)
def _generator(folder: str) -> Generator:
    """One model in memory for all shards of a process, checked when it is loaded."""
    from mtl.release.refs import check_model_folder

    return load_generator(check_model_folder(Path(folder)), engine="auto")
