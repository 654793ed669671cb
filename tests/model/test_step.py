"""Each way to compute a step gives the loss and the gradients of transformers' own forward pass."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch._dynamo.utils import counters  # noqa: PLC2701  (no public way to count graphs)
from torch.nn.functional import cross_entropy
from transformers import MT5Config, MT5ForConditionalGeneration, T5Config, T5ForConditionalGeneration

from mtl.model.adapter import attach_lora
from mtl.model.kernels import chunked_loss, dropout_mask, dropped_share, gated_gelu, rms_norm
from mtl.model.packed import why_not
from mtl.model.padded import IGNORED
from mtl.model.step import install
from tests.support.tiny_model import tiny_t5

TOKENS = [150, 151]
LORA: dict[str, dict[str, Any]] = {
    "q and v": {},
    "all linear": {"target_modules": "all-linear"},
    "rank-stabilised": {"rslora": True},
    "DoRA": {"dora": True},
}


def adapted(**lora: Any) -> Any:
    """A tiny model with an adapter that does something."""
    base = tiny_t5(200, seed=1)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        options = {"target_modules": ["q", "v"], "rslora": False, **lora}
        model = attach_lora(base, TOKENS, r=4, alpha=8, dropout=0.0, base_name="x", revision=None, **options)
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                torch.nn.init.normal_(parameter, std=0.1)
    return model.eval()  # no dropout, so that sides can be held together


def batch(sources: tuple[int, ...] = (9, 30, 17), targets: tuple[int, ...] = (5, 12, 3)) -> dict[str, Tensor]:
    """Rows of different lengths, each with a task token in front."""
    random = torch.Generator().manual_seed(1)
    ids = torch.zeros(len(sources), max(sources), dtype=torch.long)
    labels = torch.full((len(targets), max(targets)), IGNORED)
    for row, (source, target) in enumerate(zip(sources, targets, strict=True)):
        ids[row, :source] = torch.randint(3, 140, (source,), generator=random)
        ids[row, 0] = TOKENS[row % 2]
        labels[row, :target] = torch.randint(3, 140, (target,), generator=random)
    mask = (ids != 0).long()
    return {"input_ids": ids, "attention_mask": mask, "labels": labels}


def transformers_losses(model: Any, inputs: dict[str, Tensor]) -> Tensor:
    labels = inputs["labels"]
    logits = model(**inputs).logits.float()
    losses = cross_entropy(logits.flatten(0, 1), labels.flatten(), ignore_index=IGNORED, reduction="none")
    return losses.view(labels.shape).sum(1)


def gradients(model: Any, losses: Tensor) -> dict[str, Tensor]:
    losses.sum().backward()
    found = {name: p.grad for name, p in model.named_parameters() if p.requires_grad}
    assert all(grad is not None and grad.abs().max() > 0 for grad in found.values())
    return found


@pytest.mark.parametrize("layout", ["packed", "padded", "fused"])
@pytest.mark.parametrize("lora", LORA.values(), ids=LORA)
def test_losses_and_gradients_are_those_of_transformers_in_fp32(layout: str, lora: dict[str, Any]) -> None:
    theirs, ours = adapted(**lora), adapted(**lora)
    install(ours.get_base_model(), layout=layout, bf16=False, chunk=7)
    inputs = batch()
    wanted, got = transformers_losses(theirs, inputs), ours(**inputs)
    torch.testing.assert_close(got, wanted, rtol=1e-5, atol=0)
    expected = gradients(theirs, wanted)
    for name, grad in gradients(ours, got).items():
        assert (grad - expected[name]).abs().max() <= 1e-5 * expected[name].abs().max(), name


@pytest.mark.parametrize("layout", ["packed", "padded", "fused"])
@pytest.mark.parametrize("lora", LORA.values(), ids=LORA)
def test_losses_are_those_of_transformers_in_bf16(layout: str, lora: dict[str, Any]) -> None:
    """Within 1e-3 of the loss: bf16 keeps 8 bits, and the two sides round in different places."""
    theirs, ours = adapted(**lora), adapted(**lora)
    install(ours.get_base_model(), layout=layout, bf16=True, chunk=7)
    inputs = batch(tuple(range(20, 118, 7)), tuple(range(5, 60, 4)))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        wanted, got = transformers_losses(theirs, inputs), ours(**inputs)
    torch.testing.assert_close(got.sum(), wanted.sum(), rtol=1e-3, atol=0)
    expected = gradients(theirs, wanted)
    for name, grad in gradients(ours, got).items():
        assert torch.nn.functional.cosine_similarity(grad.flatten(), expected[name].flatten(), dim=0) > 0.99, name


@pytest.mark.parametrize("layout", ["packed", "padded", "fused"])
def test_computing_blocks_again_changes_no_bit_and_keeps_less(layout: str) -> None:
    """With dropout, whose masks must be those of the first time."""

    def step(recompute: bool) -> tuple[Tensor, dict[str, Tensor], int]:
        model = adapted().train()
        for module in model.modules():
            if isinstance(module, torch.nn.Dropout):
                module.p = 0.1
        install(model.get_base_model(), layout=layout, bf16=False, chunk=7, recompute=recompute)
        kept: dict[int, int] = {}

        def keep(tensor: Tensor) -> Tensor:
            kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
            return tensor

        torch.manual_seed(3)
        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            losses = model(**batch())
        return losses, gradients(model, losses), sum(kept.values())

    (losses, grads, much), (again, recomputed, little) = step(False), step(True)
    assert torch.equal(losses, again)
    for name, grad in grads.items():
        assert torch.equal(grad, recomputed[name]), name
    assert little < 0.7 * much


@pytest.mark.parametrize("layout", ["packed", "fused"])
def test_an_example_has_the_same_loss_alone_and_beside_others(layout: str) -> None:
    """Packed rows do not see each other, and no row sees padding."""
    model = adapted()
    install(model.get_base_model(), layout=layout, bf16=False, chunk=64)
    inputs = batch()
    together = model(**inputs)
    for row, (source, target) in enumerate(zip((9, 30, 17), (5, 12, 3), strict=True)):
        widths = {"input_ids": source, "attention_mask": source, "labels": target}
        alone = model(**{name: value[row : row + 1, : widths[name]] for name, value in inputs.items()})
        torch.testing.assert_close(alone[0], together[row], rtol=1e-5, atol=0)


def test_the_host_never_waits_for_a_device_in_the_fused_layout() -> None:
    """On the meta device there is nothing to wait for: whatever needs a value fails, as the packed layout does."""
    inputs = {name: tensor.to("meta") for name, tensor in batch().items()}
    for layout in ("packed", "fused"):
        model = adapted().train().to("meta")
        install(model.get_base_model(), layout=layout, bf16=False, chunk=7)
        if layout == "packed":
            with pytest.raises((NotImplementedError, RuntimeError), match="meta"):
                model(**inputs)
        else:
            losses = model(**inputs)
            losses.sum().backward()
            assert losses.shape == (3,)
            assert all(p.grad is not None for p in model.parameters() if p.requires_grad)


@pytest.mark.slow
def test_a_block_is_compiled_once_for_all_shapes_and_layers_and_without_a_break() -> None:
    """Without the backend that writes code, which takes a CPU minutes."""
    plain, compiled = adapted(), adapted()
    for model, backend in ((plain, None), (compiled, "aot_eager")):
        install(model.get_base_model(), layout="fused", bf16=False, chunk=7, backend=backend)
    counters.clear()
    for sources, targets in (((9, 30, 40), (5, 12, 3)), ((50, 60, 7, 8), (5, 12, 3, 40))):
        inputs = batch(sources, targets)
        plain.zero_grad()
        compiled.zero_grad()
        wanted, got = plain(**inputs), compiled(**inputs)
        torch.testing.assert_close(got, wanted, rtol=1e-5, atol=0)
        expected = gradients(plain, wanted)
        for name, grad in gradients(compiled, got).items():
            assert (grad - expected[name]).abs().max() <= 1e-5 * expected[name].abs().max(), name
    assert not counters["graph_break"]
    # The encoder's block, and the decoder's with and without a gradient of its input.
    assert counters["stats"]["unique_graphs"] == 3


@pytest.mark.parametrize("chunk", [1, 5, 64])
def test_the_loss_in_chunks_is_the_loss_at_once(chunk: int) -> None:
    torch.manual_seed(0)
    hidden, head = torch.randn(23, 16, requires_grad=True), torch.randn(90, 16)
    labels, weight = torch.randint(0, 90, (23,)), torch.rand(23)
    whole = cross_entropy(hidden @ head.t(), labels, reduction="none")
    (expected,) = torch.autograd.grad((whole * weight).sum(), hidden)
    losses = chunked_loss(hidden, head, labels, chunk)
    (grad,) = torch.autograd.grad((losses * weight).sum(), hidden)
    torch.testing.assert_close(losses, whole, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(grad, expected, rtol=1e-5, atol=1e-5)


def test_the_pieces_have_right_gradients() -> None:
    torch.manual_seed(0)
    x, weight = torch.randn(3, 8, dtype=torch.double, requires_grad=True), torch.rand(8, dtype=torch.double)
    assert torch.autograd.gradcheck(lambda x: rms_norm(x, weight, 1e-6, torch.double), (x,))
    assert torch.autograd.gradcheck(gated_gelu, (x,))


@pytest.mark.parametrize("share", [0.05, 0.1, 0.5])
def test_dropout_drops_its_share_independently(share: float) -> None:
    torch.manual_seed(0)
    mask = dropout_mask(torch.Size([1000, 1001]), share, torch.device("cpu"))
    assert abs(dropped_share(share) - share) < 1 / 512
    assert (~mask).double().mean() == pytest.approx(dropped_share(share), abs=0.002)
    both = (~mask[:, 1:] & ~mask[:, :-1]).double().mean()
    assert both == pytest.approx(dropped_share(share) ** 2, abs=0.002)


def test_dropout_of_the_adapter_leaves_the_expectation_alone() -> None:
    """Over many draws the loss of a model with dropout comes near that without."""
    model = adapted()
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
        elif isinstance(getattr(module, "dropout", None), float):
            module.dropout = 0.0
    install(model.get_base_model(), layout="packed", bf16=False, chunk=64)
    plain = float(model(**batch()).sum().detach())
    for module in model.modules():
        if hasattr(module, "lora_dropout"):
            module.lora_dropout["default"] = torch.nn.Dropout(0.02)
    model.train()
    torch.manual_seed(0)
    draws = torch.stack([model(**batch()).sum().detach() for _ in range(40)])
    assert draws.std() > 0
    assert float(draws.mean()) == pytest.approx(plain, rel=0.03)


def test_models_that_it_does_not_know_are_left_to_transformers() -> None:
    assert why_not(adapted().get_base_model()) is None
    plain = T5Config(vocab_size=50, d_model=8, d_kv=4, d_ff=8, num_layers=1, num_heads=2, feed_forward_proj="relu")
    assert why_not(T5ForConditionalGeneration(plain)) == "activation relu"
    other = MT5Config(vocab_size=50, d_model=8, d_kv=4, d_ff=8, num_layers=1, num_heads=2, decoder_start_token_id=0)
    model = MT5ForConditionalGeneration(other)
    assert why_not(model) == "MT5ForConditionalGeneration is not T5ForConditionalGeneration"
    inputs = batch()
    inputs["input_ids"] %= 50
    inputs["labels"] = inputs["labels"].clamp(max=49)
    wanted = transformers_losses(model.eval(), inputs)
    install(model, layout="padded", bf16=False, chunk=64)
    torch.testing.assert_close(model(**inputs), wanted)
