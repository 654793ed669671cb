"""The start-up check: three ways in which T5 with new tokens goes wrong in silence, each seen before step 1."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from mtl.errors import ModelError
from mtl.model.adapter import ROWS
from mtl.model.base import BaseRef, check_head

if TYPE_CHECKING:
    import torch
    from peft import PeftModel
    from transformers import T5ForConditionalGeneration

_PROBE = list(range(3, 27))  # any ids that every T5 vocabulary has


def probe_logits(model: torch.nn.Module) -> torch.Tensor:
    """Logits [1, tokens, rows] on a fixed input of old tokens only, without dropout."""
    import torch

    was_training = model.training
    model.eval()
    with torch.no_grad():
        ids = torch.tensor([_PROBE], device=next(model.parameters()).device)
        logits: torch.Tensor = model(input_ids=ids, decoder_input_ids=ids[:, :8]).logits
    model.train(was_training)
    return logits


def check_start(
    ref: BaseRef,
    base: T5ForConditionalGeneration,
    model: PeftModel,
    tokens: Mapping[str, int],
    *,
    before: torch.Tensor,
) -> None:
    """Stop a run that would train the wrong thing.

    base: the model inside `model`; tokens: task token -> id; before: `probe_logits` of the base without adapter.
    Errors: ModelError if the head came out tied, step-0 logits moved, or a new row gets no gradient.
    """
    check_head(ref, base)
    moved = float((probe_logits(model) - before).abs().max())
    if moved != 0.0:
        raise ModelError(
            f"attaching the adapter moved the logits of old tokens by {moved:.3g} before any step",
            hint="the adapter must start as the identity; check lora settings and the version of peft",
        )
    for token, norm in zip(tokens, row_gradients(model, list(tokens.values())), strict=True):
        if not norm > 0.0:
            raise ModelError(
                f"task token {token} gets no gradient (norm {norm}), so it would never learn its meaning",
                hint="its embedding row must be trainable through " + ROWS,
            )


def row_gradients(model: PeftModel, token_ids: Sequence[int]) -> list[float]:
    """Gradient norm of each new row after one backward pass over inputs that hold it; gradients are cleared again."""
    import torch

    was_training = model.training
    model.eval()
    device = next(model.parameters()).device
    rows = torch.tensor([[token, *_PROBE[:8]] for token in token_ids], device=device)
    model(input_ids=rows, labels=torch.tensor([_PROBE[:8]] * len(token_ids), device=device)).loss.backward()
    deltas = [p for name, p in model.named_parameters() if "trainable_tokens_delta" in name and p.requires_grad]
    norms = deltas[0].grad.norm(dim=1).tolist() if deltas and deltas[0].grad is not None else [0.0] * len(token_ids)
    model.zero_grad(set_to_none=True)
    model.train(was_training)
    return norms
