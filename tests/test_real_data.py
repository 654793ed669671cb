"""The chain on real input: RACE and CNN/DailyMail rows, FLAN-T5's tokenizer, a random base of its shape."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from transformers import T5Config, T5ForConditionalGeneration

from mtl.data.dataset import open_dataset
from mtl.store.folder import FolderStore
from mtl.tasks.mcq import split_inputs
from mtl.tasks.mcq_form import parse

SHARED = Path(__file__).parents[2] / "shared" / "data"
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not SHARED.is_dir(), reason="the optional folder ../shared/data is not here"),
]
ROWS = {"train": 400, "validation": 40}


def save_flan_shape(folder: Path) -> Path:
    """FLAN-T5's structure, narrow: 32128 rows, gated-gelu, a head of its own; random weights."""
    config = T5Config(
        vocab_size=32128,
        d_model=64,
        d_kv=16,
        d_ff=128,
        num_layers=2,
        num_heads=4,
        feed_forward_proj="gated-gelu",
        tie_word_embeddings=False,
        decoder_start_token_id=0,
    )
    torch.manual_seed(0)
    model = T5ForConditionalGeneration(config)
    model.lm_head.weight = torch.nn.Parameter(torch.randn(32128, 64) * 0.05)
    model.save_pretrained(folder)
    return folder


def configuration(base: Path) -> dict[str, Any]:
    race, cnn = SHARED / "race", SHARED / "cnn_dailymail"
    return {
        "name": "real",
        "data": {
            "sources": [
                {"task": "mcq", "uri": str(race / "*.jsonl.gz"), "rows": {"validation": 40}},
                {"task": "summarize", "uri": str(cnn / "*.jsonl.gz"), "rows": ROWS},
            ],
            "max_input_tokens": 512,
            "max_target_tokens": 256,
        },
        "model": {"base": str(base), "tokenizer": str(SHARED / "t5_tokenizer")},
        "lora": {"r": 4, "alpha": 8, "target_modules": ["q", "v"]},
        "train": {
            "max_steps": 24,
            "max_tokens_per_batch": 4096,
            "save_steps": 12,
            "warmup_steps": 4,
            "logging_steps": 6,
        },
        "evaluate": {"max_examples": 6, "max_new_tokens": {"summarize": 16, "mcq": 24}},
        "gate": {"min_examples": 2},
    }


@pytest.fixture(scope="module")
def retrained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    folder = tmp_path_factory.mktemp("real")
    conf = folder / "conf.yaml"
    conf.write_text(yaml.safe_dump(configuration(save_flan_shape(folder / "base"))))
    environment = {name: value for name, value in os.environ.items() if name not in ("PREFECT_API_URL", "MTL_STORE")}
    environment["MTL_HOME"] = str(folder / "home")
    command = [sys.executable, "-m", "mtl.cli", "retrain", "-c", str(conf), "--json"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return folder / "home", json.loads(done.stdout.splitlines()[-1])


def test_it_ends_and_every_row_is_accounted_for(retrained: tuple[Path, dict[str, Any]]) -> None:
    _, document = retrained
    for splits in document["dataset"]["counts"].values():
        for split in splits.values():
            assert split["rows"] == split["kept"] + split["merged"] + split["quarantined"]
    assert document["dataset"]["counts"]["mcq"]["train"]["rows"] == 7092
    assert document["dataset"]["quarantine"] == {"repeated option": 6}
    assert document["train"]["steps"] == 24
    assert document["decision"]["promoted"] is False
    assert document["version"] == 1


def test_no_question_is_cut(retrained: tuple[Path, dict[str, Any]]) -> None:
    home, document = retrained
    data = open_dataset(FolderStore(home / "store"), document["dataset"]["fingerprint"], home / "cache")
    for split in ("train", "validation"):
        table = data.table("mcq", split)
        assert max(len(ids) for ids in table.column("labels").to_pylist()) <= 256
        for inputs, targets in zip(*(table.column(name).to_pylist() for name in ("inputs", "targets")), strict=True):
            questions = parse(targets)
            assert questions is not None, targets
            request, _ = split_inputs(inputs)
            delivered = Counter(question["difficulty"].lower() for question in questions)
            assert {level: delivered[level] for level in request} == request


def test_long_articles_are_cut_and_counted(retrained: tuple[Path, dict[str, Any]]) -> None:
    _, document = retrained
    assert 0.6 < document["dataset"]["truncated"]["summarize"] < 0.9
