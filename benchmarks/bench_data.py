"""How fast rows become a data set: the straightforward recipe against `mtl prepare`, on the same rows, in turns.

    python benchmarks/bench_data.py --quick
    python benchmarks/bench_data.py --articles 300000 --passages 27933 --ours-only

The recipe is what one writes first: load all rows into memory, turn them into examples (with the tasks' own functions,
so that the texts are the same), tokenise each with `datasets.map` in one process, write Parquet. Ours also accounts
for every row, looks for duplicates and near-duplicates, and hashes what it writes. Both end with the same token ids.
`ratio` is recipe over ours from the rows on; `ratio_texts_given` leaves out what the recipe spends on making the texts.

`--ours-only` prepares once, and once more with nothing changed: every row that was written must be counted, and the
peak of memory is that of all processes together (what they share counts for each, so the truth is below).

Rows are real ones where ../shared/data lies beside the repository (else the demo corpus), multiplied to the wanted
number: every copy has words of its own in it, new ones too, as a larger corpus would, and one row in 500 is spoilt.
"""

from __future__ import annotations

import argparse
import contextlib
import gzip
import json
import random
import shutil
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil

from mtl.config.data import DataConfig, SourceConfig
from mtl.data.dataset import open_dataset
from mtl.data.manifest import DatasetManifest, SplitCounts
from mtl.data.prepare import prepare
from mtl.data.recipe import recipe
from mtl.model.base import resolve_base
from mtl.model.tokenizer import load_tokenizer
from mtl.sources.demo.corpus import articles as demo_articles
from mtl.sources.demo.corpus import passages as demo_passages
from mtl.store.folder import FolderStore
from mtl.task import BadRow
from mtl.tasks.table import TASKS

SEED = 17
SHARED = Path(__file__).parents[1] / ".." / "shared" / "data"
NEW_WORDS = 0.02
"""Share of words that a copy has for itself: about what each further article adds to a corpus of this size."""
SPOILT = 500
"""One row in so many is broken, in one of several ways."""
HELD = 50
"""One row in so many goes to validation."""

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
    options.articles = options.articles or (2000 if options.quick else 12000)
    options.passages = options.passages or (1500 if options.quick else 9000)
    return options


def _compare(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    config, written = _write_rows(folder / "rows", options)
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
    return {
        "benchmark": "data",
        "ratio": round(statistics.median(from_rows) / middle, 2),
        "recipe_seconds": round(statistics.median(from_rows), 2),
        "ours_seconds": round(middle, 2),
        "ratio_texts_given": round(statistics.median(texts_given) / middle, 2),
        "recipe_texts_given_seconds": round(statistics.median(texts_given), 2),
        "recipe_all": [round(value, 2) for value in from_rows],
        "ours_all": [round(value, 2) for value in ours],
        "rows": sum(its.rows for its in _counts(manifest)),
        "examples": sum(its.examples for its in _counts(manifest)),
        "identical_token_ids": True,
        "data": "real, multiplied" if SHARED.is_dir() else "demo",
    }


def _ours_only(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    (config, written), tokenizer = _write_rows(folder / "rows", options), _tokenizer()
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


def _write_rows(folder: Path, options: argparse.Namespace) -> tuple[DataConfig, int]:
    """Rows as files: the configuration that reads them, and how many there are."""
    news, race, written = folder / "news", folder / "race", 0
    for path, rows, number in ((news, _articles(), options.articles), (race, _passages(), options.passages)):
        path.mkdir(parents=True)
        written += _write_split(path / "train.jsonl", rows["train"], number - number // HELD)
        written += _write_split(path / "validation.jsonl", rows["validation"], number // HELD)
    sources = [SourceConfig(task="summarize", uri=str(news)), SourceConfig(task="mcq", uri=str(race))]
    return DataConfig(sources=sources, processes=options.processes), written


def _write_split(path: Path, groups: list[list[Row]], number: int) -> int:
    written = 0
    with path.open("w", encoding="utf-8") as file:
        for copy in range(number):
            for row in _varied(groups[copy % len(groups)], copy // len(groups)):
                written += 1
                file.write((json.dumps(row) if written % SPOILT else _spoilt(row, written // SPOILT)) + "\n")
    return written


def _spoilt(row: Row, number: int) -> str:
    broken = ({**row, "article": ""}, {**row, "article": 7}, {**row, "article": "a\0b"}, {"article": row["article"]})
    return [json.dumps(row)[:-9], *map(json.dumps, broken)][number % 5]


def _varied(rows: list[Row], copy: int) -> list[Row]:
    """The rows of one text with some words exchanged, the same way in each row."""
    if not copy:
        return rows
    rng = random.Random(f"{copy}:{rows[0]['article'][:200]}")
    words = rows[0]["article"].split(" ")
    for _ in range(max(4, round(NEW_WORDS * len(words)))):
        words[rng.randrange(len(words))] = _new_word(rng)
    return [{**row, "article": " ".join(words)} for row in rows]


def _new_word(rng: random.Random) -> str:
    return "".join(rng.choice("bcdfglmnprstv") + rng.choice("aeiou") for _ in range(rng.randint(2, 4))).capitalize()


def _articles() -> dict[str, list[list[Row]]]:
    if SHARED.is_dir():
        return {split: [[row] for row in _shared("cnn_dailymail", split)] for split in ("train", "validation")}
    return {split: [[row] for row in demo_articles(seed, 400)] for seed, split in enumerate(("train", "validation"))}


def _passages() -> dict[str, list[list[Row]]]:
    found: dict[str, list[list[Row]]] = {}
    for seed, split in enumerate(("train", "validation")):
        rows = _shared("race", split) if SHARED.is_dir() else iter(demo_passages(seed, 400))
        grouped: dict[str, list[Row]] = {}
        for row in rows:
            grouped.setdefault(str(row["article"]), []).append(row)
        found[split] = list(grouped.values())
    return found


def _shared(name: str, split: str) -> Iterator[Row]:
    with gzip.open(SHARED / name / f"{split}.jsonl.gz") as file:
        yield from map(json.loads, file)


if __name__ == "__main__":
    main()
