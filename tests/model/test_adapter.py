"""The adapter: starts as the identity, trains the task tokens' rows, reloads exactly, merges to the same function."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from mtl.errors import DamageError, ModelError
from mtl.fingerprint import sha256_file
from mtl.model.adapter import ADAPTER_FILES, attach_lora, load_adapter, save_adapter, trainable_parameters
from mtl.model.base import load_base, resolve_base
from mtl.model.checks import check_start, probe_logits, row_gradients
from tests.support.bases import save_base

TOKENS = {"<summarize>": 150, "<mcq>": 151}
LORA: dict[str, Any] = {"r": 4, "alpha": 8, "dropout": 0.0, "rslora": False, "base_name": "tiny", "revision": None}


@pytest.fixture
def base(tmp_path: Path) -> Path:
    return save_base(tmp_path / "base")


def trained(base: Path, targets: Any = "all-linear", steps: int = 5) -> Any:
    """A base with an adapter that has really moved, task token rows included."""
    torch.manual_seed(0)
    model = attach_lora(load_base(resolve_base(str(base))), list(TOKENS.values()), target_modules=targets, **LORA)
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=0.05)
    ids = torch.tensor([[150, 5, 6, 7], [151, 8, 9, 10]])
    for _ in range(steps):
        model(input_ids=ids, labels=ids.flip(1) % 140).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    return model.eval()


def logits(model: torch.nn.Module) -> torch.Tensor:
    ids = torch.tensor([[150, 5, 6, 7, 1], [151, 9, 8, 7, 1]])
    with torch.no_grad():
        out: torch.Tensor = model(input_ids=ids, decoder_input_ids=ids[:, :3] % 140).logits
    return out


@pytest.mark.parametrize("targets", [["q", "v"], "all-linear"])
def test_reload_is_exact_and_merged_equals_unmerged(base: Path, tmp_path: Path, targets: Any) -> None:
    model = trained(base, targets)
    want = logits(model)
    save_adapter(model, tmp_path / "adapter")
    again = load_adapter(load_base(resolve_base(str(base))), tmp_path / "adapter")
    assert torch.equal(logits(again), want)
    assert float((logits(again.merge_and_unload()) - want).abs().max()) < 1e-4


def test_equal_weights_give_equal_bytes(base: Path, tmp_path: Path) -> None:
    for name in ("one", "two"):
        save_adapter(trained(base), tmp_path / name)
    for name in ADAPTER_FILES:
        assert sha256_file(tmp_path / "one" / name) == sha256_file(tmp_path / "two" / name)


def test_a_saved_adapter_names_the_base_and_not_this_machine(base: Path, tmp_path: Path) -> None:
    save_adapter(trained(base, steps=1), tmp_path / "adapter")
    text = (tmp_path / "adapter" / "adapter_config.json").read_text()
    assert json.loads(text)["base_model_name_or_path"] == "tiny"
    assert str(tmp_path) not in text


def test_the_start_check_passes_for_a_good_adapter(base: Path) -> None:
    ref = resolve_base(str(base))
    plain = load_base(ref)
    before = probe_logits(plain)
    model = attach_lora(plain, list(TOKENS.values()), target_modules=["q", "v"], **LORA)
    check_start(ref, plain, model, TOKENS, before=before)
    assert all(norm > 0 for norm in row_gradients(model, list(TOKENS.values())))
    assert all(p.grad is None for p in model.parameters())


def test_frozen_rows_stop_the_run(base: Path) -> None:
    ref = resolve_base(str(base))
    plain = load_base(ref)
    before = probe_logits(plain)
    model = attach_lora(plain, [], target_modules=["q", "v"], **LORA)
    with pytest.raises(ModelError, match="task token <summarize> gets no gradient"):
        check_start(ref, plain, model, TOKENS, before=before)


def test_moved_logits_stop_the_run(base: Path) -> None:
    ref = resolve_base(str(base))
    plain = load_base(ref)
    before = probe_logits(plain)
    model = attach_lora(plain, list(TOKENS.values()), target_modules=["q", "v"], **LORA)
    with torch.no_grad():
        next(p for name, p in model.named_parameters() if "lora_B" in name).add_(0.1)
    with pytest.raises(ModelError, match="moved the logits of old tokens by"):
        check_start(ref, plain, model, TOKENS, before=before)


def test_an_unknown_target_module_is_named(base: Path) -> None:
    with pytest.raises(ModelError, match="no linear layer is called 'qq'"):
        attach_lora(load_base(resolve_base(str(base))), [150], target_modules=["qq"], **LORA)


def test_only_the_adapter_and_two_rows_are_trained(base: Path) -> None:
    model = attach_lora(load_base(resolve_base(str(base))), [150, 151], target_modules=["q"], **LORA)
    trainable, total = trainable_parameters(model)
    attentions, d_model, inner = 2 + 2 * 2, 32, 32
    assert trainable == attentions * 4 * (d_model + inner) + 2 * d_model
    assert trainable < total


@pytest.mark.parametrize("name", ADAPTER_FILES)
def test_a_missing_file_of_an_adapter_is_named(base: Path, tmp_path: Path, name: str) -> None:
    save_adapter(trained(base, steps=1), tmp_path / "adapter")
    (tmp_path / "adapter" / name).unlink()
    with pytest.raises(DamageError, match=f"has no {name}"):
        load_adapter(load_base(resolve_base(str(base))), tmp_path / "adapter")
