"""How fast is training, in how much memory, how soon does it begin? Against Seq2SeqTrainer, as it is and at its best.

    python benchmarks/bench_train.py [--quick] [--device cpu|cuda] [--quality]

speed    real tokens a second (source + target, padding not counted), FLAN-T5-small's shape with random weights, real
         examples where the folder ../shared/data is, 512/256 tokens; the sides of training_sides.py take turns, step by
         step; three rounds, the median of the ratios in each
memory   peak RSS of a process that trains FLAN-T5-base's shape on its longest batch, each side a process of its own
start    seconds from the start of `mtl train` to its first step, over importing torch and transformers and loading the
         same weights
quality  with --quality, alone: the demo, the same examples, validation loss per task, `ratio` the worst of them; also
         with dropout in the frozen base
cuda     with --device cuda: FLAN-T5-base's shape in bf16, with model FLOP utilisation (see training_flops.py) and the
         peak memory of each side; without a GPU the result says "not measured"
Prints one JSON object as its last line: `ratio` is the speed over the seed recipe's, `passed` whether it is at least 4,
`cpu_ratio` the same of tokens by CPU second, which a busy machine disturbs less.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

import torch
import yaml
from training_flops import training_flops
from training_sides import RANK, SHAPES, SHARED, configuration, prepared, save_shape

H100_FLOPS = 989e12  # dense bf16, from NVIDIA's data sheet
SIDES = ("seed", "best", "ours")
BAR = 4.0  # times as fast as the seed recipe, on two cores


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one start: under 3 minutes")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--quality", action="store_true", help="only train the demo with both recipes (15 minutes)")
    parser.add_argument("--steps", type=int, help="of --quality; default: those of conf/demo.yaml")
    parser.add_argument("--only", choices=["speed", "memory", "start"], help="measure just this")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    logging.getLogger("transformers").setLevel(logging.ERROR)
    if arguments.quality:
        from training_quality import quality

        found = quality(arguments.steps)
        print(json.dumps({"quality": found, "ratio": found["ratio"]}))
        return
    wanted = [arguments.only] if arguments.only else ["speed", "memory", "start"]
    result: dict[str, Any] = {"device": arguments.device, "threads": torch.get_num_threads()}
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        if arguments.device == "cuda":
            result |= cuda(home)
        else:
            measures = {
                "speed": lambda: speed(home, "small", 3),
                "memory": lambda: memory(home),
                "start": lambda: start(home, 1 if arguments.quick else 3),
            }
            for name in wanted:
                result[name] = measures[name]()
                print(name, json.dumps(result[name]), file=sys.stderr)
            result["cuda"] = "not measured"
            if "speed" in result:
                result["ratio"] = result["speed"]["ratio"]["seed"]
                result["passed"] = {f"ratio >= {BAR}": result["ratio"] >= BAR}
    print(json.dumps(result))


def speed(home: Path, shape: str, rounds: int, *, device: str = "cpu", tokens: int = 4096) -> dict[str, Any]:
    """Medians over the rounds. Each side is a process of its own, which trains only while it is its turn."""
    base = save_shape(home / shape, shape)
    dataset = prepared(configuration(base), home).manifest.fingerprint
    sides = {side: Side(side, base, home, dataset, device=device, tokens=tokens) for side in SIDES}
    turns: dict[str, list[dict[str, Any]]] = {side: [] for side in SIDES}
    try:
        for number in range(rounds + 1):  # the first turn is warm-up: memory grows, caches fill
            for name, side in sides.items():
                turn = side.turn()
                if number:
                    turns[name].append(turn)
    finally:
        for side in sides.values():
            side.end()
    speeds = {name: [round(turn["tokens"] / turn["seconds"], 1) for turn in found] for name, found in turns.items()}
    middle = {name: statistics.median(values) for name, values in speeds.items()}
    return {
        "shape": shape,
        "data": "real" if SHARED.is_dir() else "demo",
        "tokens_per_second": middle,
        "rounds": speeds,
        "real_share": {name: _share(found) for name, found in turns.items()},
        "flops_per_second": {name: _flops(shape, found) for name, found in turns.items()},
        "peak_gpu_mb": {name: found[-1]["peak_gpu_mb"] for name, found in turns.items()},
        "ratio": {name: _ratio(turns, name, "seconds") for name in ("seed", "best")},
        "cpu_ratio": {name: _ratio(turns, name, "cpu_seconds") for name in ("seed", "best")},
    }


def _ratio(turns: dict[str, list[dict[str, Any]]], name: str, unit: str) -> float:
    """Tokens by `unit`, ours over those of side `name` in the same round: the median."""
    speeds = {side: [turn["tokens"] / turn[unit] for turn in turns[side]] for side in ("ours", name)}
    pairs = zip(speeds["ours"], speeds[name], strict=True)
    return float(round(statistics.median(ours / its for ours, its in pairs), 3))


def _flops(shape: str, turns: list[dict[str, Any]]) -> float:
    """Median over the turns of the FLOPs a second that the model needs, see training_flops.py."""
    seconds = [float(turn["seconds"]) for turn in turns]
    flops = [training_flops(SHAPES[shape], turn["lengths"], rank=RANK) for turn in turns]
    return statistics.median(number / its for number, its in zip(flops, seconds, strict=True))


def _share(turns: list[dict[str, Any]]) -> float:
    """Of the tokens of its batches, how many are no padding."""
    return float(round(sum(turn["tokens"] for turn in turns) / sum(turn["padded"] for turn in turns), 3))


class Side:
    """A training in a process of its own that does one optimizer step whenever it is asked to.

    train: more of the section `train` of our configuration.
    """

    def __init__(
        self, name: str, base: Path, home: Path, dataset: str, *, device: str, tokens: int, **train: Any
    ) -> None:
        job: dict[str, Any] = {"side": name, "base": str(base), "home": str(home), "dataset": dataset}
        job |= {"device": device, "tokens": tokens, "train": train}
        command = [sys.executable, str(Path(__file__).with_name("training_sides.py")), json.dumps(job)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def turn(self) -> dict[str, Any]:
        """Tokens, padded tokens, seconds and peak memory after one optimizer step."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write("step\n")
        self._process.stdin.flush()
        for line in self._process.stdout:
            if line.startswith('{"tokens"'):
                turn: dict[str, Any] = json.loads(line)
                return turn
        raise RuntimeError(f"a side of the comparison ended with exit code {self._process.wait()}")

    def end(self) -> None:
        self._process.kill()
        self._process.wait()


def memory(home: Path) -> dict[str, Any]:
    """Peak RSS in MB of both sides at FLAN-T5-base's shape, after two steps on the longest examples."""
    base = save_shape(home / "base", "base")
    dataset = prepared(configuration(base), home).manifest.fingerprint
    peaks = {}
    for name in ("seed", "ours"):
        side = Side(f"{name}-longest", base, home, dataset, device="cpu", tokens=4096)
        try:
            peaks[name] = [side.turn()["peak_rss_mb"] for _ in range(2)][-1]
        finally:
            side.end()
    return {"peak_rss_mb": peaks, "ratio": round(peaks["ours"] / peaks["seed"], 3)}


LOAD = """
import sys, torch
from transformers import AutoModelForSeq2SeqLM, AutoTokenizer
AutoModelForSeq2SeqLM.from_pretrained(sys.argv[1]); AutoTokenizer.from_pretrained(sys.argv[1])
"""


def start(home: Path, rounds: int) -> dict[str, Any]:
    """Seconds to the first step of `mtl train` on a prepared data set, and to loading alone; FLAN-T5-small's shape."""
    base = home / "small" if (home / "small").is_dir() else save_shape(home / "small", "small")
    config = configuration(base, max_steps=1, max_tokens_per_batch=1024)
    dataset = prepared(config, home).manifest.fingerprint
    conf = home / "conf.yaml"
    seconds: dict[str, list[float]] = {"load": [], "train": []}
    environment = {**os.environ, "MTL_HOME": str(home), "MTL_STORE": str(home / "store")}
    for number in range(rounds):
        plain = config.model_dump(mode="json", by_alias=True) | {"seed": number}
        conf.write_text(yaml.safe_dump(plain), encoding="utf-8")
        began = time.perf_counter()
        subprocess.run([sys.executable, "-c", LOAD, str(base)], check=True, capture_output=True)
        seconds["load"].append(time.perf_counter() - began)
        command = [sys.executable, "-m", "mtl.cli", "train", "-c", str(conf), "--dataset", dataset]
        seconds["train"].append(_until_first_step(command, environment))
    middle = {side: round(statistics.median(values), 2) for side, values in seconds.items()}
    return {"seconds": middle, "ratio": round(middle["train"] / middle["load"], 3)}


def _until_first_step(command: list[str], environment: dict[str, str]) -> float:
    """Until the line that says that step 0 is done."""
    began = time.perf_counter()
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    ) as run:
        assert run.stderr is not None
        found, lines = 0.0, []
        for line in run.stderr:
            lines.append(line)
            if line.startswith("train: 0/") and not found:
                found = time.perf_counter() - began
    if run.returncode or not found:
        raise RuntimeError("".join(lines[-20:]))
    return found


def cuda(home: Path) -> dict[str, Any]:
    """FLAN-T5-base's shape in bf16 on one GPU: speed, model FLOP utilisation, peak memory of each side."""
    if not torch.cuda.is_available():
        return {"cuda": "not measured", "ratio": None}
    name = torch.cuda.get_device_name()
    found = speed(home, "base", 3, device="cuda", tokens=65536)
    used = round(found["flops_per_second"]["ours"] / H100_FLOPS, 4) if "H100" in name else "not measured"
    return {"cuda": found, "gpu": name, "mfu": used, "ratio": found["ratio"]["seed"]}


if __name__ == "__main__":
    main()
