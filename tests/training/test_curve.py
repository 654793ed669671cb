"""The learning curve is a picture of what was logged, whatever there is of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from mtl.training.curve import draw_curve

TRAIN = {f"train/loss/{task}": [(10, 2.0), (20, 1.0)] for task in ("mcq", "summarize")}
VALIDATION = {"validation/loss/mcq": [(20, 1.1)]}
SPEED = {"train/tokens_per_second": [(10, 900.0), (20, 950.0)]}


@pytest.mark.parametrize("history", [TRAIN, TRAIN | VALIDATION | SPEED, {}], ids=["training", "all", "nothing"])
def test_a_picture_comes_out(tmp_path: Path, history: dict[str, list[tuple[int, float]]]) -> None:
    path = tmp_path / "deep" / "curve.png"
    draw_curve(history, path, title="demo")
    assert path.read_bytes().startswith(b"\x89PNG")


def test_what_was_validated_is_seen(tmp_path: Path) -> None:
    draw_curve(TRAIN, tmp_path / "a.png", title="demo")
    draw_curve(TRAIN | VALIDATION, tmp_path / "b.png", title="demo")
    assert (tmp_path / "a.png").read_bytes() != (tmp_path / "b.png").read_bytes()
