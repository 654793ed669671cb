"""The learning curve of a run as a picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

Series = Sequence[tuple[int, float]]
"""(step, value), in order of steps"""

_COLOURS = ("#2a6fbb", "#d9822b", "#3a9d5d", "#a44ba8", "#b8433f", "#5f6b7a")


def draw_curve(history: Mapping[str, Series], path: Path, *, title: str) -> None:
    """Training loss by task as lines, validation loss as points on dashes, speed below. Names as MLflow has them."""
    from matplotlib.figure import Figure

    tasks = sorted({name.rpartition("/")[2] for name in history if "/loss/" in name})
    figure = Figure(figsize=(8, 5.5), layout="constrained")
    losses, speed = figure.subplots(2, 1, sharex=True, height_ratios=[4, 1])
    for number, task in enumerate(tasks):
        colour = _COLOURS[number % len(_COLOURS)]
        for name, style, label in (
            (f"train/loss/{task}", {"linewidth": 1.4}, f"{task}, training"),
            (f"validation/loss/{task}", {"linestyle": "--", "marker": "o", "markersize": 4}, f"{task}, validation"),
        ):
            if history.get(name):
                losses.plot(*zip(*history[name], strict=True), color=colour, label=label, **style)
    losses.set_title(title, fontsize=10)
    losses.set_ylabel("loss per target token")
    losses.set_ylim(bottom=0)
    if tasks:
        losses.legend(frameon=False, fontsize=9)
    if history.get("train/tokens_per_second"):
        speed.plot(*zip(*history["train/tokens_per_second"], strict=True), color="#5f6b7a", linewidth=1.2)
    speed.set_ylabel("tokens/s")
    speed.set_xlabel("optimizer step")
    speed.set_ylim(bottom=0)
    for axes in (losses, speed):
        axes.grid(alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
