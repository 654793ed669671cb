"""The tokenizer of a base, with one more token per task."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from mtl.errors import ModelError, NotFoundError
from mtl.fingerprint import sha256_bytes

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast


_FILES = ("tokenizer.json", "spiece.model")


def load_tokenizer(
    location: str | Path, tokens: Sequence[str], *, revision: str | None = None
) -> PreTrainedTokenizerFast:
    """The fast tokenizer at `location`, with `tokens` added at its end in this order (those it lacks).

    The fast one and none other: it and the SentencePiece one differ on a few texts in a thousand.
    Errors: NotFoundError if there is none, ModelError if it is not a fast one.
    """
    from transformers import AutoTokenizer

    folder = Path(location)
    if folder.is_dir() and not any(
        (folder / name).is_file() for name in _FILES
    ):  # transformers would make an empty one
        raise NotFoundError(
            f"no tokenizer at {str(location)!r}: it has none of {', '.join(_FILES)}", field="model.tokenizer"
        )
    try:
        tokenizer = AutoTokenizer.from_pretrained(str(location), revision=revision, trust_remote_code=False)
    except (OSError, ValueError) as error:
        raise NotFoundError(f"no tokenizer at {str(location)!r}: {error}", field="model.tokenizer") from None
    if not tokenizer.is_fast:
        raise ModelError(f"tokenizer at {str(location)!r} has no tokenizer.json", field="model.tokenizer")
    tokenizer.add_tokens([token for token in tokens if token not in tokenizer.get_vocab()], special_tokens=True)
    # Cutting is done where it is counted, never in silence by the tokenizer's own idea of a length.
    tokenizer.model_max_length = 1_000_000
    return tokenizer


def tokenizer_sha256(tokenizer: PreTrainedTokenizerFast) -> str:
    """sha256 of everything that decides token ids: vocabulary, normaliser, added tokens."""
    return sha256_bytes(tokenizer.backend_tokenizer.to_str().encode())
