"""Bases: found, checked, loaded with the head they were saved with."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from mtl.errors import ModelError, NotFoundError
from mtl.model.base import base_sha256, check_head, grow_embeddings, load_base, resolve_base
from tests.support.bases import save_base
from tests.support.tiny_model import tiny_t5


@pytest.fixture
def base(tmp_path: Path) -> Path:
    return save_base(tmp_path / "base")


def test_the_untied_head_survives_loading(base: Path) -> None:
    model = load_base(resolve_base(str(base)))
    saved = load_file(base / "model.safetensors")
    assert torch.equal(model.lm_head.weight, saved["lm_head.weight"])
    assert torch.equal(model.shared.weight, saved["shared.weight"])
    assert model.lm_head.weight.data_ptr() != model.shared.weight.data_ptr()


def test_a_head_that_came_out_tied_stops_the_run(base: Path) -> None:
    ref = resolve_base(str(base))
    model = load_base(ref)
    model.lm_head.weight = model.shared.weight
    with pytest.raises(ModelError, match="output head of its own, but it was loaded tied"):
        check_head(ref, model)


def test_rows_are_never_taken_away_and_the_tokenizers_own_resize_is_not_used(base: Path) -> None:
    model = load_base(resolve_base(str(base)), rows=100)
    assert model.shared.num_embeddings == 160


def test_growing_keeps_every_logit_of_old_tokens() -> None:
    model = tiny_t5(128)
    ids = torch.arange(3, 20)[None]
    with torch.no_grad():
        before = model(input_ids=ids, decoder_input_ids=ids[:, :5]).logits
        grow_embeddings(model, 140)
        after = model(input_ids=ids, decoder_input_ids=ids[:, :5]).logits
    assert after.shape[-1] == 140
    assert torch.equal(before, after[..., :128])
    assert model.lm_head.weight.data_ptr() != model.shared.weight.data_ptr()


def test_the_hash_is_of_the_content_not_of_the_place(base: Path, tmp_path: Path) -> None:
    again = save_base(tmp_path / "elsewhere")
    other = save_base(tmp_path / "other", seed=1)
    hashes = [base_sha256(resolve_base(str(folder))) for folder in (base, again, other)]
    assert hashes[0] == hashes[1] != hashes[2]


def test_a_base_that_is_not_a_t5_is_refused(base: Path) -> None:
    (base / "config.json").write_text(json.dumps({"model_type": "bert"}))
    with pytest.raises(ModelError, match="is of type 'bert', not of the T5 family"):
        resolve_base(str(base))


def test_a_folder_that_does_not_exist_is_named(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="no base model at"):
        resolve_base(str(tmp_path / "nothing"))


def test_a_leading_tilde_is_the_home_folder(base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "t5").symlink_to(base)
    assert resolve_base("~/t5").location == str(tmp_path / "t5")


def test_a_hub_name_needs_a_revision() -> None:
    with pytest.raises(ModelError, match="has no revision"):
        resolve_base("google/flan-t5-base")


def test_weights_that_are_not_safetensors_are_not_loaded(base: Path) -> None:
    (base / "model.safetensors").unlink()
    (base / "pytorch_model.bin").write_bytes(b"a pickle")
    with pytest.raises(ModelError):
        load_base(resolve_base(str(base)))
    with pytest.raises(ModelError, match="no safetensors weights"):
        base_sha256(resolve_base(str(base)))
