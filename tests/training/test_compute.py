"""How a step is computed: what `auto` takes, and what is taken when it is asked for by name."""

from __future__ import annotations

from typing import Any

import pytest

from mtl.config.train import TrainConfig
from mtl.errors import ConfigError
from mtl.training.compute import LOSS_CHUNK, ComputeSettings, resolve_compute


def chosen(device: str = "cpu", obstacle: str | None = None, **train: Any) -> ComputeSettings:
    return resolve_compute(TrainConfig(**train), bf16=True, device=device, vocabulary=32128, obstacle=obstacle)


@pytest.mark.parametrize(
    ("device", "obstacle", "train", "layout"),
    [
        ("cpu", None, {}, "packed"),
        ("cuda", None, {}, "fused"),
        ("cuda", None, {"torch_compile": True}, "fused"),
        ("cuda", "activation relu", {}, "padded"),
        ("cpu", "activation relu", {}, "padded"),
        ("cpu", None, {"torch_compile": True}, "padded"),
        ("cuda", None, {"layout": "packed"}, "packed"),
        ("cpu", None, {"layout": "padded"}, "padded"),
        ("cpu", None, {"layout": "fused"}, "fused"),
    ],
)
def test_the_layout_is_the_measured_one_unless_it_is_named(
    device: str, obstacle: str | None, train: dict[str, Any], layout: str
) -> None:
    assert chosen(device, obstacle, **train).layout == layout


@pytest.mark.parametrize("layout", ["packed", "fused"])
def test_what_cannot_be_had_is_refused_with_its_reason(layout: str) -> None:
    with pytest.raises(ConfigError, match=rf"train.layout: {layout} cannot be had: activation relu"):
        chosen(obstacle="activation relu", layout=layout)


def test_on_a_gpu_thousands_of_targets_have_logits_at_a_time() -> None:
    assert chosen("cuda").loss_chunk == 5570
    assert chosen("cuda", loss_chunk=64).loss_chunk == 64


def test_the_rest_is_as_configured() -> None:
    plain = chosen()
    assert (plain.attention, plain.loss_chunk, plain.optimizer) == ("sdpa", LOSS_CHUNK, "adamw_torch_fused")
    named = chosen(
        attn_implementation="eager",
        loss_chunk=7,
        optimizer="adafactor",
        torch_compile=True,
        gradient_checkpointing=True,
    )
    assert named.gradient_checkpointing
    assert not plain.gradient_checkpointing
    assert (named.attention, named.loss_chunk, named.optimizer, named.compile) == ("eager", 7, "adafactor", True)
    assert plain.to_dict()["layout"] == "packed"
