"""torchrun's end as an exit code: which of its ranks a signal killed, without a word of its text."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from torch.distributed.elastic.multiprocessing.errors import ProcessFailure

from mtl.training.agent import exit_code


def failure(code: int, at: int) -> ProcessFailure:
    made = ProcessFailure(local_rank=0, pid=1, exitcode=code, error_file="<N/A>")
    made.timestamp = at
    return made


@pytest.mark.parametrize(
    ("failures", "code"),
    [
        ([(1, 5)], 1),
        ([(-9, 5)], 137),
        ([(76, 5), (-9, 5)], 137),  # the other one lost its peer in the same second
        ([(-15, 6), (-9, 5)], 137),
        ([(-15, 5), (-9, 6)], 143),
    ],
)
def test_the_first_rank_that_a_signal_killed_is_the_cause(failures: list[tuple[int, int]], code: int) -> None:
    assert exit_code([failure(*values) for values in failures]) == code


def start(tmp_path: Path, script: str) -> subprocess.Popen[str]:
    file = tmp_path / "rank.py"
    file.write_text(f"import os, signal, sys, time\n{script}\n")
    command = [sys.executable, "-m", "mtl.training.agent", "--standalone", "--nproc-per-node=2", str(file)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("script", "code"),
    [
        ("", 0),
        ("sys.exit(3 * (os.environ['RANK'] == '1'))", 1),
        ("os.kill(os.getpid(), signal.SIGKILL) if os.environ['RANK'] == '1' else time.sleep(60)", 137),
        ("os.kill(os.getpid(), signal.SIGABRT) if os.environ['RANK'] == '0' else sys.exit(76)", 134),
    ],
)
def test_real_ranks(tmp_path: Path, script: str, code: int) -> None:
    process = start(tmp_path, script)
    _, said = process.communicate(timeout=120)
    assert process.returncode == code, said


@pytest.mark.slow
def test_asked_to_stop_it_asks_its_ranks(tmp_path: Path) -> None:
    # One write: two ranks that print at once may put both words before either end of line.
    process = start(tmp_path, "os.write(1, b'here\\n')\ntime.sleep(60)")
    assert process.stdout is not None
    # Both have begun: torchrun forgets a rank if it is asked to stop before it has started them all.
    assert [process.stdout.readline() for _ in range(2)] == ["here\n"] * 2
    began = time.monotonic()
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)
    assert process.returncode == 143
    assert time.monotonic() - began < 30


@pytest.mark.slow
def test_a_rank_that_torchrun_forgot_ends(tmp_path: Path) -> None:
    """torchrun is asked to stop when it has started one of two, which has not begun to watch it yet."""
    script = "from mtl.training.ranks import end_with_launcher\ntime.sleep(3)\nend_with_launcher()\ntime.sleep(60)"
    process = start(tmp_path, script)
    agent = psutil.Process(process.pid)
    while not any(str(tmp_path) in " ".join(child.cmdline()) for child in agent.children()):
        time.sleep(0.001)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=30)  # the rank has its standard output too
    assert process.returncode == 143
