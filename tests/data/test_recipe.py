"""The recipe of a data set: the same for the same configuration, since before tasks said their own options."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from mtl.config.data import DataConfig
from mtl.config.retrain import load_config
from mtl.data.recipe import recipe
from mtl.fingerprint import sha256_json
from mtl.tasks import table
from mtl.tasks.table import get_task
from tests.tasks.test_checks import COUNT

DEMO = "6f15a693cad47e720a6650bbaf5a86615f17df6cb59e5990fa34c1a4caa26c5b"
SUMMARIES = "e2367713cb43727a3fcd9157d92050547de67a6c3623f9f74ba18c762bc56a43"
ONLY_SUMMARIES = DataConfig.model_validate({"sources": [{"task": "summarize", "uri": "demo"}]})


def test_the_fingerprints_of_data_sets_stay_what_they_were() -> None:
    demo = load_config(Path("demo"))
    assert (
        sha256_json(recipe(demo.data, demo.seed).document())
        == "6f15a693cad47e720a6650bbaf5a86615f17df6cb59e5990fa34c1a4caa26c5b"
    )
    assert (
        sha256_json(recipe(ONLY_SUMMARIES, 17).document())
        == "e2367713cb43727a3fcd9157d92050547de67a6c3623f9f74ba18c762bc56a43"
    )


def test_a_task_in_the_table_changes_no_recipe_of_others(monkeypatch: pytest.MonkeyPatch) -> None:
    before = recipe(ONLY_SUMMARIES, 17).document()
    monkeypatch.setitem(
        table.TASKS, "other", dataclasses.replace(get_task("summarize"), name="other", options=(COUNT,))
    )
    assert recipe(ONLY_SUMMARIES, 17).document() == before
