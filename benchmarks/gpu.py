"""The parts of gpu.sh, one after the other, each in a process of its own: what one of them breaks, the next ones do
not notice. The document is written again after each part, so that a machine that is taken away leaves what was found.

losses      loss and gradients of each layout against transformers, fp32 and bf16 (gpu_correctness.py)
compiled    the same for the fused layout under torch.compile
resume      a training that is killed and resumed ends with the adapter of one that was not, bit for bit
processes   the same with two processes, whose losses are also those of one that accumulates; needs two cards
speed       real tokens a second beside the seed recipe, MFU, peak memory (gpu_speed.py)
compiled_speed   the same with torch.compile
generation, compiled_generation   tokens a second beside generate in batches of 8 (gpu_generation.py)

The last line printed is the document. Exit code 1 if a part failed or a check of correctness did not hold; the bars
are part of the document, and a bar that is missed does not change the exit code.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

PARTS = {
    "losses": ("gpu_correctness.py", 90),
    "compiled": ("gpu_correctness.py", 150),
    "resume": ("gpu_correctness.py", 120),
    "speed": ("gpu_speed.py", 150),
    "compiled_speed": ("gpu_speed.py", 240),
    "processes": ("gpu_correctness.py", 150),
    "generation": ("gpu_generation.py", 60),
    "compiled_generation": ("gpu_generation.py", 120),
}
"""Name of a part -> its file, and the seconds it may take."""
TINY = ("losses", "resume", "processes", "speed", "generation")
"""What --tiny runs unless --only says more: compiling takes a CPU minutes."""
LEAST_SPEED, LEAST_MFU = 10.0, 0.4


def main() -> int:
    """Run the parts; 1 if one failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tiny", action="store_true", help="on a CPU at a tiny size, to test the script itself")
    parser.add_argument("--out", type=Path, default=Path("gpu.json"))
    parser.add_argument("--seconds", type=float, default=540, help="for all parts; what comes later is not run")
    parser.add_argument("--only", nargs="+", choices=list(PARTS), help="just these parts")
    arguments = parser.parse_args()
    deadline = time.monotonic() + arguments.seconds
    document: dict[str, Any] = {"tiny": arguments.tiny, "parts": {}}
    for name in arguments.only or (TINY if arguments.tiny else PARTS):
        print(f"{name} ...", file=sys.stderr, flush=True)
        document["parts"][name] = run_part(name, tiny=arguments.tiny, seconds=deadline - time.monotonic())
        document["bars"] = bars(document["parts"])
        write(arguments.out, document)
    print(json.dumps(document))
    return int(any(part["failed"] for part in document["parts"].values()))


def run_part(name: str, *, tiny: bool, seconds: float) -> dict[str, Any]:
    """What the part found, its seconds, and `failed`: an error, too much time, or a check that did not hold."""
    file, limit = PARTS[name]
    limit *= 5 if tiny else 1  # a busy CPU
    if seconds < 1:
        return {"failed": True, "error": "not run: the time for all parts was used up"}
    command = [sys.executable, str(Path(__file__).with_name(file)), name, *(["--tiny"] if tiny else [])]
    environment = {**os.environ, **({"CUDA_VISIBLE_DEVICES": ""} if tiny else {})}
    began = time.monotonic()
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment, start_new_session=True
    ) as process:
        try:
            said, errors = process.communicate(timeout=min(limit, seconds))
            problem = errors.strip()[-2000:] if process.returncode else None
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, 9)  # whatever it started belongs to its group
            said, errors = process.communicate()
            problem = f"took more than {min(limit, seconds):.0f} s; {errors.strip()[-2000:]}"
    found: dict[str, Any] = {"seconds": round(time.monotonic() - began, 1)}
    if problem is not None:
        return found | {"failed": True, "error": problem}
    found |= json.loads(said.strip().splitlines()[-1])
    return found | {"failed": not all(found.get("checks", {}).values())}


def bars(parts: dict[str, Any]) -> dict[str, Any]:
    """The figures that are asked for, of the faster of both ways: with torch.compile and without."""
    measured = [parts[name] for name in ("speed", "compiled_speed") if "ratio" in parts.get(name, {})]
    ratio = max((part["ratio"] for part in measured), default=None)
    mfu = max((part["mfu"] for part in measured if part["mfu"] is not None), default=None)
    return {
        "speed_over_seed": {"is": ratio, "at_least": LEAST_SPEED, "passed": _reached(ratio, LEAST_SPEED)},
        "mfu": {"is": mfu, "at_least": LEAST_MFU, "passed": _reached(mfu, LEAST_MFU)},
    }


def _reached(value: float | None, least: float) -> bool | None:
    return None if value is None else value >= least


def write(path: Path, document: dict[str, Any]) -> None:
    """All of it or nothing."""
    aside = path.with_name(f".{path.name}.part")
    aside.write_text(json.dumps(document, indent=1), encoding="utf-8")
    aside.replace(path)


if __name__ == "__main__":
    sys.exit(main())
