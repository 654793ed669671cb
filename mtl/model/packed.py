"""A T5 step over the real tokens of a batch alone: rows follow each other without padding, [tokens, width].

Same function as transformers' padded forward pass (tests hold them together), arranged for training an adapter on a
frozen base: matrices that read the same input are one product, attention sees each example by itself, and the head
works on target tokens only, some at a time. Models or adapters that it does not know (`why_not`) are left to
transformers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from mtl.model.kernels import attend, dropout, dropout_mask, dropped_share, gated_gelu, lora_product, rms_norm
from mtl.model.padded import IGNORED, cast_frozen, row_losses, shifted

if TYPE_CHECKING:
    from transformers import T5ForConditionalGeneration

_CACHED_BIAS = 2048  # tokens; a longer position bias is made again for each batch
Attend = Callable[..., Tensor]
_ACTIVATIONS = {"gelu_new": gated_gelu}


def why_not(model: T5ForConditionalGeneration) -> str | None:
    """Why neither the packed nor the fused layout can stand in for the forward pass of `model`, or None if it can."""
    from transformers import T5ForConditionalGeneration

    if type(model) is not T5ForConditionalGeneration:
        return f"{type(model).__name__} is not T5ForConditionalGeneration"
    if not knows_activation(model):
        return f"activation {model.config.feed_forward_proj}"
    if type(model.lm_head) is not nn.Linear or model.lm_head.weight.requires_grad:
        return "the head is trained"
    return None


def knows_activation(model: Any) -> bool:
    """Whether `FeedForward` computes what the feed-forward layers of `model` compute."""
    return bool(model.config.is_gated_act and model.config.dense_act_fn in _ACTIVATIONS)


class Product:
    """Linear layers that read the same input, as one product; their frozen weights become rows of one matrix.

    Plain LoRA is part of the product (the adapters of one input share their dropout mask); any other kind of layer
    (DoRA) makes all of them run as they are.
    """

    def __init__(self, layers: Sequence[Any]) -> None:
        self._layers = layers
        self._plain = all(type(layer) is nn.Linear or _is_plain_lora(layer) for layer in layers)
        if self._plain:
            self._weight = _joined([_linear(layer) for layer in layers])
            self._adapted = [(n, layer) for n, layer in enumerate(layers) if type(layer) is not nn.Linear]

    def __call__(self, x: Tensor) -> Tensor:
        """[tokens, in] to [tokens, all outputs side by side]"""
        if not self._plain:
            return torch.cat([layer(x) for layer in self._layers], -1)
        if not self._adapted:
            return functional.linear(x, self._weight)
        share = self._dropout() if self._layers[0].training else 0.0
        mask = dropout_mask(x.shape, share, x.device) if share else None
        down, up = self._adapters(1 / (1 - dropped_share(share)))
        return lora_product(x, self._weight, down, up, mask)

    def _dropout(self) -> float:
        return max(float(getattr(layer.lora_dropout["default"], "p", 0.0)) for _, layer in self._adapted)

    def _adapters(self, scale: float) -> tuple[Tensor, Tensor]:
        """(down [ranks, in], up [out, ranks]): block by block, scaled."""
        downs = [layer.lora_A["default"].weight for _, layer in self._adapted]
        ups: list[Tensor] = []
        before = 0
        total = sum(len(down) for down in downs)
        adapted = dict(self._adapted)
        for number, layer in enumerate(self._layers):
            if number not in adapted:
                ups.append(downs[0].new_zeros(layer.out_features, total))
                continue
            block = layer.lora_B["default"].weight * (layer.scaling["default"] * scale)
            ups.append(functional.pad(block, (before, total - before - block.shape[1])))
            before += block.shape[1]
        return torch.cat(downs), torch.cat(ups)


class Attention:
    """Self-attention or cross-attention of a T5 block. attend: as in `mtl.model.kernels`, example by example.

    lengths and others are handed on to `attend`, which alone knows how the tokens of examples lie.
    """

    def __init__(self, module: Any, attend: Attend, *, cross: bool) -> None:
        self.is_cross = cross
        self._attend = attend
        self._heads = module.n_heads
        self._own = Product([module.q] if cross else [module.q, module.k, module.v])
        self._other = Product([module.k, module.v]) if cross else None
        self._out = Product([module.o])

    def within(self, x: Tensor, lengths: Any, bias: Tensor, *, drop: float) -> Tensor:
        """x [tokens, width]; bias [1, heads, longest, longest]."""
        return self._out(self._attend(self._own(x), None, lengths, lengths, bias, self._heads, drop))

    def across(self, x: Tensor, memory: Tensor, lengths: Any, others: Any, *, drop: float) -> Tensor:
        """x [target tokens, width], memory [source tokens, width]."""
        assert self._other is not None
        return self._out(self._attend(self._own(x), self._other(memory), lengths, others, None, self._heads, drop))


class Stack:
    """The blocks of an encoder or decoder. backend: of torch.compile, which compiles one block for all; None: not."""

    def __init__(self, stack: Any, attend: Attend = attend, backend: str | None = None) -> None:
        self._stack = stack
        self._block = _block
        if backend is not None:
            self._block = torch.compile(_block, dynamic=True, backend=backend)
        self._first = stack.block[0].layer[0].SelfAttention
        self._bias: Tensor | None = None
        self._layers = [[_sublayer(layer, attend) for layer in block.layer] for block in stack.block]

    def __call__(
        self, x: Tensor, lengths: Any, bias: Tensor, dtype: torch.dtype, memory: tuple[Tensor, Any] | None = None
    ) -> Tensor:
        """x and the output [tokens, width] fp32; products in `dtype`. memory: the encoder's output, its lengths.

        bias: of the positions, see `position_bias`.
        """
        share = self._stack.dropout.p if self._stack.training else 0.0
        rest = (lengths, bias, dtype, memory, share)
        x = dropout(x, share)
        recompute = self._stack.gradient_checkpointing and self._stack.training
        for layers in self._layers:
            if recompute:
                x = checkpoint(self._block, x, layers, *rest, use_reentrant=False)
            else:
                x = self._block(x, layers, *rest)
        norm = self._stack.final_layer_norm
        return dropout(rms_norm(x, norm.weight, norm.variance_epsilon, torch.float32), share)

    def position_bias(self, longest: int) -> Tensor:
        """[1, heads, at least longest, the same], with -inf where the decoder must not look."""
        if self._bias is None or self._bias.shape[-1] < longest:
            bias: Tensor = self._first.compute_bias(longest, longest).detach().float().contiguous()
            if self._first.is_decoder:
                bias = bias.masked_fill_(torch.ones_like(bias[0, 0], dtype=torch.bool).triu(1), -torch.inf)
            self._bias = bias if longest <= _CACHED_BIAS else None
            return bias
        assert self._bias is not None
        return self._bias


def _block(
    x: Tensor,
    layers: list[tuple[Any, Attention | FeedForward]],
    lengths: Any,
    bias: Tensor,
    dtype: torch.dtype,
    memory: tuple[Tensor, Any] | None,
    share: float,
) -> Tensor:
    """One block. Parameters as of Stack; share: of dropout."""
    for norm, work in layers:
        normed = rms_norm(x, norm.weight, norm.variance_epsilon, dtype)
        if isinstance(work, FeedForward):
            y = work(normed, drop=share)
        elif work.is_cross:
            assert memory is not None
            y = work.across(normed, memory[0], lengths, memory[1], drop=share)
        else:
            y = work.within(normed, lengths, bias, drop=share)
        x = x + dropout(y, share)
    return x


class FeedForward:
    """The gated feed-forward layer."""

    def __init__(self, module: Any) -> None:
        self._wide = Product([module.wi_0, module.wi_1])
        self._out = Product([module.wo])

    def __call__(self, x: Tensor, *, drop: float) -> Tensor:
        return self._out(dropout(gated_gelu(self._wide(x)), drop))


class PackedT5:
    """`losses` of a model whose base is frozen.

    dtype: what the frozen matrices are kept in from here on, and multiplied in. chunk: target tokens whose logits
    exist at a time. The model must be on its device already.
    """

    def __init__(self, model: T5ForConditionalGeneration, *, dtype: torch.dtype, chunk: int) -> None:
        cast_frozen(model, dtype)
        self._model = model
        self._dtype = dtype
        self._chunk = chunk
        self._encoder = Stack(model.encoder)
        self._decoder = Stack(model.decoder)

    def losses(self, input_ids: Tensor, attention_mask: Tensor, labels: Tensor) -> Tensor:
        """As `mtl.model.padded` has it."""
        model = self._model
        real, wanted = attention_mask.bool(), labels != IGNORED
        sources, targets = real.sum(1).tolist(), wanted.sum(1).tolist()
        read = embedded(model.encoder.embed_tokens, input_ids[real])
        encoder, decoder = self._encoder, self._decoder
        memory = encoder(read, sources, encoder.position_bias(max(sources)), self._dtype).to(self._dtype)
        start = embedded(model.decoder.embed_tokens, shifted(labels, model.config)[wanted])
        bias = decoder.position_bias(max(targets))
        hidden = decoder(start, targets, bias, self._dtype, (memory, sources))
        return row_losses(model, hidden, labels, dtype=self._dtype, chunk=self._chunk)


def embedded(layer: Any, ids: Tensor) -> Tensor:
    """[tokens, width] fp32 of ids [tokens]; peft's trained rows without a copy of the whole matrix."""
    adapter = getattr(layer, "token_adapter", None)
    if adapter is None:
        plain: Tensor = layer(ids).float()
        return plain
    x = functional.embedding(ids, adapter.base_layer.weight).float()
    rows = adapter.trainable_tokens_delta["default"]
    numbers = torch.tensor(adapter.token_indices["default"], device=ids.device)
    at, which = (ids[:, None] == numbers).nonzero(as_tuple=True)
    return x.index_copy(0, at, rows[which])


def _sublayer(layer: Any, attend: Attend) -> tuple[Any, Attention | FeedForward]:
    """(norm, what comes after it)"""
    if hasattr(layer, "SelfAttention"):
        return layer.layer_norm, Attention(layer.SelfAttention, attend, cross=False)
    if hasattr(layer, "EncDecAttention"):
        return layer.layer_norm, Attention(layer.EncDecAttention, attend, cross=True)
    return layer.layer_norm, FeedForward(layer.DenseReluDense)


def _is_plain_lora(layer: Any) -> bool:
    from peft.tuners.lora.layer import Linear

    if type(layer) is not Linear:
        return False
    plain = layer.active_adapters == ["default"] and not layer.lora_variant and not layer.fan_in_fan_out
    return bool(plain and type(layer.base_layer) is nn.Linear and not layer.lora_bias["default"])


def _linear(layer: Any) -> nn.Linear:
    linear: nn.Linear = layer if type(layer) is nn.Linear else layer.base_layer
    return linear


def _joined(layers: Sequence[nn.Linear]) -> Tensor:
    """The weights as one matrix, of which each layer's weight is a part from here on: no memory is taken twice."""
    weights = [layer.weight.detach() for layer in layers]
    if len(weights) == 1:
        return weights[0]
    if not _adjacent(weights):  # else they were joined before
        whole = torch.cat(weights)
        weights = list(torch.split(whole, [len(weight) for weight in weights]))
        for layer, rows in zip(layers, weights, strict=True):
            layer.weight.data = rows
    return weights[0].as_strided((sum(map(len, weights)), weights[0].shape[1]), weights[0].stride())


def _adjacent(weights: Sequence[Tensor]) -> bool:
    """Whether the matrices follow each other in one piece of memory."""
    first, at = weights[0], weights[0].data_ptr()
    for weight in weights:
        same = weight.untyped_storage().data_ptr() == first.untyped_storage().data_ptr()
        if not (same and weight.is_contiguous() and weight.data_ptr() == at):
            return False
        at += weight.nbytes
    return True
