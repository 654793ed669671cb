"""How fast is training on this device, beside the seed recipe? Parts of gpu.py: speed, compiled_speed.

FLAN-T5-base's shape with random weights, bf16, 512/256 tokens; the seed recipe (training_sides.py) as it was: fp32,
four examples at a time. The sides are processes of their own and take turns, step by step; medians.

MFU = FLOPs the model needs for the real tokens of a step / (seconds of the step x the card's dense bf16 peak). These
FLOPs are those of training_flops.py: 4 for each frozen weight and token (forward, and the gradient of its input), 6
for each trained one, and 12 x inner width for each layer and pair of tokens. Padding does not count, nor what is
computed twice.
"""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch
from bench_train import Side
from gpu_correctness import few
from training_flops import training_flops
from training_sides import RANK, SHAPES, SHARED, configuration, prepared, save_shape

PEAKS = {"H100": 989e12, "H200": 989e12, "A100": 312e12, "L40S": 362e12}
"""Dense bf16 FLOPs a second, from NVIDIA's data sheets (SXM where there are several)."""
LOG_SELDOM = {"logging_steps": 1000}  # as a real training does; the turns wait for the device anyway


def speed(home: Path, *, tiny: bool, compiled: bool) -> dict[str, Any]:
    """Medians over the rounds; `ratio` is ours over the seed recipe's."""
    shape, device = ("tiny", "cpu") if tiny else ("base", "cuda")
    base = save_shape(home / shape, shape)
    config = few(configuration(base)) if tiny else configuration(base)
    dataset = prepared(config, home).manifest.fingerprint
    options: dict[str, Any] = {"device": device, "tokens": 1500 if tiny else 65536}
    ours: dict[str, Any] = {"layout": "fused", "torch_compile": compiled, **LOG_SELDOM}
    sides = {
        "seed": Side("seed", base, home, dataset, **options),
        "ours": Side("ours", base, home, dataset, **options, **ours),
    }
    warm, rounds = (1, 1) if tiny else (4 if compiled else 2, 5)
    turns: dict[str, list[dict[str, Any]]] = {name: [] for name in sides}
    try:
        for number in range(warm + rounds):
            for name, side in sides.items():
                turn = side.turn()
                if number >= warm:
                    turns[name].append(turn)
    finally:
        for side in sides.values():
            side.end()
    tokens = {name: _median(found, lambda turn: turn["tokens"] / turn["seconds"]) for name, found in turns.items()}
    flops = {name: _median(found, lambda turn: _flops(shape, turn)) for name, found in turns.items()}
    peak = None if tiny else next((peak for name, peak in PEAKS.items() if name in torch.cuda.get_device_name()), None)
    return {
        "device": "cpu" if tiny else torch.cuda.get_device_name(),
        "shape": shape,
        "data": "real" if SHARED.is_dir() and not tiny else "demo",
        "tokens_per_second": tokens,
        "padding": {
            name: 1 - _median(found, lambda turn: turn["tokens"] / turn["padded"]) for name, found in turns.items()
        },
        "flops_per_second": flops,
        "mfu": round(flops["ours"] / peak, 4) if peak else None,
        "peak_gpu_mb": {name: found[-1]["peak_gpu_mb"] for name, found in turns.items()},
        "ratio": None if tiny else round(tokens["ours"] / tokens["seed"], 2),
    }


def _median(turns: list[dict[str, Any]], of: Any) -> float:
    return float(statistics.median(of(turn) for turn in turns))


def _flops(shape: str, turn: dict[str, Any]) -> float:
    return training_flops(SHAPES[shape], turn["lengths"], rank=RANK) / float(turn["seconds"])


def main() -> None:
    """Run the part that argument 1 names."""
    tiny = "--tiny" in sys.argv
    if not tiny and not torch.cuda.is_available():
        raise SystemExit("no GPU: --tiny runs on a CPU")
    with tempfile.TemporaryDirectory() as folder:
        print(json.dumps(speed(Path(folder), tiny=tiny, compiled=sys.argv[1] == "compiled_speed")))


if __name__ == "__main__":
    main()
