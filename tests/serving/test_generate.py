"""Requests to a model: answered, or refused with the reason."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoTokenizer

from mtl.decoding import GREEDY, Decoding
from mtl.errors import DamageError, InputError, ModelError, NotFoundError
from mtl.evaluation import ctranslate, engine
from mtl.serving.generate import Generator, load_generator
from mtl.task import BadRequest
from tests.support.bases import save_base
from tests.support.trained import MAX_INPUT_TOKENS, tiny_base, trained_model

MCQS = (
    "MCQs: 1. Question: Who came? Options: A. Ann B. Bob C. Cid D. Dee Correct: B Difficulty: Easy "
    "2. Question: When? Options: A. May B. June C. July D. August Correct: A Difficulty: Hard"
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return trained_model(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def generator(folder: Path) -> Generator:
    return load_generator(folder)


def test_one_answer_for_each_text_and_the_same_every_time(generator: Generator) -> None:
    texts = ["a short text", "another and a longer text than that", "a short text"]
    first = generator.generate(texts)
    assert len(first) == 3
    assert first == generator.generate(texts)
    assert first[0] == first[2] == generator.generate([texts[0]])[0]
    assert generator.generate([]) == []


def test_max_new_tokens(generator: Generator) -> None:
    short, long = (generator.generate(["some text"], max_new_tokens=n)[0].text for n in (1, 12))
    assert len(short) < len(long)
    assert generator.generate(["some text"])[0].text == long


class Scripted:
    """A generator whose model writes what is given; `inputs` is what it was asked."""

    def __init__(self, folder: Path, written: str) -> None:
        self.inputs: list[str] = []
        self._written = written
        self.tokenizer = AutoTokenizer.from_pretrained(folder)
        limits = {"summarize": 12, "mcq": 12}
        self.generator = Generator(self, self.tokenizer, max_input_tokens=MAX_INPUT_TOKENS, max_new_tokens=limits)

    def __call__(self, inputs: Sequence[str], *, max_new_tokens: int) -> list[str]:
        self.inputs += inputs
        return [self._written] * len(inputs)


def test_mcqs_come_back_parsed(folder: Path) -> None:
    model = Scripted(folder, MCQS)
    (answer,) = model.generator.generate(["A passage."], "mcq", request={"easy": 1, "hard": 1})
    assert model.inputs == ["<mcq> Generate MCQs (Easy: 1, Medium: 0, Hard: 1): A passage."]
    assert [question["difficulty"] for question in answer.output] == ["Easy", "Hard"]
    assert answer.output[0]["options"] == ["Ann", "Bob", "Cid", "Dee"]
    assert answer.text == MCQS
    json.dumps(answer.to_dict())


def test_without_a_request_the_task_s_default_is_asked_for(folder: Path) -> None:
    model = Scripted(folder, "Summary: Ann came.")
    model.generator.generate(["A passage."], "mcq")
    assert model.generator.generate(["An article."])[0].output == "Ann came."
    assert model.inputs == [
        "<mcq> Generate MCQs (Easy: 2, Medium: 1, Hard: 1): A passage.",
        "<summarize> Summarize the following article: An article.",
    ]


def test_what_is_not_of_the_form_has_no_output_but_its_text(folder: Path) -> None:
    (answer,) = Scripted(folder, "hm").generator.generate(["A passage."], "mcq")
    assert (answer.output, answer.text) == (None, "hm")


def test_an_over_long_text_is_refused_with_its_length_and_the_limit(generator: Generator) -> None:
    with pytest.raises(InputError, match=r"text 2 is \d+ tokens long with its instruction, the limit is 200") as caught:
        generator.generate(["short", "word " * 300])
    assert "--truncate" in str(caught.value)


@pytest.mark.parametrize("text", ["word " * 300, "x" * 5000, "word " * 200_000, "   lead " + "w" * 900])
@pytest.mark.parametrize("task", ["summarize", "mcq"])
def test_or_cut_at_its_end_to_what_fits(folder: Path, text: str, task: str) -> None:
    model = Scripted(folder, "Summary: x")
    (answer,) = model.generator.generate([text], task, truncate=True)
    assert answer.truncated
    tokens = len(model.tokenizer(model.inputs[0])["input_ids"])
    assert MAX_INPUT_TOKENS - 10 <= tokens <= MAX_INPUT_TOKENS
    if "word" in text:
        assert model.inputs[0].endswith(" word")


def test_a_text_that_fits_is_not_cut(generator: Generator) -> None:
    assert not generator.generate(["short"], truncate=True)[0].truncated


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"task": "sumarize"}, NotFoundError, "no task 'sumarize'\n  did you mean 'summarize'"),
        ({"task": None}, InputError, "task must be a name"),
        ({"request": {"easy": 1}}, BadRequest, "summarize takes no 'easy'"),
        ({"task": "mcq", "request": {"simple": 1}}, BadRequest, "mcq takes no 'simple'\n  known: easy, hard, medium"),
        ({"task": "mcq", "request": {"easy": -1}}, BadRequest, "easy must be a whole number from 0 on, got -1"),
        ({"task": "mcq", "request": {"easy": 10**9}}, BadRequest, "asked for 1000000000 questions"),
        ({"max_new_tokens": 0}, InputError, "max_new_tokens must be 1 to 4096, got 0"),
        ({"max_new_tokens": True}, InputError, "max_new_tokens must be 1 to 4096, got True"),
        (
            {"decoding": Decoding(candidates=4)},
            BadRequest,
            "summarize asks no questions that could be checked, so candidates must be 1, got 4",
        ),
        ({"max_new_tokens": 1e9}, InputError, "max_new_tokens must be 1 to 4096"),
    ],
)
def test_a_bad_request(generator: Generator, arguments: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error) as caught:
        generator.generate(["a text"], **arguments)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        ("a text", "texts must be a list of strings"),
        ([1], "texts must be a list of strings"),
        (["good", " \n "], "text 2: the article is empty"),
        (["x" * 2_000_001], "text 1 has 2000001 characters, the limit is 2000000"),
        (["good", "x \ud800"], "text 2 is no valid Unicode"),
        (["x"] * 10_001, "at most 10000 texts in one request, got 10001"),
    ],
)
def test_bad_texts(generator: Generator, texts: Any, message: str) -> None:
    with pytest.raises((InputError, BadRequest)) as caught:
        generator.generate(texts)
    assert message in str(caught.value)


def test_a_task_the_model_was_not_trained_on(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="this model was not trained on mcq"):
        Generator(lambda *_, **__: [], None, max_input_tokens=9, max_new_tokens={"summarize": 9}).generate(["x"], "mcq")


def test_the_base_may_be_elsewhere_but_must_be_the_same(folder: Path, generator: Generator, tmp_path: Path) -> None:
    moved = load_generator(folder, base=str(tiny_base()))
    assert moved.generate(["some text"]) == generator.generate(["some text"])
    other = save_base(tmp_path / "other", seed=1)
    with pytest.raises(ModelError, match="is not the one this adapter was trained on"):
        load_generator(folder, base=str(other))


def test_a_task_whose_version_moved_is_told(folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    model = trained_model(tmp_path / "old")
    spec = json.loads((model / "mtl_model.json").read_text())
    spec["task_versions"]["mcq"] = 0
    (model / "mtl_model.json").write_text(json.dumps(spec))
    load_generator(model)
    assert "the model learned version 0 of task mcq" in caplog.text


def test_a_folder_that_is_no_model(tmp_path: Path) -> None:
    with pytest.raises(DamageError, match="is not a trained model"):
        load_generator(tmp_path)


def test_of_candidates_only_confirmed_questions_are_returned(generator: Generator) -> None:
    texts, options = ["A passage.", "Another passage."], {"request": {"easy": 1, "hard": 2}}
    answers = generator.generate(texts, "mcq", **options, decoding=Decoding(candidates=3))  # type: ignore[arg-type]
    for answer in answers:  # random weights write none
        document = {"output": [], "text": "MCQs:", "truncated": False, "missing": {"easy": 1, "hard": 2}}
        assert answer.to_dict() == document
    assert "missing" not in generator.generate(texts, "mcq")[0].to_dict()


def test_beams_are_searched_on_request(generator: Generator) -> None:
    texts = ["a short text", "another and a longer text than that"]
    beams = generator.generate(texts, decoding=Decoding(num_beams=4, length_penalty=2.0))
    assert [answer.text for answer in beams] != [answer.text for answer in generator.generate(texts)]
    assert generator.generate(texts, decoding=Decoding(num_beams=4, length_penalty=2.0)) == beams


@pytest.mark.skipif(not ctranslate.available(), reason="there is no wheel of CTranslate2 here")
def test_the_fast_engine_searches_the_same_beams(folder: Path, generator: Generator) -> None:
    texts, decoding = ["a short text", "another and a longer text than that"], Decoding(num_beams=3)
    fast = load_generator(folder, engine="auto")
    assert fast.generate(texts, decoding=decoding) == generator.generate(texts, decoding=decoding)


@pytest.mark.skipif(not ctranslate.available(), reason="there is no wheel of CTranslate2 here")
def test_the_fast_engine_answers_the_same(folder: Path, generator: Generator, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    class Seen(ctranslate.CTranslatePredictor):
        def __call__(self, inputs: Sequence[str], *, max_new_tokens: int, decoding: Decoding = GREEDY) -> list[str]:
            asked.extend(inputs)
            return super().__call__(inputs, max_new_tokens=max_new_tokens, decoding=decoding)

    monkeypatch.setattr(ctranslate, "CTranslatePredictor", Seen)
    fast = load_generator(folder, engine="auto")
    asked.clear()  # the probe's
    texts = ["a short text", "another and a longer text than that"]
    assert fast.generate(texts) == generator.generate(texts)
    assert [inputs.endswith(text) for inputs, text in zip(asked, texts, strict=True)] == [True, True]


def test_an_engine_that_answers_otherwise_is_not_used(
    folder: Path, generator: Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ctranslate, "available", lambda: True)
    monkeypatch.setattr(ctranslate, "CTranslatePredictor", lambda *_, **__: lambda inputs, **_: ["no"] * len(inputs))
    monkeypatch.setattr(engine, "device_kind", lambda: "cpu")
    assert load_generator(folder, engine="auto").generate(["some text"]) == generator.generate(["some text"])
