"""Bases on disk for tests: a random T5 with a head of its own, and a tokenizer beside it."""

from __future__ import annotations

from pathlib import Path

from tests.support.tiny_model import tiny_t5, tiny_tokenizer


def save_base(folder: Path, *, rows: int = 160, seed: int = 0) -> Path:
    """A FLAN-T5-like base in `folder`: untied, its rows padded beyond the tokenizer."""
    tiny_t5(rows, seed=seed).save_pretrained(folder)
    tiny_tokenizer().save_pretrained(folder)
    return folder
