"""A T5 step for a GPU: rows padded to a common bucket of lengths, every operation on the whole batch at once.

Same function as transformers' padded forward pass (tests hold them together). It shares the products and norms of
`mtl.model.packed`, and differs where that one makes a GPU wait: attention is one call of torch's fused kernel for all
examples instead of a loop over them, and nothing here depends on values that are on the device, so that the host
never waits for it. For the same reason torch.compile takes a block as one graph, for all layers and shapes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn import functional

from mtl.model.kernels import chunked_loss
from mtl.model.packed import Stack
from mtl.model.padded import IGNORED, cast_frozen, shifted

if TYPE_CHECKING:
    from transformers import T5ForConditionalGeneration

BUCKET = 16  # lengths are rounded up to it: few shapes to compile for, and what the attention kernel's masks need


@dataclass(frozen=True, slots=True)
class Grid:
    """How the tokens [rows x length] of a batch lie. hidden [rows, 1, 1, length]: -inf at padding, 0 elsewhere."""

    rows: int
    length: int
    hidden: Tensor | None = None


class FusedT5:
    """`losses` of a model whose base is frozen. Parameters as of PackedT5. backend: of torch.compile, if any."""

    def __init__(
        self, model: T5ForConditionalGeneration, *, dtype: torch.dtype, chunk: int, backend: str | None
    ) -> None:
        cast_frozen(model, dtype)
        self._model = model
        self._dtype = dtype
        self._chunk = chunk
        self._encoder = Stack(model.encoder, attend_rows, backend)
        self._decoder = Stack(model.decoder, attend_rows, backend)

    def losses(self, input_ids: Tensor, attention_mask: Tensor, labels: Tensor) -> Tensor:
        """As `mtl.model.padded` has it."""
        model = self._model
        input_ids, attention_mask = _bucketed(input_ids, 0), _bucketed(attention_mask, 0)
        labels = _bucketed(labels, IGNORED)
        sources, targets = input_ids.shape[1], labels.shape[1]
        hidden = torch.zeros(attention_mask.shape, dtype=self._dtype, device=labels.device)
        hidden = hidden.masked_fill_(attention_mask == 0, -torch.inf)[:, None, None, :]
        rows, source_bias = Grid(len(labels), sources, hidden), self._encoder.position_bias(sources)
        read = embed(model.encoder.embed_tokens, input_ids.flatten())
        bias = source_bias[:, :, :sources, :sources].to(self._dtype) + hidden
        memory = self._encoder(read, rows, bias, self._dtype).to(self._dtype)
        # Causal, which is enough: padding is at the end, so it is seen by padding alone.
        causal = self._decoder.position_bias(targets)[:, :, :targets, :targets].to(self._dtype).contiguous()
        written = embed(model.decoder.embed_tokens, shifted(labels, model.config).flatten())
        states = self._decoder(written, Grid(len(labels), targets), causal, self._dtype, (memory, rows))
        return self._row_losses(states, labels)

    def _row_losses(self, states: Tensor, labels: Tensor) -> Tensor:
        """As `padded.row_losses`, but padding is computed and left out of the sum: to skip it is to wait for it."""
        model = self._model
        if model.config.scale_decoder_outputs:
            states = states * model.config.d_model**-0.5
        wanted = labels != IGNORED
        head = model.lm_head.weight.to(self._dtype)
        losses = chunked_loss(states.to(self._dtype), head, labels.clamp(min=0).flatten(), self._chunk)
        return (losses.view(labels.shape) * wanted).sum(1)


def embed(layer: Any, ids: Tensor) -> Tensor:
    """[tokens, width] fp32 of ids [tokens]; peft's trained rows one after the other, as their positions are unknown."""
    adapter = getattr(layer, "token_adapter", None)
    if adapter is None:
        plain: Tensor = layer(ids).float()
        return plain
    x = functional.embedding(ids, adapter.base_layer.weight).float()
    for number, row in zip(adapter.token_indices["default"], adapter.trainable_tokens_delta["default"], strict=True):
        x = torch.where((ids == number)[:, None], row, x)
    return x


def attend_rows(
    own: Tensor, other: Tensor | None, grid: Grid, others: Grid, bias: Tensor | None, heads: int, drop: float
) -> Tensor:
    """`kernels.attend` for rows of equal length. bias [1 or rows, heads, length, length]; if None, others.hidden."""
    if other is None:
        query, key, value = own.view(grid.rows, grid.length, 3, heads, -1).permute(2, 0, 3, 1, 4).unbind(0)
    else:
        query = own.view(grid.rows, grid.length, heads, -1).transpose(1, 2)
        key, value = other.view(others.rows, others.length, 2, heads, -1).permute(2, 0, 3, 1, 4).unbind(0)
    mask = others.hidden if bias is None else bias
    result = functional.scaled_dot_product_attention(query, key, value, attn_mask=mask, dropout_p=drop, scale=1.0)
    return result.transpose(1, 2).reshape(len(own), -1)


def _bucketed(x: Tensor, fill: int) -> Tensor:
    """x [rows, length] filled up to a length that is a multiple of BUCKET."""
    return functional.pad(x, (0, -x.shape[1] % BUCKET), value=fill)
