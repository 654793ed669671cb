"""Encoder: text to token ids, and nothing else of a tokenizer.

T5's vocabulary never spans a space: its tokenizer splits at spaces first, so the ids of a text are those of its words
in a row. Words repeat, so each is encoded once and then looked up; so do whole texts (a passage ends the inputs of
several examples), whose ids are kept while they are worked on. Where a tokenizer is not of this kind, or a word could
act on its neighbour, the tokenizer itself encodes the whole text.
"""

from __future__ import annotations

import json
import unicodedata
from array import array
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import orjson
from tokenizers import Tokenizer as Backend

from mtl.errors import ModelError
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
class Facts:
    """What is known of a tokenizer: sha256 of all that decides ids, and whether words can be looked up one by one."""

    sha256: str
    by_word: bool


_facts: dict[str, Facts] = {}
"""Of the tokenizers, as text, that this process met last."""


def facts_of(backend: Any) -> Facts:
    """They take a quarter of a second for T5's, so they are kept."""
    text = backend.to_str()
    if text not in _facts:
        vocabulary = _vocabulary(text)
        by_word = splits_at_spaces(vocabulary) and keeps_ascii(backend)
        if len(_facts) > 2:
            _facts.clear()
        _facts[text] = Facts(sha256_bytes(canonical_json(vocabulary)), by_word)
    return _facts[text]


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


_loaded: dict[str, Encoder] = {}
"""The one that this process works with, with the words that it learnt, by the sha256 of its file."""


def load_encoder(path: Path) -> Encoder:
    """The encoder that was saved at `path`; one a process, wherever its pieces of work find the same file."""
    data = path.read_bytes()
    name = sha256_bytes(data)
    if name not in _loaded:
        saved, facts = json.loads(data)
        _loaded.clear()
        _loaded[name] = Encoder(SavedTokenizer(**saved), facts=Facts(**facts))
    return _loaded[name]


def check_tokenizer(tokenizer: Tokenizer, sha256: str) -> None:
    """ModelError unless this is the tokenizer whose ids a data set holds (`sha256` of its manifest)."""
    found = Encoder(tokenizer).sha256
    if found != sha256:
        raise ModelError(
            f"the tokenizer at {tokenizer.name_or_path} is not the one that the data set was made with "
            f"(sha256 {found[:12]}, not {sha256[:12]})",
            field="model.tokenizer",
            hint="it was changed, or is damaged: fetch it again, or prepare the data and train with it as it is now",
        )


class Encoder:
    """Batches of text to ids that end in `</s>`; a cut keeps that end. Packed ids are int32 in this machine's order.

    most_words: once more words than this are known, all are forgotten.
    """

    def __init__(self, tokenizer: Tokenizer, *, most_words: int = 300_000, facts: Facts | None = None) -> None:
        self._most_words = most_words
        self._backend = tokenizer.backend_tokenizer
        self._end = int(tokenizer.eos_token_id)
        self._eos = _packed([self._end])
        self._unk = tokenizer.unk_token_id
        self.name = _name(tokenizer.name_or_path)
        self.facts = facts or facts_of(self._backend)
        self._by_word = self.facts.by_word
        self._kept: dict[str, tuple[str, bytes]] = {}

    @property
    def sha256(self) -> str:
        """Of all that decides ids."""
        return self.facts.sha256

    def saved(self) -> SavedTokenizer:
        """What another process needs of its tokenizer."""
        return SavedTokenizer(self._backend.to_str(), self.name, self._end, self._unk)

    def save(self, path: Path) -> None:
        """As one JSON file for processes that load it; this one goes on with what it has."""
        data = json.dumps([asdict(self.saved()), asdict(self.facts)]).encode()
        path.write_bytes(data)
        _loaded.clear()
        _loaded[sha256_bytes(data)] = self

    @cached_property
    def _words(self) -> _Words:
        return _Words(self._backend)

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        """One list of ids a text, whole, `</s>` last."""
        return [np.frombuffer(ids, np.int32).tolist() for ids in self.pack(texts)]

    def pack(self, texts: Iterable[str]) -> list[bytes]:
        """The same, packed."""
        self._forget()
        return [self._pack(text) for text in texts]

    def learn(self, texts: Iterable[str]) -> None:
        """Gets to know texts that are about to come, alone or as the end of others, and forgets those of last time."""
        self._forget()
        self._kept = {}
        for text in texts if self._by_word else ():
            if len(text) >= _END:
                with suppress(LookupError):
                    self._kept[text[-_END:]] = text, b"".join(map(self._words.__getitem__, text.split(" ")))

    def _forget(self) -> None:
        if len(self._words) > self._most_words:
            self._words.clear()

    def _pack(self, text: str) -> bytes:
        if self._by_word:
            try:
                return self._looked_up(text) + self._eos
            except LookupError:  # a word has to be seen in its place
                pass
        ids = _packed(self._backend.encode(text).ids)
        return ids if ids.endswith(self._eos) else ids + self._eos

    def _looked_up(self, text: str) -> bytes:
        end, ids = self._kept.get(text[-_END:], ("", b""))
        if end and text.endswith(end):
            before = text[: -len(end)]
            if not before:
                return ids
            if before.endswith(" "):
                return b"".join(map(self._words.__getitem__, before[:-1].split(" "))) + ids
        return b"".join(map(self._words.__getitem__, text.split(" ")))

    def count(self, text: str) -> int:
        """Tokens of `text`, `</s>` included."""
        return length(self.pack([text])[0])

    def tokens(self, text: str) -> bytes:
        """Packed ids of one text: equal ones are equal to the model."""
        return self._pack(text)

    def cut(self, ids: bytes, limit: int) -> bytes:
        """At most `limit` packed ids, `</s>` last."""
        return ids if length(ids) <= limit else ids[: (limit - 1) * WIDTH] + self._eos

    def unknown(self, texts: Sequence[bytes]) -> Any:
        """How many of the ids of each packed text are <unk>."""
        ends = np.cumsum([0, *map(length, texts)])
        seen = np.cumsum(np.frombuffer(b"".join(texts), np.int32) == self._unk)
        return np.diff(np.concatenate([[0], seen])[ends])


class _Words(dict[str, bytes]):
    """Packed ids of each word that was asked for. LookupError for one that could act on its neighbours."""

    def __init__(self, backend: Any) -> None:
        super().__init__()
        self._backend, self._model = backend, backend.model

    def __missing__(self, word: str) -> bytes:
        if not _stands_alone(word):
            raise LookupError(word)
        if word.isascii() and "<" not in word:  # neither normalised nor a special token: straight to the model
            ids = [piece.id for piece in self._model.tokenize(_SPACE + word)]
        else:
            ids = self._backend.encode(word, add_special_tokens=False).ids
        self[word] = packed = _packed(ids)
        return packed


_SPACE = "▁"
_ASCII = "".join(map(chr, range(0x21, 0x7F)))
_END = 64
"""Characters by which a text that was kept is found as the end of another; shorter ones are not worth it."""
WIDTH = 4
"""Bytes of a packed id."""


def _packed(ids: Sequence[int]) -> bytes:
    return array("i", ids).tobytes()


def length(ids: bytes) -> int:
    """How many ids are packed."""
    return len(ids) // WIDTH


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
        and all(mark.get("replacement") == _SPACE for mark in marks)
        and all("<" in token["content"] for token in vocabulary.get("added_tokens", ()))
        and (vocabulary.get("post_processor") or {}).get("type") == "TemplateProcessing"
    )


def keeps_ascii(backend: Any) -> bool:
    """Whether the normalizer leaves every plain character as it is, alone and beside any other."""
    pairs = " ".join(a + b for a in _ASCII for b in _ASCII)
    return backend.normalizer is None or backend.normalizer.normalize_str(pairs) == pairs


def _stands_alone(word: str) -> bool:
    """No mark that joins the space before it, no odd space or control within."""
    if word.isascii():
        return word.isprintable() and bool(word)
    return unicodedata.category(word[0])[0] != "M" and all(unicodedata.category(char)[0] not in "CZ" for char in word)


def _name(location: str) -> str:
    """A Hub name, or the last part of a folder's path: where it lay is no property of a tokenizer."""
    return Path(location).name if Path(location).is_absolute() or Path(location).exists() else location


def _vocabulary(text: str) -> dict[str, Any]:
    """All that decides ids. Cutting and padding are left out: they are a caller's settings, and are not used here."""
    document: dict[str, Any] = orjson.loads(text)
    return {key: value for key, value in document.items() if key not in ("truncation", "padding")}
