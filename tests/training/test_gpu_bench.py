"""The script for a GPU runs here on the CPU, at a tiny size: what it measures means nothing, its checks hold."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def run(out: Path, *arguments: str, **environment: str) -> tuple[int, dict[str, object]]:
    """(exit code, document)"""
    command = [str(ROOT / "benchmarks" / "gpu.sh"), "--tiny", "--out", str(out), *arguments]
    ended = subprocess.run(command, capture_output=True, text=True, env={**os.environ, **environment})
    assert out.is_file(), ended.stderr
    return ended.returncode, json.loads(out.read_text())


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_all_parts_run_and_their_checks_hold(tmp_path: Path) -> None:
    code, document = run(tmp_path / "gpu.json", "--seconds", "800")
    assert code == 0, document
    parts = document["parts"]
    assert isinstance(parts, dict)
    assert list(parts) == ["losses", "resume", "processes", "speed", "generation"]
    for part in ("losses", "resume", "processes", "generation"):
        assert parts[part]["checks"]
        assert all(parts[part]["checks"].values())
    assert parts["speed"]["tokens_per_second"]["ours"] > 0
    assert document["bars"] == {
        "speed_over_seed": {"is": None, "at_least": 10.0, "passed": None},
        "mfu": {"is": None, "at_least": 0.4, "passed": None},
    }


@pytest.mark.slow
def test_it_goes_on_where_a_part_fails(tmp_path: Path) -> None:
    """The launcher of two processes is refused its number of them; what comes after is still measured."""
    code, document = run(tmp_path / "gpu.json", "--only", "resume", "generation", MTL_TRAINER_PROCESSES="none")
    assert code == 1
    parts = document["parts"]
    assert isinstance(parts, dict)
    assert parts["resume"]["failed"]
    assert "MTL_TRAINER_PROCESSES" in parts["resume"]["error"]
    assert not parts["generation"]["failed"]
