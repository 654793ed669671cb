"""The shards of a batch generation, answered by the workers of a Ray cluster and written here."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from mtl import progress
from mtl.cluster import connected
from mtl.cluster.actors import Answer, workers
from mtl.cluster.folders import SentFolder, receive, send
from mtl.errors import InputError
from mtl.pipeline.generate import BatchJob, Part, answer_shard, find_part, write_part
from mtl.release.refs import check_model_folder
from mtl.serving.batch import Row, read_rows
from mtl.serving.folder import travelling_files
from mtl.serving.generate import load_generator


def run_shards(job: BatchJob, destination: Path, *, gpu: bool = False) -> list[Part]:
    """The parts of all shards. One that is there is found again; the others are the same as `run_shard` writes.

    gpu: whether each worker takes one; else it sees none.
    Errors: those of `run_shard`; TransientError where the cluster is gone, and InputError where its machines generate
    differently, and then what is written stays.
    """
    import torch

    found = {number: find_part(job, number, destination) for number in range(job.shards)}
    parts = {number: part for number, part in found.items() if part is not None}
    missing = [number for number in range(job.shards) if number not in parts]
    progress.report("generate", len(parts), job.shards)
    if missing:
        folder, threads = check_model_folder(Path(job.folder)), torch.get_num_threads()
        with connected() as ray:
            make = _Make(job, send(ray, travelling_files(folder)), threads)
            with workers(make, most=len(missing), cpus=threads, gpu=gpu) as pool:
                mode = ""
                for _, place, (its, answers) in pool.answers({"shards": _shards(job, missing)}):
                    mode, number = mode or its, missing[place]
                    _check_mode(its, mode)
                    parts[number] = write_part(job, number, destination, answers)
                    progress.report("generate", len(parts), job.shards, Path(parts[number].path).name)
    return [parts[number] for number in range(job.shards)]


def _check_mode(its: str, first: str) -> None:
    if its != first:
        raise InputError(
            f"the machines of the Ray cluster generate differently: by {its} and by {first}",
            field="engine",
            hint="take those with other processors or GPUs out of the cluster (ray stop there), and run it again",
        )


def _shards(job: BatchJob, numbers: Collection[int]) -> Iterator[list[Row]]:
    """The rows of those shards, one shard in memory at a time."""
    rows, wanted = read_rows(Path(job.source)), set(numbers)
    for number in range(job.shards):
        shard = list(islice(rows, job.shard_rows))
        if number in wanted:
            yield shard


@dataclass(frozen=True, slots=True)
class _Make:
    """Loads the model on a worker. threads: those of one process here, because CTranslate2 batches by them."""

    job: BatchJob
    model: SentFolder
    threads: int

    def __call__(self) -> Answer:
        import torch

        torch.set_num_threads(self.threads)
        generator = load_generator(receive(self.model), engine="auto")

        def answer(rows: list[Row]) -> tuple[str, list[dict[str, Any]]]:
            return generator.mode(self.job.decoding), answer_shard(self.job, generator, rows)

        return answer
