"""Two processes of one training (torchrun, gloo): killed whole, in part, or asked to stop, they end equal."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from mtl.errors import MismatchError, PreemptedError, TransientError
from mtl.settings import load_settings
from mtl.training.launch import launch_training
from tests.support.retrains import small_config
from tests.training.conftest import Event, settings, train, trainer_of_this_process

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def pair(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MTL_TRAINER_PROCESSES", "2")


@pytest.fixture(scope="module")
def plain(workshop: Path, dataset: str) -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MTL_TRAINER_PROCESSES", "2")
        return train(small_config(workshop), dataset, settings(workshop, "pair"))


def ranks() -> list[psutil.Process]:
    """The processes that train, below torchrun."""
    return [p for p in trainer_of_this_process().children() if "mtl.training" in " ".join(p.cmdline())]


class At:
    """At the commit of step 2 does something, once; remembers the ranks that there were."""

    def __init__(self, act: Callable[[list[psutil.Process]], None]) -> None:
        self._act = act
        self.ranks: list[psutil.Process] = []

    def __call__(self, event: Event) -> None:
        if event["event"] == "commit" and event["step"] == 2:
            self.ranks = ranks()
            self._act(self.ranks)

    def gone(self) -> bool:
        """Whether all of them have ended, given a moment."""
        _, alive = psutil.wait_procs(self.ranks, timeout=5)
        return len(self.ranks) == 2 and not alive


def kill_torchrun(found: list[psutil.Process]) -> None:
    """As the kernel or a worker does: its group, which the ranks are not in."""
    os.killpg(trainer_of_this_process().pid, signal.SIGKILL)


def kill_last(found: list[psutil.Process]) -> None:
    max(found, key=lambda process: int(process.environ()["RANK"])).send_signal(signal.SIGKILL)


def kill_leader(found: list[psutil.Process]) -> None:
    min(found, key=lambda process: int(process.environ()["RANK"])).send_signal(signal.SIGKILL)


@pytest.mark.parametrize("act", [kill_torchrun, kill_last, kill_leader])
def test_killed_in_whole_or_in_part_they_resume_bit_for_bit(
    workshop: Path, dataset: str, plain: Any, act: Callable[[list[psutil.Process]], None]
) -> None:
    """Nobody is left behind that trains on, and the end is told as one that is worth another try."""
    at, config, strike = settings(workshop, f"pair-{act.__name__}"), small_config(workshop), At(act)
    with pytest.raises(TransientError, match="the trainer was killed by SIGKILL"):
        train(config, dataset, at, strike)
    assert strike.gone()
    again = train(config, dataset, at)
    assert again["resumed_from"] in (2, 4)
    assert again["adapter_sha256"] == plain["adapter_sha256"]


def test_so_they_do_in_the_layout_of_a_gpu(workshop: Path, dataset: str) -> None:
    config, strike = small_config(workshop, layout="fused"), At(kill_last)
    whole = train(config, dataset, settings(workshop, "pair-fused"))
    at = settings(workshop, "pair-fused-killed")
    with pytest.raises(TransientError, match="the trainer was killed by SIGKILL"):
        train(config, dataset, at, strike)
    again = train(config, dataset, at)
    assert again["resumed_from"] in (2, 4)
    assert again["adapter_sha256"] == whole["adapter_sha256"]


def test_asked_to_stop_they_save_first(workshop: Path, dataset: str, plain: Any) -> None:
    at, config = settings(workshop, "pair-stopped"), small_config(workshop)
    strike = At(lambda found: trainer_of_this_process().send_signal(signal.SIGTERM))
    began = time.monotonic()
    with pytest.raises(PreemptedError, match=r"stopped on request after step \d, which is saved"):
        train(config, dataset, at, strike)
    assert strike.gone()
    assert time.monotonic() - began < 60
    again = train(config, dataset, at)
    assert again["resumed_from"] >= 2
    assert again["adapter_sha256"] == plain["adapter_sha256"]


def test_another_number_of_processes_is_refused(
    workshop: Path, dataset: str, plain: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MTL_TRAINER_PROCESSES", "1")
    at = load_settings({"MTL_HOME": str(workshop / "pair")})
    with pytest.raises(MismatchError, match="world_size: was 2, is now 1"):
        launch_training(small_config(workshop), dataset, at, lambda event: None, resume=plain["identity"])


def test_ranks_that_part_in_order_end_with_success(tmp_path: Path) -> None:
    """Without the parting most such groups of six end in SIGABRT, a training that went well among them."""
    script = tmp_path / "ranks.py"
    lines = (
        "from mtl.training import ranks",
        "ranks.join('cpu')",
        "assert [ranks.gather(number) for number in range(20)] == [[number] * 6 for number in range(20)]",
        "ranks.leave()",
    )
    script.write_text("\n".join(lines))
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=6", str(script)]
    ended = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    assert ended.returncode == 0, ended.stderr
