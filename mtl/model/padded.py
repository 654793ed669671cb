"""The loss of a T5 over a padded batch, without logits for padding and never all of them at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from mtl.model.kernels import chunked_loss

if TYPE_CHECKING:
    from transformers import T5ForConditionalGeneration

IGNORED = -100  # the label of a position that is no target


class PaddedT5:
    """`losses` through transformers' own encoder and decoder; what `PackedT5` is held against, and a GPU's choice."""

    def __init__(self, model: T5ForConditionalGeneration, *, dtype: torch.dtype, chunk: int) -> None:
        self._model = model
        cast_frozen(model, dtype)
        self._dtype = dtype
        self._chunk = chunk

    def losses(self, input_ids: Tensor, attention_mask: Tensor, labels: Tensor) -> Tensor:
        """Summed cross-entropy of each row [rows], fp32.

        input_ids, attention_mask [rows, longest source]: padding at the end. labels [rows, longest target]: IGNORED
        at the end of shorter ones.
        """
        model = self._model
        memory = model.encoder(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        states = model.decoder(
            input_ids=shifted(labels, model.config),
            encoder_hidden_states=memory,
            encoder_attention_mask=attention_mask,
            use_cache=False,
        ).last_hidden_state
        return row_losses(model, states[labels != IGNORED], labels, dtype=self._dtype, chunk=self._chunk)


class WholeT5:
    """`losses` from all logits of transformers' forward pass: for what the others do not know."""

    def __init__(self, model: nn.Module) -> None:
        self._model = model
        self._forward = model.forward

    def losses(self, input_ids: Tensor, attention_mask: Tensor, labels: Tensor) -> Tensor:
        """As PaddedT5 has it."""
        decoder_input_ids = shifted(labels, self._model.config)
        logits = self._forward(
            input_ids=input_ids, attention_mask=attention_mask, decoder_input_ids=decoder_input_ids
        ).logits
        losses = cross_entropy(logits.flatten(0, 1).float(), labels.flatten(), ignore_index=IGNORED, reduction="none")
        return losses.view(labels.shape).sum(1)


def row_losses(
    model: T5ForConditionalGeneration, hidden: Tensor, labels: Tensor, *, dtype: torch.dtype, chunk: int
) -> Tensor:
    """Summed cross-entropy of each row of `labels`; hidden [real targets, width], in the order of the rows.

    dtype: what the product with the head is made in.
    """
    if model.config.scale_decoder_outputs:
        hidden = hidden * model.config.d_model**-0.5
    wanted = labels != IGNORED
    losses = chunked_loss(hidden.to(dtype), model.lm_head.weight.to(dtype), labels[wanted], chunk)
    row = torch.arange(len(labels), device=labels.device).repeat_interleave(wanted.sum(1))
    total: Tensor = losses.new_zeros(len(labels)).index_add_(0, row, losses)
    return total


def shifted(labels: Tensor, config: Any) -> Tensor:
    """What the decoder reads: the labels one place later, after its start token."""
    moved = labels.roll(1, 1)
    moved[:, 0] = config.decoder_start_token_id
    return moved.masked_fill_(moved == IGNORED, config.pad_token_id)


def cast_frozen(model: nn.Module, dtype: torch.dtype) -> None:
    """Keep the frozen matrices in the type they are multiplied in: cast once, and half the memory in bf16.

    Not a head that is tied to the embedding, which stays as it was, nor matrices whose adapter reads them (DoRA).
    """
    modules: list[Any] = list(model.modules())
    kept = {id(module.weight) for module in modules if isinstance(module, nn.Embedding)}
    kept |= {id(layer.base_layer.weight) for layer in modules if getattr(layer, "lora_variant", None)}
    for module in modules:
        if isinstance(module, nn.Linear) and not module.weight.requires_grad and id(module.weight) not in kept:
            module.weight.data = module.weight.data.to(dtype)
