"""Encoder: text to token ids, and nothing else of a tokenizer.

T5's vocabulary never spans a space: its tokenizer splits at spaces first, so the ids of a text are those of its words
in a row. Words repeat, so each is encoded once and then looked up. Where a tokenizer is not of this kind, or a word
could act on its neighbour, the tokenizer itself encodes the whole text.
"""

from __future__ import annotations

import json
import unicodedata
from array import array
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from itertools import chain, pairwise
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from tokenizers import Tokenizer as Backend

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


@dataclass(frozen=True, slots=True)
class SavedTokenizer:
    """A tokenizer as a worker gets it: no library is needed to load it but `tokenizers`."""

    vocabulary: str
    name_or_path: str
    eos_token_id: int
    unk_token_id: int | None

    @property
    def backend_tokenizer(self) -> Any:
        return Backend.from_str(self.vocabulary)


def save_tokenizer(tokenizer: Tokenizer, path: Path) -> None:
    """What `load_encoder` needs, as one JSON file."""
    saved = SavedTokenizer(
        tokenizer.backend_tokenizer.to_str(),
        _name(tokenizer.name_or_path),
        int(tokenizer.eos_token_id),
        tokenizer.unk_token_id,
    )
    path.write_text(json.dumps(asdict(saved)), encoding="utf-8")


@lru_cache(maxsize=1)
def load_encoder(path: Path) -> Encoder:
    """The encoder of a saved tokenizer, with the words it learnt for as long as the process lives."""
    return Encoder(SavedTokenizer(**json.loads(path.read_text(encoding="utf-8"))))


class Encoder:
    """Batches of text to ids that end in `</s>`; a cut keeps that end. Packed ids are int32 in this machine's order."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._backend = tokenizer.backend_tokenizer
        self._eos = _packed([int(tokenizer.eos_token_id)])
        self._unk = tokenizer.unk_token_id
        self.name = _name(tokenizer.name_or_path)
        vocabulary = _vocabulary(self._backend)
        self.sha256 = sha256_bytes(canonical_json(vocabulary))
        self._by_word = splits_at_spaces(vocabulary)
        self._words = _Words(self._backend)

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        """One list of ids a text, whole, `</s>` last."""
        return [np.frombuffer(ids, np.int32).tolist() for ids in self.pack(texts)]

    def pack(self, texts: Iterable[str]) -> list[bytes]:
        """The same, packed."""
        self._forget()
        return [self._pack(text) for text in texts]

    def learn(self, texts: Iterable[str]) -> None:
        """Gets to know the words of texts that are about to come."""
        self._forget()
        if self._by_word:
            self._words.learn(set(chain.from_iterable(text.split(" ") for text in texts)))

    def _forget(self) -> None:
        if len(self._words) > _MOST_WORDS:
            self._words.clear()

    def _pack(self, text: str) -> bytes:
        if self._by_word:
            try:
                return b"".join(map(self._words.__getitem__, text.split(" "))) + self._eos
            except LookupError:  # a word has to be seen in its place
                pass
        ids = _packed(self._backend.encode(text).ids)
        return ids if ids.endswith(self._eos) else ids + self._eos

    def count(self, text: str) -> int:
        """Tokens of `text`, `</s>` included."""
        return length(self.pack([text])[0])

    def cut(self, ids: bytes, limit: int) -> bytes:
        """At most `limit` packed ids, `</s>` last."""
        return ids if length(ids) <= limit else ids[: (limit - 1) * _WIDTH] + self._eos

    def unknown(self, texts: Sequence[bytes]) -> int:
        """How many of the packed ids are <unk>."""
        return int(np.count_nonzero(np.frombuffer(b"".join(texts), np.int32) == self._unk))


class _Words(dict[str, bytes]):
    """Packed ids of each word that was asked for. LookupError for one that could act on its neighbours."""

    def __init__(self, backend: Any) -> None:
        super().__init__()
        self._backend = backend
        vocabulary = backend.get_vocab()
        self._begins = np.zeros(1 + max(vocabulary.values()), dtype=bool)
        self._begins[[number for piece, number in vocabulary.items() if piece[:1] == "▁"]] = True

    def __missing__(self, word: str) -> bytes:
        if not _stands_alone(word):
            raise LookupError(word)
        ids = self[word] = _packed(self._backend.encode(word, add_special_tokens=False).ids)
        return ids

    def learn(self, words: set[str]) -> None:
        """New words many at a time, which is several times faster: a piece that begins with a space begins a word."""
        new = [w for w in words.difference(self) if w.isascii() and w.isprintable() and w and "<" not in w]
        for start in range(0, len(new), _TOGETHER):
            some = new[start : start + _TOGETHER]
            ids = np.array(self._backend.encode(" ".join(some), add_special_tokens=False).ids, np.int32)
            edges = [*np.flatnonzero(self._begins[ids]).tolist(), len(ids)]
            if len(edges) == len(some) + 1 and edges[0] == 0:  # else they are met one by one
                packed = ids.tobytes()
                pieces = (packed[a * _WIDTH : b * _WIDTH] for a, b in pairwise(edges))
                self.update(zip(some, pieces, strict=True))


_TOGETHER = 1000
_WIDTH = 4


def _packed(ids: Sequence[int]) -> bytes:
    return array("i", ids).tobytes()


def length(ids: bytes) -> int:
    """How many ids are packed."""
    return len(ids) // _WIDTH


_MOST_WORDS = 300_000
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
