"""Each way to train can be killed: the run ends with the adapter of the uninterrupted one."""

from __future__ import annotations

import signal
from typing import Any

import pytest

from tests.support.preludes import STEP, Strike
from tests.support.trainers import Machine
from tests.training.conftest import NewMachine

MODES: dict[str, dict[str, Any]] = {
    "packed": {"layout": "packed"},
    "padded": {"layout": "padded"},
    "fused": {"layout": "fused"},
    "fused, bf16": {"layout": "fused", "precision": "bf16"},
    "adafactor, cosine": {"optimizer": "adafactor", "lr_scheduler_type": "cosine"},
    "rows of their own": {"embedding_learning_rate": 0.05, "weight_decay": 0.1},
    "bf16": {"precision": "bf16"},
}


@pytest.mark.slow
@pytest.mark.parametrize("mode", MODES.values(), ids=MODES)
def test_killed_it_ends_as_if_nothing_had_happened(new_machine: NewMachine, mode: dict[str, Any]) -> None:
    _killed_and_whole(new_machine("whole", **mode), new_machine("killed", **mode))


@pytest.mark.slow
@pytest.mark.parametrize("lora", [{"dora": True}, {"target_modules": "all-linear", "rslora": True}], ids=str)
def test_so_it_does_with_other_adapters(new_machine: NewMachine, lora: dict[str, Any]) -> None:
    machines = new_machine("whole"), new_machine("killed")
    for machine in machines:
        changed = machine.config.lora.model_copy(update=lora)
        machine.config = machine.config.model_copy(update={"lora": changed})
    _killed_and_whole(*machines)


def _killed_and_whole(whole: Machine, killed: Machine) -> None:
    adapter = whole.train().adapter
    assert killed.train(Strike(STEP, 5)).code == -signal.SIGKILL
    again = killed.train()
    assert again.result["resumed_from"] in (2, 4)
    assert again.adapter == adapter


def test_layouts_give_the_same_losses(new_machine: NewMachine) -> None:
    """The same batches, no dropout: only the rounding differs."""
    ends = []
    for layout in ("packed", "padded", "fused"):
        machine = new_machine(layout, layout=layout, base_dropout=0.0)
        lora = machine.config.lora.model_copy(update={"dropout": 0.0})
        machine.config = machine.config.model_copy(update={"lora": lora})
        ends.append(machine.train())
    packed, *others = ([event["loss_by_task"] for event in end.of("step")] for end in ends)
    assert len(packed) == 6
    for other in others:
        for ours, theirs in zip(packed, other, strict=True):
            assert ours == pytest.approx(theirs, rel=1e-4)
