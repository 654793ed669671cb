"""A picture of the lengths of a data set's inputs and targets, with the limits at which inputs are cut."""

from __future__ import annotations

import io
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

from mtl.data.manifest import DatasetManifest
from mtl.layout import MANIFEST

_SIDES = ("inputs", "targets")


def write_pages(manifest: DatasetManifest, folder: Path) -> None:
    """The manifest and the picture as `manifest.json` and `lengths.png` in a folder."""
    (folder / MANIFEST).write_bytes(manifest.to_json())
    (folder / "lengths.png").write_bytes(lengths_png(manifest))


def lengths_png(manifest: DatasetManifest) -> bytes:
    """One row a task, one column for inputs and targets each; a PNG."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # takes half a second to import
    from matplotlib.figure import Figure

    tasks = list(manifest.histograms)
    limits = {
        "inputs": manifest.settings.get("max_input_tokens"),
        "targets": manifest.settings.get("max_target_tokens"),
    }
    figure = Figure(figsize=(11, 3 * max(1, len(tasks))), layout="constrained")
    FigureCanvasAgg(figure)
    plots = figure.subplots(max(1, len(tasks)), len(_SIDES), squeeze=False)
    for row, task in zip(plots, tasks, strict=False):
        for plot, side in zip(row, _SIDES, strict=True):
            _draw(plot, manifest.histograms[task].get(side, {}), limits[side])
            plot.set_title(f"{task}: {side}, {_caption(manifest, task, side)}", fontsize=9)
    figure.suptitle(f"lengths in tokens, data set {manifest.fingerprint[:12]}", fontsize=10)
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=100)
    return file.getvalue()


def _draw(plot: Any, bins: Mapping[str, int], limit: int | None) -> None:
    starts = sorted(map(int, bins))
    width = min((b - a for a, b in pairwise(starts)), default=16)
    plot.bar(starts, [bins[str(start)] for start in starts], width=width, align="edge")
    if limit:
        plot.axvline(limit, color="tab:red", linestyle="--", linewidth=1)
    plot.set_ylabel("examples", fontsize=8)
    plot.tick_params(labelsize=8)


def _caption(manifest: DatasetManifest, task: str, side: str) -> str:
    median = manifest.lengths.get(task, {}).get(side, {}).get("median", 0)
    share = f", {manifest.truncated.get(task, 0.0):.1%} cut" if side == "inputs" else ""
    return f"median {median:g}{share}"
