"""What it costs to read a data set that does not fit: one epoch of batches, from memory and from shards in the store.

    python benchmarks/bench_streaming.py [--quick] [--rows N]

Both sides read the same batches of the demo's documents, each in a process of its own with an empty cache, and nothing
is trained. `room` is a tenth of the token ids for the side that streams, so that it reads all shards about twenty
times. The last line is one JSON object: `ratio` is the peak memory of the side that streams over that of the other,
both above what the process had before; `microseconds` is the CPU time a token.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from mtl.config.retrain import RetrainConfig, parse_config
from mtl.data.dataset import open_dataset
from mtl.data.prepare import prepare
from mtl.model.base import DEMO, resolve_base
from mtl.model.tokenizer import load_tokenizer
from mtl.store.folder import FolderStore
from mtl.tasks.table import get_task
from mtl.training.batches import RankBatches, batch_stream
from mtl.training.dataset import TokenisedSplit, collate
from mtl.training.streaming import StreamedBatches

TASKS = ["summarize", "mcq"]
TOKENS = 8192
SHARE = 10


class Store(FolderStore):
    """Counts the bytes that it gives."""

    read = 0

    def get_file(self, key: str, path: Path) -> None:
        super().get_file(key, path)
        self.read += path.stat().st_size


def configuration(rows: int) -> RetrainConfig:
    sources = [{"task": task, "uri": "demo", "rows": {"train": rows // 2, "validation": 8}} for task in TASKS]
    data = {"sources": sources, "max_input_tokens": 512, "max_target_tokens": 256, "near_duplicates": None}
    return parse_config({"name": "bench", "data": {**data, "shard_rows": 1024}, "model": {"base": DEMO}})


def prepared(folder: Path, rows: int) -> str:
    """The fingerprint of the data set, in a store below `folder`."""
    config = configuration(rows)
    tokenizer = load_tokenizer(resolve_base(DEMO).location, [get_task(name).token for name in TASKS])
    store = FolderStore(folder / "store")
    made = prepare(config.data, seed=config.seed, tokenizer=tokenizer, store=store, cache=folder / "cache")
    return made.fingerprint


def side(folder: Path, fingerprint: str, room: int) -> dict[str, Any]:
    """One epoch of batches with so much room for token ids and files."""
    small = TokenisedSplit(open_dataset(FolderStore(folder / "store"), fingerprint, folder), "validation", TASKS)
    collate([small[0]])  # what libraries take once is not counted
    before = psutil.Process().memory_info().rss
    began, cpu = time.monotonic(), time.process_time()
    store = Store(folder / "store")
    with tempfile.TemporaryDirectory(dir=folder) as cache:
        split = TokenisedSplit(open_dataset(store, fingerprint, Path(cache), room=room), "train", TASKS)
        mixture = configuration(2).data.mixture

        def stream() -> Any:
            order = lambda epoch: split.ordered(mixture, seed=0, epoch=epoch)  # noqa: E731
            return batch_stream(order, split.sources, split.targets, max_tokens=TOKENS, seed=0)

        tokens = int(split.sources.sum() + split.targets.sum())
        batches = RankBatches(stream, total=tokens // TOKENS)
        streamed = StreamedBatches(split, batches) if split.whole is None else None
        digest = hashlib.sha256()
        for number, batch in enumerate(batches):
            items = [split[index] for index in batch] if streamed is None else streamed[number]
            digest.update(collate(items)["input_ids"].numpy().tobytes())
        seconds, cpu = time.monotonic() - began, time.process_time() - cpu
        on_disk = sum(path.stat().st_size for path in Path(cache).rglob("*.parquet"))
    return {
        "seconds": round(seconds, 2),
        "cpu": round(cpu, 2),
        "microseconds": round(cpu / tokens * 1e6, 3),
        "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 - before,
        "read": store.read,
        "on_disk": on_disk,
        "tokens": tokens,
        "batches": digest.hexdigest(),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="8,000 rows instead of 80,000")
    parser.add_argument("--rows", type=int, help="rows of the demo")
    parser.add_argument("--side", nargs=3, metavar=("FOLDER", "FINGERPRINT", "ROOM"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.side:
        folder, fingerprint, room = options.side
        print(json.dumps(side(Path(folder), fingerprint, int(room))))
        return
    rows = options.rows or (8_000 if options.quick else 80_000)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        fingerprint = prepared(folder, rows)
        whole = _run(folder, fingerprint, 10**15)
        streamed = _run(folder, fingerprint, 4 * whole["tokens"] // SHARE)
    assert streamed["batches"] == whole["batches"], "the batches differ"
    print(json.dumps({"ratio": streamed["peak"] / whole["peak"], "rows": rows, "memory": whole, "streamed": streamed}))


def _run(folder: Path, fingerprint: str, room: int) -> dict[str, Any]:
    command = [sys.executable, __file__, "--side", str(folder), fingerprint, str(room)]
    answer = subprocess.run(command, check=True, capture_output=True, text=True)
    found: dict[str, Any] = json.loads(answer.stdout.splitlines()[-1])
    print({name: value for name, value in found.items() if name != "batches"}, flush=True)
    return found


if __name__ == "__main__":
    main()
