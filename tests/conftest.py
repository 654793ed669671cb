"""What holds for all tests: one thread, and no test leaves its environment to the next."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

# Set before torch is imported: tiny models on several threads wait for each other more than they compute.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ["TOKENIZERS_PARALLELISM"] = "false"


@pytest.fixture(autouse=True)
def same_environment() -> Iterator[None]:
    """MLflow writes the address it was given into the environment, where the next test would find it."""
    before = dict(os.environ)
    yield
    os.environ.clear()
    os.environ.update(before)
