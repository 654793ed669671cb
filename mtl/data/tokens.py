"""Encoder: text to token ids, and nothing else of a tokenizer."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

from mtl.fingerprint import canonical_json, sha256_bytes


class Tokenizer(Protocol):
    """What is used of a fast tokenizer of transformers that has the tokens of all tasks."""

    @property
    def backend_tokenizer(self) -> Any: ...
    @property
    def name_or_path(self) -> str: ...
    @property
    def eos_token_id(self) -> Any: ...
    @property
    def unk_token_id(self) -> Any: ...


class Encoder:
    """Batches of text to ids that end in `</s>`; a cut keeps that end."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._backend = tokenizer.backend_tokenizer
        self._eos = int(tokenizer.eos_token_id)
        self._unk = tokenizer.unk_token_id
        self.name = _name(tokenizer.name_or_path)
        self.sha256 = sha256_bytes(canonical_json(_vocabulary(self._backend)))

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        """One list of ids a text, whole, `</s>` last."""
        rows = [encoding.ids for encoding in self._backend.encode_batch_fast(list(texts))]
        return [ids if ids and ids[-1] == self._eos else [*ids, self._eos] for ids in rows]

    def count(self, text: str) -> int:
        """Tokens of `text`, `</s>` included."""
        return len(self.encode([text])[0])

    def cut(self, ids: list[int], limit: int) -> list[int]:
        """At most `limit` ids, `</s>` last."""
        return ids if len(ids) <= limit else [*ids[: limit - 1], self._eos]

    def unknown(self, ids: Sequence[int]) -> int:
        """How many of `ids` are <unk>."""
        return ids.count(self._unk)


def _name(location: str) -> str:
    """A Hub name, or the last part of a folder's path: where it lay is no property of a tokenizer."""
    return Path(location).name if Path(location).is_absolute() or Path(location).exists() else location


def _vocabulary(backend: Any) -> dict[str, Any]:
    """All that decides ids. Cutting and padding are left out: they are a caller's settings, and are not used here."""
    document: dict[str, Any] = json.loads(backend.to_str())
    return {key: value for key, value in document.items() if key not in ("truncation", "padding")}
