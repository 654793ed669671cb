"""Small files of the outside world that once failed, whole: what is kept of each, and what is refused with its line."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from mtl.config.data import DataConfig
from mtl.data.manifest import DatasetManifest
from mtl.store.memory import MemoryStore

CASES = Path(__file__).parents[3] / "shared" / "cases"


@pytest.mark.skipif(not CASES.is_dir(), reason="no ../shared/cases here")
@pytest.mark.parametrize(
    ("name", "task", "kept", "refused"),
    [
        ("97-min-open-quote", "summarize", 2, [("stray quote", "a.csv:2")]),
        ("02b-csv-two-open-quotes", "summarize", 38, [("stray quote", "news.csv:12"), ("stray quote", "news.csv:32")]),
        ("98-min-backslash", "summarize", 1, []),
        ("92-min-listrepr", "summarize", 1, []),
        ("04-numpy-options", "mcq", 40, []),
        ("06-parquet-not-utf8", "summarize", 39, [("not UTF-8", "news.parquet:8")]),
    ],
)
def test_a_case(
    run: Callable[..., DatasetManifest],
    store: MemoryStore,
    *,
    name: str,
    task: str,
    kept: int,
    refused: list[tuple[str, str]],
) -> None:
    source = {"task": task, "uri": str(CASES / name)}
    manifest = run(DataConfig.model_validate({"sources": [source], "max_bad_share": 0.5}))
    its = manifest.counts[task]["train"]
    assert (its.rows, its.kept, its.merged) == (kept + len(refused), kept, 0)
    lines = map(json.loads, store.get(f"datasets/{manifest.fingerprint}/quarantine.jsonl").splitlines())
    assert [(line["reason"], line["origin"]) for line in lines] == refused
