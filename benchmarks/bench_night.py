"""What a night costs when 1% of the rows are new: `mtl retrain` after such a night, against a first night from nothing.

    python benchmarks/bench_night.py [--quick] [--folder FOLDER]

Two sizes: `demo` (conf/demo.yaml with the demo's rows as files; `--quick` measures it alone) and `larger` (a base of
FLAN-T5-small's shape with random weights, on the rows of ../shared/data where they lie beside the repository, else on
the demo's). The same second night runs twice from the same state: `before` with a fresh adapter, an empty cache and no
kept predictions, `after` with `train.from: champion` and all that the first night left. Each run is the command that
a user types, in a process of its own. The last line is one JSON object; for each size

ratio      wall time of `after` over that of the first night (at most 0.25 for demo, 0.15 for larger)
seconds    of each run as a whole, and of its steps
tokens     that each run trained on, and answers that its evaluation wrote or took from earlier ones
same       whether both second nights made the same data set byte for byte, and whether the report of the new version
           is the same with and without kept predictions
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import torch
import yaml
from transformers import AutoTokenizer, T5Config, T5ForConditionalGeneration
from warm_nights import training_tokens

from mtl import layout
from mtl.config.retrain import load_config
from mtl.model.base import resolve_base
from mtl.settings import load_settings
from mtl.sources.demo.corpus import articles, passages
from mtl.training.parent import parse_parent
from mtl.workspace import open_workspace

PROJECT = Path(__file__).parents[1]
SHARED = PROJECT / ".." / "shared" / "data"
SEED = 17
NEW = 0.01
"""Share of the train rows that comes with the second night."""
BARS = {"demo": 0.25, "larger": 0.15}
MODEL = "mtl-flan-t5"
SMALL = {"d_model": 512, "d_kv": 64, "d_ff": 1024, "num_layers": 8, "num_decoder_layers": 8, "num_heads": 6}

Row = dict[str, Any]
Rows = dict[str, dict[str, list[Row]]]
"""{task: {split: rows}}"""


def main() -> None:
    """Runs the nights and prints."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="the demo's size alone")
    parser.add_argument("--only", choices=sorted(BARS), help="one size alone")
    parser.add_argument("--folder", type=Path, help="where the runs are kept; default: a temporary folder")
    options = parser.parse_args()
    sizes = {"demo": demo, "larger": larger}
    if options.only or options.quick:
        sizes = {name: sizes[name] for name in [options.only or "demo"]}
    root = options.folder or Path(tempfile.mkdtemp(prefix="bench-night-"))
    try:
        found = {name: nights(root / name, *make(root / name)) for name, make in sizes.items()}
    finally:
        if options.folder is None:
            shutil.rmtree(root)
    passed = {name: its["ratio"] <= BARS[name] and all(its["same"].values()) for name, its in found.items()}
    print(json.dumps({"benchmark": "night", **found, "bars": BARS, "passed": passed}))


def demo(folder: Path) -> tuple[Row, Rows]:
    """conf/demo.yaml, and as many rows as it draws."""
    values = yaml.safe_load((PROJECT / "conf" / "demo.yaml").read_text(encoding="utf-8"))
    counts = {source["task"]: source["rows"] for source in values["data"]["sources"]}
    return values, {task: _drawn(task, counts[task]) for task in counts}


def larger(folder: Path) -> tuple[Row, Rows]:
    """conf/flan-t5-small.yaml with fewer steps and examples, on real rows where there are any."""
    values = yaml.safe_load((PROJECT / "conf" / "flan-t5-small.yaml").read_text(encoding="utf-8"))
    _random_base(folder / "hub", values["model"]["base"], values["model"]["revision"])
    values["train"] |= {"max_steps": 400, "save_steps": 100, "eval_steps": 100}
    values["evaluate"] |= {"max_examples": 60}
    values["gate"]["min_examples"] = 40
    if not SHARED.is_dir():
        counts = {"train": 7000, "validation": 1000}
        return values, {task: _drawn(task, counts) for task in ("summarize", "mcq")}
    folders = {"summarize": "cnn_dailymail", "mcq": "race"}
    return values, {
        task: {split: list(_shared(name, split)) for split in ("train", "validation")} for task, name in folders.items()
    }


def nights(folder: Path, values: Row, rows: Rows) -> dict[str, Any]:
    """The first night, then the second one twice from the same state."""
    config, home, state = folder / "conf.yaml", folder / "home", folder / "state"
    for task, splits in rows.items():
        for split, its in splits.items():
            known = len(its) - round(NEW * len(its)) if split == "train" else len(its)
            _write(folder / "rows" / task / f"{split}-1.jsonl", its[:known])
    values["data"]["sources"] = [{"task": task, "uri": str(folder / "rows" / task)} for task in rows]
    _configure(config, values, warm=True)
    first = _retrain(config, home)
    if first["champion"] is None:
        _mtl(home, "promote", str(first["version"]), "--force", "the first version of a benchmark of costs")
    for task, splits in rows.items():
        its = splits["train"]
        _write(folder / "rows" / task / "train-2.jsonl", its[len(its) - round(NEW * len(its)) :])
    shutil.copytree(home, state, symlinks=True)
    after = _retrain(config, home)
    kept = _report(config, home)
    shutil.rmtree(home / "store" / layout.PREDICTIONS)
    measured = _report(config, home)
    shutil.rmtree(home)
    state.rename(home)
    shutil.rmtree(home / "cache")
    shutil.rmtree(home / "store" / layout.PREDICTIONS)
    _configure(config, values, warm=False)
    before = _retrain(config, home)
    runs = {"first": first, "before": before, "after": after}
    return {
        "ratio": round(after["wall"] / first["wall"], 4),
        "ratio_before": round(before["wall"] / first["wall"], 4),
        "seconds": {name: {"all": run["wall"], **_steps(run)} for name, run in runs.items()},
        "steps": {name: run["train"]["steps"] for name, run in runs.items()},
        "tokens": {name: run["tokens"] for name, run in runs.items()},
        "answers": {name: run["evaluate"]["origin"] for name, run in runs.items()},
        "same": {"dataset": after["files"] == before["files"], "report": kept == measured},
        "rows": {task: len(splits["train"]) for task, splits in rows.items()},
    }


def _retrain(config: Path, home: Path) -> dict[str, Any]:
    """What `mtl retrain --json` says, with its wall time and the files of its data set."""
    began = time.monotonic()
    found: dict[str, Any] = json.loads(_mtl(home, "retrain", "-c", str(config), "--json"))
    found["wall"] = round(time.monotonic() - began, 2)
    manifest = home / "store" / layout.dataset_manifest_key(found["dataset"]["fingerprint"])
    found["files"] = json.loads(manifest.read_bytes())["files"]
    found["tokens"] = _tokens(config, home, found)
    print(f"{found['wall']} s: {_steps(found)}", file=sys.stderr)
    return found


def _tokens(config: Path, home: Path, run: dict[str, Any]) -> int:
    """Source and target tokens that the run trained on."""
    workspace = open_workspace(load_settings({"MTL_HOME": str(home)}))
    parent = parse_parent(run["train"].get("parent"), "the parent of the run")
    return training_tokens(workspace, load_config(config), run["dataset"]["fingerprint"], parent)


def _report(config: Path, home: Path) -> dict[str, Any]:
    """The report of the newest version beside the champion of the first night, without its times."""
    found: dict[str, Any] = json.loads(
        _mtl(home, "evaluate", "-c", str(config), "--model", "candidate", "--against", "v1", "--json")
    )
    return {name: its for name, its in found.items() if name not in ("seconds", "seconds_by_model", "origin")}


def _steps(run: dict[str, Any]) -> dict[str, float]:
    return {step: its["seconds"] for step, its in run["steps"].items()}


def _mtl(home: Path, *command: str) -> str:
    """The last line that the command prints. Errors: SystemExit with the end of its error output."""
    environment = {**os.environ, "MTL_HOME": str(home), "HF_HUB_OFFLINE": "1", "HF_HUB_CACHE": str(home.parent / "hub")}
    for name in ("MTL_STORE", "MLFLOW_TRACKING_URI", "PREFECT_API_URL"):
        environment.pop(name, None)
    arguments = [sys.executable, "-m", "mtl.cli", *command]
    done = subprocess.run(arguments, env=environment, cwd=PROJECT, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"mtl {' '.join(command)} failed:\n{done.stderr[-3000:]}\n{done.stdout[-2000:]}")
    return done.stdout.splitlines()[-1] if done.stdout else ""


def _configure(path: Path, values: Row, *, warm: bool) -> None:
    train = {**values["train"], "from": "champion"} if warm else values["train"]
    path.write_text(yaml.safe_dump({**values, "train": train}), encoding="utf-8")


def _write(path: Path, rows: Iterable[Row]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def _drawn(task: str, counts: dict[str, int]) -> dict[str, list[Row]]:
    """Rows of the demo, of another seed for each split."""
    make: Any = articles if task == "summarize" else passages
    return {
        split: list(islice(make(SEED + number, count), count)) for number, (split, count) in enumerate(counts.items())
    }


def _shared(name: str, split: str) -> Iterator[Row]:
    with gzip.open(SHARED / name / f"{split}.jsonl.gz") as file:
        yield from map(json.loads, file)


def _random_base(hub: Path, name: str, revision: str) -> None:
    """FLAN-T5-small's shape in a cache of the Hub, from where a release names its base and does not copy it.

    `</s>` is made likely enough that answers end at different lengths, as real ones do.
    """
    folder = hub / f"models--{name.replace('/', '--')}" / "snapshots" / revision
    torch.manual_seed(SEED)
    tokenizer = AutoTokenizer.from_pretrained(
        SHARED / "t5_tokenizer" if SHARED.is_dir() else resolve_base("demo").location
    )
    config = T5Config(vocab_size=32128, feed_forward_proj="gated-gelu", decoder_start_token_id=0, **SMALL)
    model = T5ForConditionalGeneration(config)
    head = torch.randn(32128, SMALL["d_model"])
    head[len(tokenizer) :] = 0  # rows of the padding are never written
    head[tokenizer.eos_token_id] *= 1.7
    model.lm_head.weight = torch.nn.Parameter(head)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


if __name__ == "__main__":
    main()
