"""Text from outside, through the whole preparation with T5's own tokenizer: kept as it is meant, or quarantined."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mtl.config.data import DataConfig
from mtl.data.dataset import Dataset
from mtl.data.explain import explain
from mtl.data.manifest import DatasetManifest
from mtl.errors import DataError
from mtl.store.memory import MemoryStore
from tests.data.conftest import config, race_rows, write_race
from tests.support.rows import article, question, write_jsonl
from tests.support.words import SHARED, needs_shared, t5_tokenizer

CASES = SHARED.parent / "cases"
needs_cases = pytest.mark.skipif(not CASES.is_dir(), reason="the shared cases are not here")
Run = Callable[..., DatasetManifest]


def one(task: str, uri: Path, **fields: Any) -> DataConfig:
    return DataConfig.model_validate({"sources": [{"task": task, "uri": str(uri)}], "instruction_dropout": 0, **fields})


def examples(manifest: DatasetManifest, store: MemoryStore, folder: Path, task: str) -> list[tuple[str, str]]:
    data = Dataset(manifest, store, folder / "cache")
    return [(example.inputs, example.targets) for example in data.examples(task, "train")]


@needs_cases
@pytest.mark.parametrize(
    ("case", "inputs", "targets"),
    [
        ("90-min-c1", 'We don\'t say "no" here... never.', "We don't."),
        ("91-min-zwsp", "The town opened a school.", "Town opened."),
    ],
)
def test_characters_mean_what_was_meant(
    run: Run, store: MemoryStore, tmp_path: Path, case: str, inputs: str, targets: str
) -> None:
    manifest = run(one("summarize", CASES / case), tokenizer=t5_tokenizer())
    ((asked, answered),) = examples(manifest, store, tmp_path, "summarize")
    assert asked.endswith(f": {inputs}") and answered == f"Summary: {targets}"


@needs_cases
def test_another_script_is_kept(run: Run) -> None:
    counts = run(one("summarize", CASES / "11-russian"), tokenizer=t5_tokenizer()).counts["summarize"]["train"]
    assert (counts.kept, counts.quarantined) == (counts.rows, 0)


@needs_cases
@needs_shared
def test_options_that_are_the_same_to_the_model_are_quarantined(run: Run, store: MemoryStore, folder: Path) -> None:
    odd = json.loads((CASES / "94b-min-unk-options-t5" / "a.jsonl").read_text())
    write_race(folder / "race", train=[*race_rows()["train"], odd])
    manifest = run(config(folder), tokenizer=t5_tokenizer())
    assert manifest.quarantine == {"options encode to the same tokens": 1}
    lines = store.get(f"datasets/{manifest.fingerprint}/quarantine.jsonl").splitlines()
    assert [(line["field"], line["origin"]) for line in map(json.loads, lines)] == [("options", "train.jsonl:13")]


def test_the_first_bad_row_of_each_reason_is_told_with_file_line_field_and_value(
    run: Run, store: MemoryStore, folder: Path
) -> None:
    bad = [article(90, article=40), article(91, highlights="NaN"), article(92, article=None), article(93, article=[1])]
    write_jsonl(folder / "news" / "train.jsonl", [*(article(n) for n in range(20)), *bad, b"{"])
    with pytest.raises(DataError) as caught:
        run(config(folder, max_bad_share=0.1))
    assert caught.value.message == (
        f"source {folder / 'news'} of summarize: 5 of 27 rows are bad (18.5%, allowed 10.0%): "
        "missing value 2, wrong type 2, not JSON 1\n"
        "  missing value: first in train.jsonl:22, field highlights: got 'NaN'\n"
        "  wrong type: first in train.jsonl:21, field article: got number 40, expected text\n"
        "  not JSON: first in train.jsonl:25, field line: got '{', expected a JSON object"
    )
    manifest = run(config(folder, max_bad_share=0.5))
    told = explain(Dataset(manifest, store, folder / "cache"))
    assert "2  wrong type: first in train.jsonl:21, field article: got number 40, expected text" in told


def test_hostile_values_are_told_on_one_line_of_plain_characters(run: Run, folder: Path) -> None:
    rows = [question(n, answer="E\n\x1b[31m\u202e" + "x" * 500) for n in range(3)]
    write_race(folder / "race", train=rows)
    with pytest.raises(DataError) as caught:
        run(config(folder))
    line = caught.value.message.splitlines()[1]
    assert len(line) < 250 and line.isascii() and line.isprintable()


def test_a_split_whose_rows_are_all_refused_late_is_counted(run: Run, tmp_path: Path) -> None:
    same = question(1, options=["甲", "乙", "丙", "丁"])
    write_jsonl(tmp_path / "race" / "train.jsonl", [same])
    with pytest.raises(DataError) as caught:
        run(one("mcq", tmp_path / "race", max_bad_share=1.0))
    assert "1 of 1 rows are bad (all, allowed 100.0%): options encode to the same tokens 1" in caught.value.message
    assert "such as mT5" in str(caught.value.hint)
    write_jsonl(tmp_path / "race" / "train.jsonl", [same, question(3, passage="And a third one, of Bob.")])
    write_jsonl(tmp_path / "race" / "validation.jsonl", [{**same, "article": "Of Eve and nobody else."}])
    counts = run(one("mcq", tmp_path / "race", max_bad_share=1.0)).counts["mcq"]
    assert (counts["validation"].rows, counts["validation"].quarantined, counts["validation"].examples) == (1, 1, 0)
