"""What a step measures is put aside, and summed up when it is asked for: in any rhythm the same numbers."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from mtl.errors import PermanentError
from mtl.training.loss_meter import LossMeter


def batch(number: int) -> tuple[Tensor, dict[str, Tensor]]:
    """(loss of each row, batch) with three rows of two tasks."""
    random = torch.Generator().manual_seed(number)
    labels = torch.randint(0, 9, (3, 5), generator=random)
    labels[1, 3:] = -100
    mask = torch.ones(3, 7, dtype=torch.long)
    mask[2, 4:] = 0
    losses = torch.rand(3, generator=random) * 10
    return losses, {"labels": labels, "attention_mask": mask, "task_ids": torch.tensor([0, 1, 0])}


def test_the_sums_do_not_depend_on_when_they_are_asked_for() -> None:
    late, often = LossMeter(2), LossMeter(2)
    taken, loss = [], torch.zeros(2, dtype=torch.double)
    for number in range(6):
        for meter in (late, often):
            meter.add(number // 2 + 1, *batch(number))
        if number % 2:
            taken += often.take_steps()
    whole = late.window()
    assert late.take_steps() == taken
    for number in range(6):
        losses, inputs = batch(number)
        loss.index_add_(0, inputs["task_ids"], losses.double())
    assert torch.equal(whole.loss, loss)
    assert whole.tokens.tolist() == [60.0, 18.0]
    assert whole.real_tokens == 6 * (13 + 18)
    assert torch.equal(often.window().loss, loss)
    assert late.window().real_tokens == 0
    assert late.take_steps() == []


def test_a_loss_that_is_not_finite_ends_the_training_at_its_step() -> None:
    meter = LossMeter(2)
    meter.add(3, *batch(0))
    losses, inputs = batch(1)
    losses[1] = torch.nan
    with pytest.raises(PermanentError, match="the loss became nan at step 4"):
        meter.add(4, losses, inputs)


def test_what_waits_on_a_device_is_checked_when_it_is_moved() -> None:
    """A meta tensor has no values, so whoever looks at them in the step fails: the host does not wait."""
    meter = LossMeter(2)
    losses, inputs = batch(0)
    meter.add(1, losses.to("meta"), {name: tensor.to("meta") for name, tensor in inputs.items()})
    with pytest.raises(NotImplementedError, match="meta"):
        meter.take_steps()
