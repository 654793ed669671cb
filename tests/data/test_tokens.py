from __future__ import annotations

import gzip
import json
import tracemalloc
from array import array
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import normalizers

from mtl.data.tokens import Encoder, Tokenizer, keeps_ascii, splits_at_spaces
from mtl.tasks.text import clean
from tests.support.words import SHARED, needs_shared, t5_tokenizer, word_tokenizer


def by_tokenizer(its: Tokenizer, texts: list[str]) -> list[list[int]]:
    return [encoding.ids for encoding in its.backend_tokenizer.encode_batch(texts)]


def unpacked(ids: bytes) -> list[int]:
    return array("i", ids).tolist()


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    return Encoder(t5_tokenizer())


@needs_shared
@settings(max_examples=300, deadline=None)
@given(st.lists(st.text(max_size=40), max_size=4))
def test_ids_are_the_tokenizers_own_for_any_text(encoder: Encoder, texts: list[str]) -> None:
    both = [*texts, *map(clean, texts), *(f"<mcq> Generate {clean(text)} </s> <mcq>" for text in texts)]
    assert encoder.encode(both) == by_tokenizer(t5_tokenizer(), both)


@needs_shared
def test_ids_are_the_tokenizers_own_for_real_text(encoder: Encoder) -> None:
    with gzip.open(SHARED / "cnn_dailymail" / "validation.jsonl.gz") as file:
        rows = [json.loads(line) for line in file][:100]
    texts = [f"<summarize> {clean(row['article'])}" for row in rows] + [row["highlights"] for row in rows]
    assert encoder.encode(texts) == by_tokenizer(t5_tokenizer(), texts)
    assert [encoder.count(text) for text in texts[:5]] == [len(ids) for ids in by_tokenizer(t5_tokenizer(), texts[:5])]


@needs_shared
@settings(max_examples=200, deadline=None)
@given(st.text(max_size=80), st.text(max_size=10))
def test_a_text_that_was_learnt_is_known_as_the_end_of_others(encoder: Encoder, text: str, before: str) -> None:
    ends = [text, clean(text), clean(text) + " and as many words behind it as it takes to keep a text, and some more"]
    encoder.learn(ends)
    texts = [head + end for end in ends for head in ("", " ", "x", f"<mcq> Ask: {before} ", before)]
    assert encoder.encode(texts) == by_tokenizer(t5_tokenizer(), texts)


@needs_shared
def test_a_word_that_was_met_gives_the_same_ids_in_any_place(encoder: Encoder) -> None:
    with gzip.open(SHARED / "race" / "validation.jsonl.gz") as file:
        words = {word for line in file for word in clean(json.loads(line)["article"]).split(" ")}
    ordered = sorted(words)
    together = by_tokenizer(t5_tokenizer(), [" ".join(ordered)])[0]
    assert [n for word in ordered for n in encoder.encode([word])[0][:-1]] == together[:-1]


@needs_shared
def test_t5_is_encoded_word_by_word(encoder: Encoder) -> None:
    assert splits_at_spaces(json.loads(t5_tokenizer().backend_tokenizer.to_str()))
    assert encoder.name == "t5_tokenizer"


@pytest.mark.parametrize(
    "change",
    [
        {"pre_tokenizer": None},
        {"pre_tokenizer": {"type": "ByteLevel"}},
        {"pre_tokenizer": {"type": "Metaspace", "prepend_scheme": "first", "split": True}},
        {"pre_tokenizer": {"type": "Metaspace", "prepend_scheme": "always", "split": False}},
        {"pre_tokenizer": {"type": "Metaspace", "prepend_scheme": "always", "split": True, "replacement": "_"}},
        {"added_tokens": [{"id": 5, "content": "mcq:"}]},
        {"normalizer": {"type": "Lowercase"}},
        {"model": {"type": "BPE"}},
        {"post_processor": None},
    ],
)
def test_other_kinds_of_tokenizer_encode_whole_texts(change: dict[str, Any]) -> None:
    vocabulary = json.loads(word_tokenizer().backend_tokenizer.to_str())
    assert splits_at_spaces(vocabulary)
    assert not splits_at_spaces({**vocabulary, **change})


def test_a_normalizer_that_changes_plain_characters_is_left_to_the_tokenizer() -> None:
    its = word_tokenizer().backend_tokenizer
    assert keeps_ascii(its)
    its.normalizer = normalizers.Replace("fi", "FI")
    assert not keeps_ascii(its)


def test_memory_for_words_is_bounded() -> None:
    its = word_tokenizer()
    encoder = Encoder(its, most_words=10)
    texts = [f"word {n} and {n * n}" for n in range(50)]
    assert [encoder.encode([text])[0] for text in texts] == by_tokenizer(its, texts)
    tracemalloc.start()
    try:
        for n in range(3000):
            encoder.count(f"word {n} and {n * n}")
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert kept < 100_000


def test_a_cut_keeps_the_end() -> None:
    encoder = Encoder(word_tokenizer())
    ids = encoder.pack(["abc def"])[0]
    assert unpacked(encoder.cut(ids, 4)) == [*unpacked(ids)[:3], 1]
    assert encoder.cut(ids, 99) == encoder.cut(ids, len(unpacked(ids))) == ids


def test_the_hash_is_that_of_the_vocabulary() -> None:
    its = word_tokenizer()
    first = Encoder(its).sha256
    its.backend_tokenizer.enable_truncation(5)
    assert Encoder(its).sha256 == first
    assert Encoder(word_tokenizer(extra=["zz"])).sha256 != first
