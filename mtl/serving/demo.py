"""What to expect of a model that was trained on the demo base: it knows the words of generated documents alone."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path

from mtl.metrics.text import words
from mtl.model.base import DEMO
from mtl.model.load import MODEL_FILE, load_spec
from mtl.sources.demo.corpus import vocabulary

_ENOUGH = 0.95
"""Share of known words from which a text is like those of the demo."""
_WORLD = (
    "This model is made from the demo base, which knows only the world of the demo's documents, so its answer about "
    "other text is not meaningful."
)
_ADVICE = f"{_WORLD} Train with conf/flan-t5-small.yaml or conf/flan-t5-base.yaml for real text."


@lru_cache(maxsize=8)
def world_note(folder: Path) -> str | None:
    """What to expect of a model, whatever the text; None for another base and for what is no folder of a model."""
    return _WORLD if (folder / MODEL_FILE).is_file() and load_spec(folder).base == DEMO else None


def demo_note(folder: Path, texts: Iterable[str]) -> str | None:
    """How many of the texts' words the demo base has seen, and what to do if it is few; None for another base."""
    if load_spec(folder).base != DEMO:
        return None
    found = {word for text in texts for word in words(text)}
    known = len(found & vocabulary())
    seen = f"The demo base has seen {known} of the {len(found)} different words in its pre-training."
    return seen if known >= _ENOUGH * len(found) else f"{seen} {_ADVICE}"
