"""How fast rows become a data set: the straightforward recipe against `mtl prepare`, on the same rows, in turns.

    python benchmarks/bench_data.py --quick
    python benchmarks/bench_data.py --articles 300000 --passages 27933 --ours-only

The recipe is what one writes first: load all rows into memory, turn them into examples (with the tasks' own functions,
so that the texts are the same), tokenise each with `datasets.map` in one process, write Parquet. Ours also accounts
for every row, looks for duplicates and near-duplicates, and hashes what it writes. Both end with the same token ids.
`ratio` is recipe over ours from the rows on; `ratio_texts_given` leaves out what the recipe spends on making the texts.

`more_rows_ratio` is the wall time for 1% more rows at the end of the files over that for all rows from nothing; the two
data sets are compared byte for byte. `passed` says for each bar whether it was reached.

`--ours-only` prepares once, and once more with nothing changed: every row that was written must be counted, and the
peak of memory is that of all processes together (what they share counts for each, so the truth is below).

Rows are real ones where ../shared/data lies beside the repository (else the demo corpus), multiplied to the wanted
number: every copy has words of its own in it, new ones too, as a larger corpus would, and one row in 500 is spoilt.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import resource
import shutil
import statistics
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import psutil
from data_rows import SHARED, add_rows, write_rows

from mtl.config.data import DataConfig, SourceConfig
from mtl.data.dataset import open_dataset
from mtl.data.manifest import DatasetManifest, SplitCounts
from mtl.data.prepare import prepare
from mtl.data.recipe import recipe
from mtl.model.base import resolve_base
from mtl.model.tokenizer import load_tokenizer
from mtl.store.folder import FolderStore
from mtl.task import BadRow
from mtl.tasks.table import TASKS

SEED = 17
LEAST, LEAST_QUICK = 12, 8
"""Bars for `ratio`."""
MORE, MOST_FOR_MORE = 0.01, 0.1
"""Share of new rows, and the bar for what preparing them takes of preparing the whole."""

Row = dict[str, Any]


def main() -> None:
    """Runs the benchmark and prints one JSON document, last."""
    options = _options()
    folder = Path(tempfile.mkdtemp(prefix="bench-data-"))
    try:
        print(json.dumps(_ours_only(options, folder) if options.ours_only else _compare(options, folder)))
    finally:
        shutil.rmtree(folder)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="fewer rows, under three minutes")
    parser.add_argument("--articles", type=int, help="rows of summarize")
    parser.add_argument("--passages", type=int, help="passages of mcq, each with its questions")
    parser.add_argument("--repeats", type=int, default=3, help="turns that each side gets")
    parser.add_argument("--processes", type=int, help="default: one a core")
    parser.add_argument("--ours-only", action="store_true", help="one preparation: counts, seconds, memory")
    options = parser.parse_args()
    options.least = LEAST_QUICK if options.quick else LEAST
    options.articles = options.articles or (2000 if options.quick else 12000)
    options.passages = options.passages or (1500 if options.quick else 9000)
    return options


def _compare(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    config, written = _rows(folder / "rows", options)
    tokenizer = _tokenizer()
    from_rows, texts_given, ours = [], [], []
    manifest: DatasetManifest | None = None
    for turn in range(options.repeats):
        again, seconds = _ours(config, tokenizer, folder / "ours")
        ours.append(seconds)
        assert manifest in (None, again), "two preparations of the same rows differ"
        manifest = again
        seconds, tokenising, done = _recipe(config, tokenizer, folder / "recipe")
        from_rows.append(seconds)
        texts_given.append(tokenising)
        same = _check_ids(done, manifest, folder / "ours")
        sides = f"recipe {seconds:.1f} s ({tokenising:.1f} s from the texts on), ours {ours[-1]:.1f} s"
        print(f"turn {turn + 1}: {sides}, {same} examples alike", file=sys.stderr)
        shutil.rmtree(folder / "ours")
    assert manifest is not None
    assert sum(its.rows for its in _counts(manifest)) == written
    middle = statistics.median(ours)
    ratio = round(statistics.median(from_rows) / middle, 2)
    more = _some_more(options, config, folder / "rows", folder)
    return {
        "benchmark": "data",
        "ratio": ratio,
        "recipe_seconds": round(statistics.median(from_rows), 2),
        "ours_seconds": round(middle, 2),
        "ratio_texts_given": round(statistics.median(texts_given) / middle, 2),
        "recipe_texts_given_seconds": round(statistics.median(texts_given), 2),
        "recipe_all": [round(value, 2) for value in from_rows],
        "ours_all": [round(value, 2) for value in ours],
        "rows": sum(its.rows for its in _counts(manifest)),
        "examples": sum(its.examples for its in _counts(manifest)),
        "identical_token_ids": True,
        **more,
        "data": "real, multiplied" if SHARED.is_dir() else "demo",
        "passed": {
            f"ratio >= {options.least:g}": ratio >= options.least,
            f"more_rows_ratio <= {MOST_FOR_MORE}": more["more_rows_ratio"] <= MOST_FOR_MORE,
        },
    }


def _ours_only(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    (config, written), tokenizer = _rows(folder / "rows", options), _tokenizer()
    with _Memory() as memory:
        manifest, seconds = _ours(config, tokenizer, folder / "ours")
    counts = _counts(manifest)
    found, again = _ours(config, tokenizer, folder / "ours")
    assert found == manifest
    kinds = {kind: sum(getattr(its, kind) for its in counts) for kind in ("kept", "merged", "quarantined")}
    assert written == sum(its.rows for its in counts) == sum(kinds.values())
    return {
        "benchmark": "data",
        "seconds": round(seconds, 1),
        "again_seconds": round(again, 3),
        "rows_written": written,
        "rows": sum(its.rows for its in counts),
        **kinds,
        "quarantine": manifest.quarantine,
        "examples": sum(its.examples for its in counts),
        "peak_mb_all_processes": round(memory.peak / 2**20),
        "mb_before": round(memory.before / 2**20),
    }


def _rows(folder: Path, options: argparse.Namespace) -> tuple[DataConfig, int]:
    return write_rows(folder, articles=options.articles, passages=options.passages, processes=options.processes)


def _some_more(options: argparse.Namespace, config: DataConfig, rows: Path, folder: Path) -> dict[str, Any]:
    """1% more rows in files that were prepared before, against all of them from nothing, in turns."""
    tokenizer, some, whole, added = _tokenizer(), [], [], 0
    _prepared(config, tokenizer, folder / "kept")
    for turn in range(options.repeats):
        added = add_rows(rows, share=MORE, turn=turn)
        again = _prepared(config, tokenizer, folder / "kept")
        fresh = _prepared(config, tokenizer, folder / "fresh")
        assert again[0] == fresh[0], "the data set is not the one that is made from nothing"
        for path in (folder / "fresh" / "store").rglob("*.*"):
            its = folder / "kept" / path.relative_to(folder / "fresh")
            assert its.read_bytes() == path.read_bytes(), path.name
        some.append(again[1:])
        whole.append(fresh[1:])
        print(f"turn {turn + 1}: {added} more rows {again[1]:.2f} s, all {fresh[1]:.2f} s", file=sys.stderr)
        shutil.rmtree(folder / "fresh")
    wall, cpu = ([statistics.median(side[measure] for side in sides) for sides in (some, whole)] for measure in (0, 1))
    return {
        "more_rows": added,
        "more_rows_ratio": round(wall[0] / wall[1], 3),
        "more_rows_seconds": round(wall[0], 2),
        "all_rows_seconds": round(wall[1], 2),
        "more_rows_cpu_ratio": round(cpu[0] / cpu[1], 3),
        "byte_identical": True,
    }


def _prepared(config: DataConfig, tokenizer: Any, folder: Path) -> tuple[DatasetManifest, float, float]:
    """(data set, seconds, seconds of processors)"""
    started = _cpu()
    manifest, seconds = _ours(config, tokenizer, folder)
    return manifest, seconds, _cpu() - started


def _cpu() -> float:
    """Of this process and those below it that have ended."""
    return sum(sum(resource.getrusage(who)[:2]) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))


class _Memory:
    """Resident memory of this process and all below it together, looked at ten times a second."""

    def __init__(self) -> None:
        self.before = self.peak = _resident()
        self._done = threading.Event()
        self._watch = threading.Thread(target=self._look)

    def __enter__(self) -> _Memory:
        self._watch.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._watch.join()

    def _look(self) -> None:
        while not self._done.wait(0.1):
            self.peak = max(self.peak, _resident())


def _resident() -> int:
    total, own = 0, psutil.Process()
    for process in (own, *own.children(recursive=True)):
        with contextlib.suppress(psutil.NoSuchProcess):
            total += process.memory_info().rss
    return total


def _counts(manifest: DatasetManifest) -> list[SplitCounts]:
    return [its for splits in manifest.counts.values() for its in splits.values()]


def _ours(config: DataConfig, tokenizer: Any, folder: Path) -> tuple[DatasetManifest, float]:
    started = time.perf_counter()
    store = FolderStore(str(folder / "store"))
    manifest = prepare(config, seed=SEED, tokenizer=tokenizer, store=store, cache=folder / "cache")
    return manifest, time.perf_counter() - started


def _recipe(config: DataConfig, tokenizer: Any, folder: Path) -> tuple[float, float, Any]:
    """Seconds in all, seconds from the texts on, and the tokenised rows."""
    import datasets

    datasets.disable_progress_bars()
    started = time.perf_counter()
    texts = [text for source in config.sources for text in _texts(source, config, tokenizer)]
    made = time.perf_counter()

    def tokenise(row: Row) -> Row:
        inputs = tokenizer(row["inputs"], max_length=config.max_input_tokens, truncation=True)["input_ids"]
        return {"input_ids": inputs, "labels": tokenizer(text_target=row["targets"])["input_ids"]}

    done = datasets.Dataset.from_list(texts).map(tokenise, load_from_cache_file=False)
    done.to_parquet(str(folder.with_suffix(".parquet")))
    ended = time.perf_counter()
    return ended - started, ended - made, done


def _texts(source: SourceConfig, config: DataConfig, tokenizer: Any) -> list[Row]:
    """Inputs and targets of all rows of a source, in memory, as the task makes them."""
    task, settings = TASKS[source.task], recipe(config, SEED)
    found = []
    for split in ("train", "validation"):
        grouped: dict[str, list[Any]] = {}
        for line in (Path(source.uri) / f"{split}.jsonl").read_text(encoding="utf-8").splitlines():
            try:
                record = task.read(json.loads(line))
            except (BadRow, ValueError):
                continue
            grouped.setdefault(task.passage(record), []).append(record)
        options = settings.render_options(split, lambda text: len(tokenizer(text)["input_ids"]))
        for records in grouped.values():
            examples = task.render(task.join(records)[0], options).examples
            found += [{"uid": its.uid, "inputs": its.inputs, "targets": its.targets} for its in examples]
    return found


def _check_ids(done: Any, manifest: DatasetManifest, folder: Path) -> int:
    """How many examples ours has; AssertionError unless the recipe has them all, with the same ids."""
    data = open_dataset(FolderStore(str(folder / "store")), manifest.fingerprint, folder / "cache")
    theirs = {row["uid"]: (row["input_ids"], row["labels"]) for row in done}
    seen = 0
    for task, splits in manifest.counts.items():
        for split in splits:
            for row in data.table(task, split).select(["uid", "input_ids", "labels"]).to_pylist():
                assert theirs[row["uid"]] == (row["input_ids"], row["labels"]), f"ids of {task} {row['uid']} differ"
                seen += 1
    return seen


def _tokenizer() -> Any:
    location = SHARED / "t5_tokenizer"
    if not location.is_dir():
        location = Path(resolve_base("demo", None).location)
    return load_tokenizer(location, [task.token for task in TASKS.values()])


if __name__ == "__main__":
    main()
