"""Real RACE and CNN/DailyMail rows through T5's own tokenizer, where they are at hand."""

from __future__ import annotations

from collections import Counter

import pytest

from mtl.config.data import DataConfig
from mtl.data.dataset import Dataset, open_dataset
from mtl.data.manifest import DatasetManifest
from mtl.data.prepare import prepare
from mtl.store.memory import MemoryStore
from mtl.tasks import mcq
from mtl.tasks.mcq_form import parse
from tests.support.words import SHARED, needs_shared, t5_tokenizer

pytestmark = needs_shared
ROWS = {"train": 700, "validation": 200}


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> tuple[DatasetManifest, Dataset]:
    folder = tmp_path_factory.mktemp("real")
    sources = [
        {"task": "mcq", "uri": str(SHARED / "race"), "rows": ROWS},
        {"task": "summarize", "uri": str(SHARED / "cnn_dailymail"), "rows": {"train": 60, "validation": 40}},
    ]
    store = MemoryStore()
    data = DataConfig.model_validate({"sources": sources})
    manifest = prepare(data, seed=17, tokenizer=t5_tokenizer(), store=store, cache=folder)
    return manifest, open_dataset(store, manifest.fingerprint, folder)


def test_every_row_is_accounted_for(prepared: tuple[DatasetManifest, Dataset]) -> None:
    manifest, _ = prepared
    assert {split: counts.rows for split, counts in manifest.counts["mcq"].items()} == ROWS
    assert {split: counts.rows for split, counts in manifest.counts["summarize"].items()} == {
        "train": 60,
        "validation": 40,
    }
    quarantined = sum(counts.quarantined for splits in manifest.counts.values() for counts in splits.values())
    assert quarantined == sum(manifest.quarantine.values()) < 10


def test_no_question_is_cut_and_inputs_ask_for_what_targets_hold(prepared: tuple[DatasetManifest, Dataset]) -> None:
    _, data = prepared
    for split in ROWS:
        for example in data.examples("mcq", split):
            questions = parse(example.targets)
            assert questions
            request, _ = mcq.split_inputs(example.inputs)
            delivered = Counter(question["difficulty"].lower() for question in questions)
            assert {name: delivered[name] for name in request} == request == example.meta["request"]


def test_ids_fit_and_end_as_t5s_do(prepared: tuple[DatasetManifest, Dataset]) -> None:
    manifest, data = prepared
    table = data.table("mcq", "train").to_pylist()
    assert max(len(row["labels"]) for row in table) <= 256
    assert max(len(row["input_ids"]) for row in table) == 512
    assert {row["labels"][-1] for row in table} == {row["input_ids"][-1] for row in table} == {1}
    assert {row["input_ids"][0] for row in table} == {32101}
    assert manifest.unknown["mcq"] < 0.001
