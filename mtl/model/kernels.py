"""Pieces of a T5 step with their own backward passes, each the same function as transformers' but with fewer passes.

They know that the base is frozen: no gradient of a base weight is formed, and what the backward pass needs anyway is
made once. All take rows of tokens, [tokens, width], without padding. Autocast leaves them alone: what comes in as
bf16 is multiplied in bf16 with sums in fp32, what is fp32 stays fp32.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional


class RmsNorm(torch.autograd.Function):
    """weight * x / rms(x): x [tokens, width] fp32; the result in `dtype`, the sums in fp32."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, eps: float, dtype: torch.dtype) -> Tensor:
        width = x.shape[-1]
        scale = torch.linalg.vector_norm(x, dim=-1, keepdim=True).square_().div_(width).add_(eps).rsqrt_()
        ctx.save_for_backward(x, weight, scale)
        normed: Tensor = (x * scale).mul_(weight).to(dtype)
        return normed

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Any:
        x, weight, scale = ctx.saved_tensors
        towards = grad * weight  # fp32
        share = (towards * x).sum(-1, keepdim=True).mul_(scale.pow(3)).div_(x.shape[-1])
        return towards.mul_(scale).addcmul_(x, share, value=-1), None, None, None


class GatedGelu(torch.autograd.Function):
    """gelu(a) * b of both = [a, b]: [tokens, 2 width] to [tokens, width]; gelu by its tanh formula."""

    @staticmethod
    def forward(ctx: Any, both: Tensor) -> Tensor:
        ctx.save_for_backward(both)
        gate, value = both.chunk(2, -1)
        return functional.gelu(gate, approximate="tanh").mul_(value)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        (both,) = ctx.saved_tensors
        gate, value = both.chunk(2, -1)
        result = torch.empty_like(both)
        towards_gate, towards_value = result.chunk(2, -1)
        torch.mul(functional.gelu(gate, approximate="tanh"), grad, out=towards_value)
        torch.ops.aten.gelu_backward.grad_input(grad * value, gate, approximate="tanh", grad_input=towards_gate)
        return result


class Attend(torch.autograd.Function):
    """softmax(q k' + bias) v, each example by itself; as T5 has it, scores are not scaled.

    own [tokens, 3 x heads x width]: queries, keys and values of self-attention; with other [other tokens, 2 x heads x
    width] that holds keys and values, own [tokens, heads x width] holds queries only. lengths, others: tokens of each
    example in both. bias [1, heads, longest, longest] fp32, added and summed in fp32. drop: share of the
    probabilities that dropout takes. The result is [tokens, heads x width].

    On a CPU three products for all heads at once beat torch's fused kernel by half, and five backward by two thirds
    (docs/log.md). Probabilities are kept up to _KEPT scores, and made again for longer examples.
    """

    @staticmethod
    def forward(
        ctx: Any,
        own: Tensor,
        other: Tensor | None,
        lengths: list[int],
        others: list[int],
        bias: Tensor | None,
        heads: int,
        drop: float,
    ) -> Tensor:
        result = own.new_empty(len(own), own.shape[1] // (3 if other is None else 1))
        ctx.save_for_backward(own, other, bias)
        ctx.lengths, ctx.others, ctx.heads, ctx.drop = lengths, others, heads, drop
        ctx.kept = []
        for query, key, value, out in _by_example(own, other, lengths, others, heads=heads, like=result):
            probabilities = _probabilities(query, key, bias)
            mask = dropout_mask(probabilities.shape, drop, own.device) if drop else None
            ctx.kept.append((probabilities if query.shape[1] * key.shape[1] <= _KEPT else None, mask))
            out.copy_(torch.bmm(_dropped(probabilities, mask, drop), value))
        return result

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Any:
        own, other, bias = ctx.saved_tensors
        towards, towards_other = torch.empty_like(own), None if other is None else torch.empty_like(other)
        lengths = ctx.lengths, ctx.others
        examples = _by_example(own, other, *lengths, heads=ctx.heads, like=grad)
        results = _by_example(towards, towards_other, *lengths, heads=ctx.heads, like=grad)
        for (query, key, value, out), (to_query, to_key, to_value, _), (kept, mask) in zip(
            examples, results, ctx.kept, strict=True
        ):
            probabilities = _probabilities(query, key, bias) if kept is None else kept
            to_value.copy_(torch.bmm(_dropped(probabilities, mask, ctx.drop).transpose(1, 2), out))
            to_kept = _dropped(torch.bmm(out, value.transpose(1, 2)), mask, ctx.drop)
            to_scores = torch.ops.aten._softmax_backward_data(to_kept, probabilities, -1, probabilities.dtype)
            to_query.copy_(torch.bmm(to_scores, key))
            to_key.copy_(torch.bmm(to_scores.transpose(1, 2), query))
        return towards, towards_other, None, None, None, None, None


_KEPT = 2**20  # scores of a head: 1024 x 1024


def _by_example(
    own: Tensor, other: Tensor | None, lengths: list[int], others: list[int], *, heads: int, like: Tensor
) -> Iterator[tuple[Tensor, Tensor, Tensor, Tensor]]:
    """(queries, keys, values, part of `like`) of each example, views [heads, tokens, width]."""
    parts = torch.split(own.view(len(own), 1 if other is not None else 3, heads, -1), lengths)
    more = parts if other is None else torch.split(other.view(len(other), 2, heads, -1), others)
    outs = torch.split(like.view(len(like), heads, -1), lengths)
    for part, rest, out in zip(parts, more, outs, strict=True):
        key, value = rest.permute(1, 2, 0, 3)[-2:]
        yield part.permute(1, 2, 0, 3)[0], key, value, out.transpose(0, 1)


def _probabilities(query: Tensor, key: Tensor, bias: Tensor | None) -> Tensor:
    """[heads, queries, keys] in the type of `query`; the softmax is taken in fp32."""
    scores = torch.bmm(query, key.transpose(1, 2))
    scores = scores.float() if bias is None else scores + bias[0, :, : scores.shape[1], : scores.shape[2]]
    return torch.softmax(scores, -1).to(query.dtype)


def _dropped(values: Tensor, mask: Tensor | None, drop: float) -> Tensor:
    return values if mask is None else values * mask * (1 / (1 - dropped_share(drop)))


class LoraProduct(torch.autograd.Function):
    """x W' + (x * mask) A' B': the frozen matrices of one input and their adapters as three products.

    x [tokens, in]; weight [out, in], frozen; down [ranks, in]; up [out, ranks], zero where a row has no adapter;
    mask [tokens, in] bool: what dropout lets through (its scale is in `up`); None: everything.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, down: Tensor, up: Tensor, mask: Tensor | None) -> Tensor:
        down, up = down.to(x.dtype), up.to(x.dtype)
        kept = x if mask is None else x * mask
        inner = functional.linear(kept, down)
        ctx.save_for_backward(x, weight, down, up, mask, inner)
        return functional.linear(x, weight).addmm_(inner, up.t())

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Any:
        x, weight, down, up, mask, inner = ctx.saved_tensors
        towards_inner = grad @ up
        towards_up = (inner.t() @ grad).t() if ctx.needs_input_grad[3] else None
        kept = x if mask is None else x * mask
        towards_down = towards_inner.t() @ kept if ctx.needs_input_grad[2] else None
        towards_x = None
        if ctx.needs_input_grad[0]:
            towards_x = grad @ weight
            if mask is None:
                towards_x.addmm_(towards_inner, down)
            else:
                towards_x.addcmul_(towards_inner @ down, mask.to(grad.dtype))
        return towards_x, None, towards_down, towards_up, None


class ChunkedLoss(torch.autograd.Function):
    """Cross-entropy of each target token [tokens], fp32; the logits exist for `chunk` tokens at a time.

    hidden [tokens, width]; head [vocabulary, width], frozen; labels [tokens]. The gradient of `hidden` is made along
    with the loss, since the logits are at hand (as in Liger's fused linear cross-entropy, Hsu et al. 2024).
    """

    @staticmethod
    def forward(ctx: Any, hidden: Tensor, head: Tensor, labels: Tensor, chunk: int) -> Tensor:
        losses = torch.empty(len(hidden), dtype=torch.float32, device=hidden.device)
        towards = torch.empty_like(hidden) if ctx.needs_input_grad[0] else None
        for start in range(0, len(hidden), chunk):
            part = slice(start, start + chunk)
            at = labels[part, None]
            logs = torch.log_softmax(functional.linear(hidden[part], head).float(), dim=-1)
            losses[part] = -logs.gather(1, at).squeeze(1)
            if towards is not None:
                probabilities = logs.exp_()
                probabilities.scatter_add_(1, at, torch.full_like(at, -1, dtype=torch.float32))
                torch.mm(probabilities.to(hidden.dtype), head, out=towards[part])
        ctx.towards = towards
        return losses

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Any:
        return ctx.towards * grad.unsqueeze(1).to(ctx.towards.dtype), None, None, None


def gated_gelu(both: Tensor) -> Tensor:
    """As GatedGelu has it; torch.compile, which cannot trace that one, makes one pass of the plain formula as well."""
    if torch.compiler.is_compiling():
        gate, value = both.chunk(2, -1)
        return functional.gelu(gate, approximate="tanh") * value
    return _gated_gelu(both)


def dropout_mask(shape: torch.Size, share: float, device: torch.device) -> Tensor:
    """What dropout lets through, bool, each with probability 1 - dropped_share(share).

    Eight decisions from each number drawn: one byte each, where torch's own dropout draws a number for every value.
    """
    if torch.compiler.is_compiling():  # which cannot trace what follows, and draws within the pass that needs it
        return torch.rand(shape, device=device) >= dropped_share(share)
    size = shape.numel()
    words = torch.empty(-(-size // 8), dtype=torch.int64, device=device).random_(-(2**63), None)
    return (words.view(torch.uint8)[:size] >= round(256 * share)).view(shape)


def dropped_share(share: float) -> float:
    """The share that `dropout_mask` really drops: the nearest multiple of 1/256."""
    return round(256 * share) / 256


def dropout(x: Tensor, share: float) -> Tensor:
    """x with a share of its values dropped and the rest scaled up."""
    if not share:
        return x
    return x * dropout_mask(x.shape, share, x.device) * (1 / (1 - dropped_share(share)))


# `apply` is untyped; these are how the pieces are called.
rms_norm: Callable[[Tensor, Tensor, float, torch.dtype], Tensor] = RmsNorm.apply
_gated_gelu: Callable[[Tensor], Tensor] = GatedGelu.apply
attend: Callable[..., Tensor] = Attend.apply
lora_product: Callable[[Tensor, Tensor, Tensor, Tensor, Tensor | None], Tensor] = LoraProduct.apply
chunked_loss: Callable[[Tensor, Tensor, Tensor, int], Tensor] = ChunkedLoss.apply
