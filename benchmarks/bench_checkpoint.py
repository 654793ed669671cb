"""What checkpoints cost: training time, time to restart, bytes; on a real S3 server over HTTP.

    python benchmarks/bench_checkpoint.py [--quick]

Runs with and without saving alternate; each is the trainer process itself on the demo's base. The last line is one
JSON object: `ratio` is training time at one save a minute over training time without saving (at most 1.02), `cpu_ratio`
the same in CPU seconds, which a busy machine disturbs less; `restart_ratio` the time from start to the next new step
after a kill over that of a cold start (at most 1.3); `bytes_ratio` the bytes of a commit over 1.1 x (adapter +
optimizer state) + 100 KB (at most 1).
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psutil

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from mtl.checkpoints.fetch import load_manifest
from mtl.checkpoints.records import manifest_key
from mtl.checkpoints.state import read_state, run_log
from mtl.config.retrain import RetrainConfig, parse_config
from mtl.errors import TransientError
from mtl.layout import blob_key
from mtl.pipeline.prepare import prepare as prepare_dataset
from mtl.settings import load_settings
from mtl.store.open import open_store
from mtl.store.s3 import make_client
from mtl.training.launch import launch_training
from mtl.workspace import open_workspace
from tests.support.radosgw import radosgw_or_moto

_A_MINUTE = 60.0


def config_of(seed: int, *, steps: int, save_steps: int, threads: int | None) -> RetrainConfig:
    """The demo's model and adapter on little data. Each seed is a run of its own."""
    sources = [{"task": task, "uri": "demo", "rows": {"train": 300, "validation": 4}} for task in ("summarize", "mcq")]
    return parse_config(
        {
            "name": "bench-checkpoint",
            "seed": seed,
            "data": {"sources": sources, "max_input_tokens": 256, "max_target_tokens": 224},
            "model": {"base": "demo"},
            "lora": {"r": 16, "alpha": 32, "dropout": 0.0, "target_modules": "all-linear"},
            "train": {
                "max_steps": steps,
                "max_tokens_per_batch": 3000,
                "save_steps": save_steps,
                "logging_steps": 1,
                "learning_rate": 0.001,
                "threads": threads,
            },
        }
    )


class Clock:
    """When each event of a training came, in seconds since it was started; killed once step `kill_at` is committed."""

    def __init__(self, kill_at: int | None = None) -> None:
        self._began = time.monotonic()
        self._kill_at = kill_at
        self.steps: dict[int, float] = {}
        self.start = self.end = self.cpu = 0.0
        self.identity = ""

    def __call__(self, event: Mapping[str, Any]) -> None:
        now = time.monotonic() - self._began
        match event["event"]:
            case "start":
                self.start, self.identity = now, event["identity"]
                self.cpu = -_cpu_seconds()
            case "step":
                self.steps[event["step"]] = now
            case "commit":
                if event["step"] == self._kill_at:
                    _trainer().send_signal(signal.SIGKILL)
            case "done":
                self.end = now
                self.cpu += _cpu_seconds()

    @property
    def first_step(self) -> float:
        return min(self.steps.values())

    @property
    def training(self) -> float:
        return self.end - self.start


def _trainer() -> psutil.Process:
    (trainer,) = (p for p in psutil.Process().children() if "mtl.training" in " ".join(p.cmdline()))
    return trainer


def _cpu_seconds() -> float:
    times = _trainer().cpu_times()
    return float(times.user + times.system)


def train(config: RetrainConfig, dataset: str, kill_at: int | None = None) -> Clock:
    """One training process, from its start to its end (or until it is killed)."""
    clock = Clock(kill_at)
    try:
        launch_training(config, dataset, load_settings(), clock)
    except TransientError:
        if kill_at is None:
            raise
    return clock


def measure(*, steps: int, save_steps: int, rounds: int, threads: int | None) -> dict[str, Any]:
    """All three figures with both sides of each."""
    plain, saving = [], []
    dataset = prepare_dataset(
        open_workspace(), config_of(1, steps=steps, save_steps=steps, threads=threads)
    ).fingerprint
    for seed in range(2, 2 + rounds):
        plain.append(train(config_of(seed, steps=steps, save_steps=steps, threads=threads), dataset))
        saving.append(train(config_of(100 + seed, steps=steps, save_steps=save_steps, threads=threads), dataset))
    killed = config_of(50, steps=steps, save_steps=save_steps, threads=threads)
    train(killed, dataset, kill_at=2 * save_steps)
    again = train(killed, dataset, kill_at=3 * save_steps)
    without = statistics.median(clock.training for clock in plain)
    within = statistics.median(clock.training for clock in saving)
    saves = len(range(save_steps, steps, save_steps))
    cost = (within - without) / saves
    cpu, cpu_plain = (statistics.median(clock.cpu for clock in clocks) for clocks in (saving, plain))
    cold = statistics.median(clock.first_step for clock in plain + saving)
    return {
        "ratio": round(1 + cost / _A_MINUTE, 5),
        "seconds_saving": round(within, 2),
        "seconds_plain": round(without, 2),
        "saves": saves,
        "seconds_per_save": round(cost, 4),
        "cpu_ratio": round(1 + (cpu - cpu_plain) / saves / _A_MINUTE, 5),
        "cpu_seconds_saving": round(cpu, 2),
        "cpu_seconds_plain": round(cpu_plain, 2),
        "seconds_per_step": round(without / steps, 3),
        "restart_ratio": round(again.first_step / cold, 3),
        "restart_seconds": round(again.first_step, 2),
        "cold_start_seconds": round(cold, 2),
        "resumed_at_step": min(again.steps) - 1,
        **bytes_of(saving[-1].identity),
    }


def bytes_of(identity: str) -> dict[str, Any]:
    """What the last commit put into the store, and what it may."""
    store = open_store(load_settings().store)
    state = read_state(store, identity)
    before, last = (load_manifest(store, identity, commit) for commit in state.commits[-2:])
    known = {file.sha256 for file in before.files}
    keys = [blob_key(identity, file.sha256) for file in last.files if file.sha256 not in known]
    keys += [manifest_key(identity, state.commits[-1]), run_log(store, identity).key(state.seq)]
    put = sum(info.size for key in keys if (info := store.head(key)))
    sizes = {file.name: file.bytes for file in last.files}
    state_bytes = sizes["adapter_model.safetensors"] + sizes["optimizer.pt"]
    allowed = 1.1 * state_bytes + 100_000
    return {
        "bytes_ratio": round(put / allowed, 4),
        "bytes_per_commit": put,
        "bytes_allowed": round(allowed),
        "adapter_and_optimizer_bytes": state_bytes,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="under 3 minutes on two cores")
    parser.add_argument("--threads", type=int, help="CPU threads of the trainer; default: all cores")
    chosen = parser.parse_args()
    steps, rounds = (30, 2) if chosen.quick else (120, 4)
    sizes = {"steps": steps, "save_steps": 5, "rounds": rounds}
    with tempfile.TemporaryDirectory() as home, radosgw_or_moto() as (server, environment):
        os.environ.update(environment)
        os.environ["MTL_HOME"], os.environ["MTL_STORE"] = home, "s3://bench/checkpoints"
        make_client().create_bucket(Bucket="bench")
        result = measure(**sizes, threads=chosen.threads)
    print(json.dumps({**result, "server": server, **sizes, "threads": chosen.threads, "cores": os.cpu_count()}))


if __name__ == "__main__":
    main()
