"""The demo base's shape: a deeper model begins as the base that it takes over."""

from pathlib import Path

import torch
from safetensors.torch import save_file
from transformers import T5Config, T5ForConditionalGeneration

from tools.demo_base import network


def _model(decoder_layers: int) -> T5ForConditionalGeneration:
    return T5ForConditionalGeneration(
        T5Config(vocab_size=64, d_model=16, d_kv=4, num_heads=2, d_ff=32, num_layers=2, feed_forward_proj="gated-gelu",
                 num_decoder_layers=decoder_layers, dropout_rate=0.0, tie_word_embeddings=False)
    ).eval()  # fmt: skip


def test_layers_that_a_base_lacks_add_nothing_at_first(tmp_path: Path) -> None:
    torch.manual_seed(1)
    small, deep = _model(2), _model(4)
    own = {name: value.clone() for name, value in small.state_dict().items() if "embed_tokens" not in name}
    save_file(own, tmp_path / "model.safetensors")
    network.begin_from(deep, tmp_path)
    ids = torch.arange(3, 23).reshape(2, 10)
    assert torch.equal(
        deep(input_ids=ids, decoder_input_ids=ids).logits, small(input_ids=ids, decoder_input_ids=ids).logits
    )
