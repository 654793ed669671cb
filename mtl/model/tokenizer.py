"""The tokenizer of a base, with one more token per task."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mtl.errors import ModelError, NotFoundError
from mtl.fingerprint import sha256_bytes, sha256_json

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


@dataclass(frozen=True)
class LazyTokenizer:
    """What `load_tokenizer` gives, loaded when first asked for something: transformers takes seconds to import."""

    location: str
    tokens: tuple[str, ...]
    revision: str | None

    def stamp(self) -> str | None:
        """A text, quickly had, that changes whenever the tokenizer may have changed; None where there is none."""
        folder = Path(self.location)
        if not folder.is_dir() and self.revision is None:
            return None
        stats = [(path.name, path.stat()) for path in sorted(folder.glob("*")) if path.is_file()]
        files = [[name, its.st_size, its.st_mtime_ns, its.st_ctime_ns, its.st_ino] for name, its in stats]
        libraries = [version(name) for name in ("transformers", "tokenizers")]
        return sha256_json([self.location, self.revision, files, libraries, self.tokens])

    @cached_property
    def _loaded(self) -> PreTrainedTokenizerFast:
        return load_tokenizer(self.location, self.tokens, revision=self.revision)

    @property
    def backend_tokenizer(self) -> Any:
        return self._loaded.backend_tokenizer

    @property
    def name_or_path(self) -> str:
        return str(self._loaded.name_or_path)

    @property
    def eos_token_id(self) -> Any:
        return self._loaded.eos_token_id

    @property
    def unk_token_id(self) -> Any:
        return self._loaded.unk_token_id


def tokenizer_sha256(tokenizer: PreTrainedTokenizerFast) -> str:
    """sha256 of everything that decides token ids: vocabulary, normaliser, added tokens."""
    return sha256_bytes(tokenizer.backend_tokenizer.to_str().encode())
