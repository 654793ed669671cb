"""Encoder: text to token ids, and nothing else of a tokenizer.

T5's vocabulary never spans a space: its tokenizer splits at spaces first, so the ids of a text are those of its words
in a row. Words repeat, so each is encoded once and then looked up. Where a tokenizer is not of this kind, or a word
could act on its neighbour, the tokenizer itself encodes the whole text.
"""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Iterable, Sequence
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
        vocabulary = _vocabulary(self._backend)
        self.sha256 = sha256_bytes(canonical_json(vocabulary))
        self._by_word = splits_at_spaces(vocabulary)
        self._words: dict[str, list[int]] = {}

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        """One list of ids a text, whole, `</s>` last."""
        if not self._by_word:
            return self._whole(texts)
        if len(self._words) > _MOST_WORDS:
            self._words.clear()
        split = [text.split(" ") for text in texts]
        self._learn({word for words in split for word in words if word not in self._words})
        return [self._joined(words) or self._whole([text])[0] for text, words in zip(texts, split, strict=True)]

    def _whole(self, texts: Sequence[str]) -> list[list[int]]:
        rows = [encoding.ids for encoding in self._backend.encode_batch_fast(list(texts))]
        return [ids if ids and ids[-1] == self._eos else [*ids, self._eos] for ids in rows]

    def _learn(self, words: Iterable[str]) -> None:
        alone = sorted(word for word in words if _stands_alone(word))
        encoded = self._backend.encode_batch_fast(alone, add_special_tokens=False)
        self._words.update((word, encoding.ids) for word, encoding in zip(alone, encoded, strict=True))

    def _joined(self, words: Sequence[str]) -> list[int] | None:
        """The ids of a text by its words; None if one of them has to be seen in its place."""
        ids: list[int] = []
        for word in words:
            known = self._words.get(word)
            if known is None:
                return None
            ids += known
        ids.append(self._eos)
        return ids

    def count(self, text: str) -> int:
        """Tokens of `text`, `</s>` included."""
        return len(self.encode([text])[0])

    def cut(self, ids: list[int], limit: int) -> list[int]:
        """At most `limit` ids, `</s>` last."""
        return ids if len(ids) <= limit else [*ids[: limit - 1], self._eos]

    def unknown(self, ids: Sequence[int]) -> int:
        """How many of `ids` are <unk>."""
        return ids.count(self._unk)


_MOST_WORDS = 500_000
_PLAIN = (None, "Precompiled", "NFKC")


def splits_at_spaces(vocabulary: dict[str, Any]) -> bool:
    """Whether a tokenizer with this JSON encodes words alone: a Unigram model behind a split at spaces, as T5's."""
    before = vocabulary.get("pre_tokenizer") or {}
    steps = before.get("pretokenizers", [before])
    marks = [step for step in steps if step.get("type") == "Metaspace"]
    first = steps[0].get("type")
    return (
        vocabulary["model"].get("type") == "Unigram"
        and (vocabulary.get("normalizer") or {}).get("type") in _PLAIN
        and first in ("WhitespaceSplit", "Metaspace")
        and len(marks) == 1
        and all(mark.get("prepend_scheme") == "always" and mark.get("split") for mark in marks)
        and (vocabulary.get("post_processor") or {}).get("type") == "TemplateProcessing"
    )


def _stands_alone(word: str) -> bool:
    """No mark that joins the space before it, no odd space or control within."""
    if word.isascii():
        return word.isprintable() and bool(word)
    return unicodedata.category(word[0])[0] != "M" and all(unicodedata.category(char)[0] not in "CZ" for char in word)


def _name(location: str) -> str:
    """A Hub name, or the last part of a folder's path: where it lay is no property of a tokenizer."""
    return Path(location).name if Path(location).is_absolute() or Path(location).exists() else location


def _vocabulary(backend: Any) -> dict[str, Any]:
    """All that decides ids. Cutting and padding are left out: they are a caller's settings, and are not used here."""
    document: dict[str, Any] = json.loads(backend.to_str())
    return {key: value for key, value in document.items() if key not in ("truncation", "padding")}
