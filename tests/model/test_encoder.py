from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import load_file
from transformers import T5Config, T5ForConditionalGeneration

from mtl.model.encoder import packed_encoder
from tests.support.tiny_model import tiny_t5


def test_it_is_the_models_encoder_without_the_padding() -> None:
    model = tiny_t5()
    ids = torch.randint(2, 128, (4, 30), generator=torch.Generator().manual_seed(1))
    mask = (torch.arange(30) < torch.tensor([[30], [17], [2], [1]])).long()
    with torch.no_grad():
        expected = model.encoder(input_ids=ids, attention_mask=mask).last_hidden_state
        encode = packed_encoder(model)
        assert encode is not None
        found = encode(ids, mask)
    torch.testing.assert_close(found[mask.bool()], expected[mask.bool()], atol=1e-5, rtol=1e-5)
    assert not found[~mask.bool()].any()


def test_the_model_is_saved_as_before(tmp_path: Path) -> None:
    model = tiny_t5()
    model.save_pretrained(tmp_path / "before")
    assert packed_encoder(model) is not None
    model.save_pretrained(tmp_path / "after")
    before, after = (load_file(tmp_path / name / "model.safetensors") for name in ("before", "after"))
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_the_matrices_are_joined_once() -> None:
    """A second text costs no copy of the weights."""
    model = tiny_t5()
    packed_encoder(model)
    query = model.encoder.block[0].layer[0].SelfAttention.q
    before = query.weight.data_ptr()
    packed_encoder(model)
    assert query.weight.data_ptr() == before


def test_other_models_are_left_to_transformers() -> None:
    shape = {"vocab_size": 64, "d_model": 16, "d_kv": 8, "d_ff": 16, "num_layers": 1, "num_heads": 2}
    for activation in ("relu", "gated-silu"):
        config = T5Config(**shape, feed_forward_proj=activation)
        assert packed_encoder(T5ForConditionalGeneration(config)) is None
    relu = T5Config(**shape, feed_forward_proj="gated-gelu", dense_act_fn="relu")
    assert relu.dense_act_fn == "relu"
    assert packed_encoder(T5ForConditionalGeneration(relu)) is None
    assert packed_encoder(tiny_t5().bfloat16()) is None
    assert packed_encoder(torch.nn.Linear(1, 1)) is None
