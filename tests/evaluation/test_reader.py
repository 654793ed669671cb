"""Readers pick options by likelihood: alike alone and in a batch, and the shipped base really reads."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import BertConfig, BertForMultipleChoice

from mtl.errors import ModelError, NotFoundError
from mtl.evaluation.reader import AdapterOffReader, MultipleChoiceReader, Reader, T5Reader, load_reader, prompt
from mtl.evaluation.usable import picked
from mtl.model.load import load_for_generation, load_spec, load_untrained
from mtl.sources.demo.corpus import passages
from mtl.task import ReadingQuestion
from mtl.tasks.table import get_task
from tests.support.tiny_model import plain_tokenizer, tiny_t5
from tests.support.trained import trained_model


def _corpus(count: int) -> list[ReadingQuestion]:
    read = get_task("mcq").read
    records = [read(row) for row in passages(41, count)]
    return [ReadingQuestion(r.passage, r.question, r.options, "ABCD".index(r.correct), r.level) for r in records]


def _load(name: str, candidate: Path, revision: str | None = None) -> Reader:
    return load_reader(name, revision, candidate=candidate, max_input_tokens=256, batch_tokens=2048)


QUESTIONS = [
    *_corpus(2)[:6],
    ReadingQuestion("A long text. " * 40, "What?", ("a", "a much longer option than the others", "b", "c"), 1, "x"),
    ReadingQuestion("Short.", "Two options?", ("yes", "no"), 0, "x"),
]


def _t5() -> T5Reader:
    return T5Reader("t5", tiny_t5(seed=3), plain_tokenizer(), max_input_tokens=120, batch_tokens=600)


def _multiple_choice() -> MultipleChoiceReader:
    return MultipleChoiceReader("mc", _bert(), plain_tokenizer(), max_input_tokens=120, batch_tokens=2000)


def _bert() -> BertForMultipleChoice:
    shape = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 32}
    with torch.random.fork_rng():
        torch.manual_seed(5)
        return BertForMultipleChoice(BertConfig(vocab_size=128, initializer_range=0.5, **shape)).eval()


@pytest.mark.parametrize("reader", [_t5(), _multiple_choice()], ids=["t5", "multiple-choice"])
@pytest.mark.parametrize("passage", [True, False])
def test_a_question_is_answered_alike_alone_and_in_a_batch(reader: Any, passage: bool) -> None:
    together = reader(QUESTIONS, passage=passage)
    alone = [reader([question], passage=passage)[0] for question in QUESTIONS]
    assert together == reader(QUESTIONS, passage=passage)
    for one, other, question in zip(together, alone, QUESTIONS, strict=True):
        assert one == pytest.approx(other, abs=1e-5)
        assert len(one) == len(question.options) and sum(one) == pytest.approx(1)
    assert len({picked(probabilities) for probabilities in together}) > 1
    assert reader([], passage=passage) == []


def test_cutting_a_long_passage_leaves_the_question_whole() -> None:
    asked = prompt(QUESTIONS[6], passage=True)
    ids = plain_tokenizer()(asked, truncation=True, max_length=120)["input_ids"]
    assert "What?" in plain_tokenizer().decode(ids)
    assert QUESTIONS[6].passage[:20] not in prompt(QUESTIONS[6], passage=False)


def test_the_shipped_base_reads_its_own_corpus_and_needs_the_passage(tmp_path: Path) -> None:
    questions = _corpus(20)
    reader = _load("base", trained_model(tmp_path / "model", base="demo"))
    seen, blind = (
        sum(
            picked(one) == question.key
            for one, question in zip(reader(questions, passage=given), questions, strict=True)
        )
        / len(questions)
        for given in (True, False)
    )
    assert seen > 0.75
    assert blind < 0.4


def test_a_folder_with_a_multiple_choice_head_is_a_reader(tmp_path: Path) -> None:
    _bert().save_pretrained(tmp_path / "mc")
    plain_tokenizer().save_pretrained(tmp_path / "mc")
    reader = _load(str(tmp_path / "mc"), tmp_path)
    assert reader(QUESTIONS[:6], passage=False) == _multiple_choice()(QUESTIONS[:6], passage=False)


def test_a_folder_with_a_plain_t5_is_a_reader(tmp_path: Path) -> None:
    tiny_t5(seed=3).save_pretrained(tmp_path / "t5")
    plain_tokenizer().save_pretrained(tmp_path / "t5")
    reader = load_reader(str(tmp_path / "t5"), None, candidate=tmp_path, max_input_tokens=120, batch_tokens=600)
    assert reader(QUESTIONS, passage=True) == _t5()(QUESTIONS, passage=True)


def test_what_is_no_reader_is_refused_by_its_type(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "bert", "architectures": ["BertModel"]}))
    with pytest.raises(ModelError, match="is of type 'bert' and has no multiple-choice head") as caught:
        _load(str(tmp_path), tmp_path)
    assert caught.value.field == "evaluate.reader"
    with pytest.raises(NotFoundError, match="no reader model at"):
        _load("./nowhere", tmp_path)
    with pytest.raises(ModelError, match="reader 'someone/reader' has no revision"):
        _load("someone/reader", tmp_path)


def test_with_the_adapter_off_a_model_reads_exactly_as_its_base(tmp_path: Path) -> None:
    folder = trained_model(tmp_path)
    spec = load_spec(folder)
    place, limits = (spec.base, spec.revision, folder), {"max_input_tokens": 120, "batch_tokens": 600}
    adapted, tokenizer = load_for_generation(*place, merged=False)
    asked = [*QUESTIONS, ReadingQuestion("A <mcq> passage.", "A <summarize> question?", ("a", "b"), 0, "x")]
    for passage in (True, False):
        base = T5Reader("base", *load_untrained(*place), **limits)(asked, passage=passage)
        assert AdapterOffReader(adapted, tokenizer, **limits)(asked, passage=passage) == base
        assert T5Reader("candidate", adapted, tokenizer, **limits)(asked, passage=passage) != base, "it is on again"
