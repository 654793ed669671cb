"""What holds for all tests: one thread, and no test leaves its environment to the next."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# How long one generated example takes depends on what else the machine does, which no test is about.
settings.register_profile("mtl", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("mtl")

# Set before torch is imported: tiny models on several threads wait for each other more than they compute.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ["TOKENIZERS_PARALLELISM"] = "false"
# Scripts under test find this environment's commands as in an activated one.
os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"


# Files that take long for their few tests; begun last, they would leave one of two workers without work.
_FIRST = ("tests/release/test_kills.py", "tests/training/", "tests/faults/")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: not item.nodeid.startswith(_FIRST))


def _same_environment() -> Iterator[None]:
    before = dict(os.environ)
    yield
    os.environ.clear()
    os.environ.update(before)


# MLflow writes the address it was given into the environment, where the next test, or the next file, would find it.
same_environment_after_a_test = pytest.fixture(autouse=True)(_same_environment)
same_environment_after_a_file = pytest.fixture(autouse=True, scope="module")(_same_environment)
