"""A tokenizer for data tests, made without torch or transformers: one token a word of printable ASCII characters."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors

SHARED = Path(__file__).parents[2] / ".." / "shared" / "data"
"""Optional real data beside the repository; never part of it."""
needs_shared = pytest.mark.skipif(not SHARED.is_dir(), reason="no real data: ../shared/data is absent")


@cache
def t5_tokenizer() -> Any:
    """T5's own tokenizer with the task tokens, as training loads it."""
    from mtl.model.tokenizer import load_tokenizer
    from mtl.tasks.table import TASKS

    return load_tokenizer(SHARED / "t5_tokenizer", [task.token for task in TASKS.values()])


@dataclass(frozen=True)
class Words:
    """What `mtl.data.tokens.Tokenizer` asks for."""

    backend_tokenizer: Any
    name_or_path: str = "words"
    eos_token_id: int = 1
    unk_token_id: int = 2


def word_tokenizer(*, extra: Iterable[str] = ()) -> Words:
    """Words of up to any length by characters: `</s>` 1, `<unk>` 2 (for what is not ASCII), `extra` pieces first."""
    pieces = [*extra, "▁", *map(chr, range(33, 127))]
    vocabulary = [(token, 0.0) for token in ("<pad>", "</s>", "<unk>")] + [(piece, -1.0) for piece in pieces]
    tokenizer = Tokenizer(models.Unigram(vocabulary, unk_id=2))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace()])
    tokenizer.decoder = decoders.Metaspace()
    tokenizer.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    return Words(tokenizer)
