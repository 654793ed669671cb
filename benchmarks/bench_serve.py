"""How much faster are 16 callers at once answered than one after the other? Over real HTTP, by `mtl serve`'s app.

    python benchmarks/bench_serve.py [--quick] [--texts N] [--rounds N]

The server is a process of its own with a model of FLAN-T5-small's shape and random weights (as in bench_generate.py),
greedy in the engine that `auto` takes. Both sides send the same requests of one text each, and take turns: `single`
sends one after the other, `callers` sends them from 16 threads. Seconds are those of a whole side; `cpu` beside them
is what the server's process used, which a busy machine disturbs less. Prints one JSON object as its last line: `ratio`
is the median over the rounds of single's seconds by callers' in the same round, `equal` the share of texts that are
the same, and `passed` whether the ratio is at least 2 and all are.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import psutil
from bench_generate import small_case

BAR = 2
CALLERS = 16
WAIT_SECONDS = 180
Answers = list[tuple[str, float]]
"""The text and the seconds of each request."""


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer texts")
    parser.add_argument("--texts", type=int, help="requests of each side in a round (default 96, quick 32)")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--serve", type=int, metavar="PORT", help="be the server")
    arguments = parser.parse_args()
    if arguments.serve:
        serve(arguments.serve)
        return
    texts = [
        text_of(example.inputs) for example in small_case(arguments.texts or (32 if arguments.quick else 96)).examples
    ]
    with server() as (url, process):
        sides = {"single": partial(one_by_one, url, texts), "callers": partial(at_once, url, texts)}
        at_once(url, texts[:CALLERS])  # what is needed is loaded
        print(json.dumps(measure(sides, process, arguments.rounds)))


def text_of(inputs: str) -> str:
    return inputs.removeprefix("<summarize> ")


def measure(sides: Mapping[str, Callable[[], Answers]], process: psutil.Process, rounds: int) -> dict[str, Any]:
    """Seconds, the server's CPU seconds and latencies of each side, which take turns."""
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    cpu: dict[str, list[float]] = {name: [] for name in sides}
    latencies: dict[str, list[float]] = {name: [] for name in sides}
    written: dict[str, list[str]] = {}
    load = os.getloadavg()[0]
    for _ in range(rounds):
        for name, side in sides.items():
            begun, used = time.perf_counter(), _cpu(process)
            answers = side()
            seconds[name].append(round(time.perf_counter() - begun, 3))
            cpu[name].append(round(_cpu(process) - used, 2))
            latencies[name] += [latency for _, latency in answers]
            written[name] = [text for text, _ in answers]
    pairs = list(zip(seconds["single"], seconds["callers"], strict=True))
    ratio = round(statistics.median(single / callers for single, callers in pairs), 2)
    equal = statistics.fmean(a == b for a, b in zip(written["single"], written["callers"], strict=True))
    for name, found in latencies.items():
        print(f"{name}: p50 {quantile(found, 50):.3f} s, p95 {quantile(found, 95):.3f} s")
    return {
        "texts": len(written["single"]),
        "callers": CALLERS,
        "cores": os.cpu_count(),
        "load_before": round(load, 1),
        "seconds": seconds,
        "cpu_seconds": cpu,
        "latency": {
            name: {"p50": round(quantile(found, 50), 3), "p95": round(quantile(found, 95), 3)}
            for name, found in latencies.items()
        },
        "equal": round(equal, 4),
        "ratio": ratio,
        "passed": {f"ratio >= {BAR}, texts equal": ratio >= BAR and equal == 1},
    }


def quantile(values: list[float], percent: int) -> float:
    return statistics.quantiles(values, n=100, method="inclusive")[percent - 1]


def _cpu(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def one_by_one(url: str, texts: list[str]) -> Answers:
    return [ask(url, text) for text in texts]


def at_once(url: str, texts: list[str]) -> Answers:
    with ThreadPoolExecutor(CALLERS) as pool:
        return list(pool.map(partial(ask, url), texts))


def ask(url: str, text: str) -> tuple[str, float]:
    begun = time.perf_counter()
    body = {"task": "summarize", "text": text, "truncate": True}
    answer = httpx.post(f"{url}/v1/generate", json=body, timeout=600, trust_env=False)
    answer.raise_for_status()
    return answer.json()["answers"][0]["text"], time.perf_counter() - begun


@contextmanager
def server() -> Iterator[tuple[str, psutil.Process]]:
    """The address of a server, and its process."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with tempfile.TemporaryFile() as log:
        started = subprocess.Popen([sys.executable, __file__, "--serve", str(port)], stdout=log, stderr=log)
        try:
            url, deadline = f"http://127.0.0.1:{port}", time.monotonic() + WAIT_SECONDS
            while not _is_up(url):
                if started.poll() is not None or time.monotonic() > deadline:
                    log.seek(0)
                    raise SystemExit(f"the server did not start: {log.read()[-2000:].decode()}")
                time.sleep(0.2)
            yield url, psutil.Process(started.pid)
        finally:
            started.terminate()
            started.wait(60)


def _is_up(url: str) -> bool:
    try:
        return httpx.get(f"{url}/health", trust_env=False).status_code == 200
    except httpx.TransportError:
        return False


def serve(port: int) -> None:
    """Answer with the model until terminated."""
    from mtl import connections
    from mtl.evaluation.engine import choose_mode, make_predictor
    from mtl.ports import hold
    from mtl.server.app import Limits, make_app
    from mtl.server.served import OneModel, ServedModel
    from mtl.serving.generate import BATCH_TOKENS, Generator

    with hold("127.0.0.1", port) as sockets:
        case = small_case(1)
        predict = make_predictor(
            choose_mode("auto", "fp32", d_model=case.model.config.d_model),
            case.model,
            case.tokenizer,
            max_input_tokens=case.max_input_tokens,
            batch_tokens=BATCH_TOKENS,
        )
        limits: Any = {"max_input_tokens": case.max_input_tokens, "max_new_tokens": {"summarize": case.max_new_tokens}}
        generator = Generator(predict, case.tokenizer, **limits)
        since = datetime.now(UTC).isoformat(timespec="seconds")
        models = OneModel(ServedModel("flan-t5-small-shape", None, None, since, Path(), generator))
        connections.serve(make_app(models, limits=Limits(seconds=600)), sockets, log_level="warning")


if __name__ == "__main__":
    main()
