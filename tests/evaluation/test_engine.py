"""Which engine is taken, and that every side of a report is written by the same one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from mtl.decoding import Decoding
from mtl.errors import InputError
from mtl.evaluation import ctranslate, engine, run
from mtl.evaluation.engine import EnginesDisagree, Mode, choose_mode, make_predictor
from mtl.example import Example
from mtl.model.load import load_for_generation, load_spec
from mtl.progress import ProgressEvent, subscribe
from mtl.tasks.table import TASKS
from tests.support.trained import MAX_INPUT_TOKENS, trained_model

INPUTS = [f"<summarize> Summarize the following article: {'Boats came. ' * (n % 4)}Winter {n}." for n in range(12)]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Any]:
    folder = trained_model(tmp_path_factory.mktemp("model"))
    spec = load_spec(folder)
    return load_for_generation(spec.base, spec.revision, folder)


@pytest.mark.parametrize(
    ("asked", "precision", "installed", "mode"),
    [
        ("auto", "auto", True, Mode("ctranslate2", "fp32")),
        ("auto", "auto", False, Mode("torch", "fp32")),
        ("auto", "bf16", True, Mode("torch", "bf16")),
        ("auto", "int8", True, Mode("ctranslate2", "int8")),
        ("torch", "auto", True, Mode("torch", "fp32")),
        ("ctranslate2", "auto", True, Mode("ctranslate2", "fp32")),
    ],
)
def test_modes(monkeypatch: pytest.MonkeyPatch, asked: str, precision: str, installed: bool, mode: Mode) -> None:
    monkeypatch.setattr(ctranslate, "available", lambda: installed)
    monkeypatch.setattr(engine, "device_kind", lambda: "cpu")
    assert choose_mode(asked, precision, d_model=32) == mode


@pytest.mark.parametrize(
    ("asked", "precision", "installed", "message"),
    [
        ("ctranslate2", "auto", False, "not installed"),
        ("auto", "int8", False, "not installed"),
        ("torch", "int8", True, "int8 needs the engine"),
        ("ctranslate2", "bf16", True, "no bf16"),
    ],
)
def test_modes_that_there_are_not(
    monkeypatch: pytest.MonkeyPatch, asked: str, precision: str, installed: bool, message: str
) -> None:
    monkeypatch.setattr(ctranslate, "available", lambda: installed)
    with pytest.raises(InputError, match=message):
        choose_mode(asked, precision, d_model=32)


def predictor(model: tuple[Any, Any], mode: Mode, **more: Any) -> Any:
    return make_predictor(mode, *model, max_input_tokens=MAX_INPUT_TOKENS, batch_tokens=512, **more)


@pytest.mark.skipif(not ctranslate.available(), reason="there is no wheel of CTranslate2 here")
def test_ctranslate2_writes_what_transformers_writes(model: tuple[Any, Any]) -> None:
    texts = [*INPUTS, INPUTS[0]]
    plain = predictor(model, Mode("torch", "fp32"))(texts, max_new_tokens=24)
    fast = predictor(model, Mode("ctranslate2", "fp32"), probe=[(INPUTS[0], 24)])
    assert fast(texts, max_new_tokens=24) == plain
    assert len(set(plain)) > 1
    assert fast([], max_new_tokens=3) == []


@pytest.mark.skipif(not ctranslate.available(), reason="there is no wheel of CTranslate2 here")
@pytest.mark.parametrize("penalty", [1.0, 0.6, 2.0])
def test_both_search_the_same_beams(model: tuple[Any, Any], penalty: float) -> None:
    decoding = Decoding(num_beams=4, length_penalty=penalty)
    plain = predictor(model, Mode("torch", "fp32"), decoding=decoding)(INPUTS, max_new_tokens=24)
    fast = predictor(model, Mode("ctranslate2", "fp32"), decoding=decoding, probe=[(INPUTS[0], 24)])
    assert fast(INPUTS, max_new_tokens=24) == plain
    assert plain != predictor(model, Mode("torch", "fp32"))(INPUTS, max_new_tokens=24)


@pytest.mark.skipif(not ctranslate.available(), reason="there is no wheel of CTranslate2 here")
def test_what_ctranslate2_draws_repeats_in_every_batch(model: tuple[Any, Any]) -> None:
    limits: dict[str, Any] = {"max_input_tokens": MAX_INPUT_TOKENS, "batch_tokens": 512}
    first, second = (ctranslate.CTranslatePredictor(*model, draws=True, **limits) for _ in range(2))
    drawn = first.draw(INPUTS[:4], 3, max_new_tokens=12)
    assert first.draw(INPUTS[3::-1], 3, max_new_tokens=12) == drawn[::-1]
    assert second.draw(INPUTS[1:2], 3, max_new_tokens=12) == drawn[1:2]
    assert [texts[0] for texts in drawn] == first(INPUTS[:4], max_new_tokens=12)
    assert all(len(set(texts)) == 3 for texts in drawn)


class Liar:
    """An engine that writes something else."""

    def __init__(self, *_: Any, **__: Any) -> None: ...

    def __call__(self, inputs: list[str], *, max_new_tokens: int, **_: Any) -> list[str]:
        return ["something else"] * len(inputs)


def test_candidates_are_drawn_by_transformers_unless_the_other_engine_is_asked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ctranslate, "available", lambda: True)
    monkeypatch.setattr(engine, "device_kind", lambda: "cpu")
    assert choose_mode("auto", "auto", d_model=32, candidates=4) == Mode("torch", "fp32")
    assert choose_mode("ctranslate2", "auto", d_model=32, candidates=4) == Mode("ctranslate2", "fp32")


def test_an_engine_that_writes_something_else_is_found_by_the_probe(
    model: tuple[Any, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ctranslate, "CTranslatePredictor", Liar)
    with pytest.raises(EnginesDisagree):
        predictor(model, Mode("ctranslate2", "fp32"), probe=[(INPUTS[0], 8)])


def test_then_all_sides_are_written_by_transformers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ctranslate, "available", lambda: True)
    monkeypatch.setattr(ctranslate, "CTranslatePredictor", Liar)
    monkeypatch.setattr(engine, "device_kind", lambda: "cpu")
    folders = {name: trained_model(tmp_path / name, seed=seed) for seed, name in enumerate(("candidate", "champion"))}
    examples = [Example(text, "Summary: Boats came.", "summarize", f"u{n}") for n, text in enumerate(INPUTS[:4])]
    options: dict[str, Any] = {
        "tasks": {"summarize": TASKS["summarize"]},
        "max_new_tokens": {"summarize": 6},
        "max_input_tokens": MAX_INPUT_TOKENS,
        "batch_tokens": 512,
        "precision": "auto",
        "seed": 1,
        "confidence": 0.95,
    }
    moments: list[ProgressEvent] = []
    with subscribe(moments.append):
        report = run.measure(folders, examples, **options)
    assert (moments[0].done, moments[0].note) == (0, "base summarize"), "said before the first text is there"
    assert (moments[-1].done, moments[-1].total) == (12, 12)
    assert (report.settings["engine"], report.settings["precision"]) == ("torch", "fp32")
    assert not any(row.prediction == "something else" for row in report.scores)
    assert {row.model for row in report.scores} == {"base", "candidate", "champion"}
    with pytest.raises(InputError, match="writes other texts than transformers"):
        run.measure(folders, examples, **options, engine="ctranslate2")
    beams = Decoding(num_beams=2)
    with pytest.raises(InputError, match="writes other texts than transformers"):
        run.measure(folders, examples, **options, engine="ctranslate2", decoding=beams)


@pytest.mark.parametrize(
    ("decoding", "said"),
    [
        (Decoding(), "greedy"),
        (Decoding(num_beams=2), "beam search (2 beams, length penalty 1)"),
        (Decoding(candidates=2), "best of 2 candidates (mcq), greedy (summarize)"),
    ],
)
def test_the_report_says_how_its_answers_were_decoded(tmp_path: Path, decoding: Decoding, said: str) -> None:
    asked = TASKS["mcq"].prompt("Boats came.", {"easy": 1})
    report = run.measure(
        {"candidate": trained_model(tmp_path)},
        [Example(INPUTS[0], "Summary: Boats came.", "summarize", "u0"), Example(asked, "MCQs: x", "mcq", "u1")],
        tasks=TASKS,
        max_new_tokens={"summarize": 6, "mcq": 6},
        max_input_tokens=MAX_INPUT_TOKENS,
        batch_tokens=512,
        precision="fp32",
        engine="torch",
        seed=1,
        confidence=0.95,
        decoding=decoding,
    )
    assert report.settings["decoding"] == said
    composed = {row.prediction for row in report.scores if row.task == "mcq"} == {"MCQs:"}
    assert composed is (decoding.candidates > 1), "what is measured is the composed text"


@pytest.mark.skipif(not ctranslate.available(), reason="there is no wheel of CTranslate2 here")
def test_a_fast_engine_takes_no_threads_from_torch(model: tuple[Any, Any]) -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        predictor(model, Mode("ctranslate2", "fp32"))
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize(
    ("lengths", "threads", "tokens"),
    [([10] * 8, 1, 64), ([10] * 4, 2, 20), ([10, 100], 2, 100), ([3], 16, 3)],
)
def test_every_thread_gets_a_batch(lengths: list[int], threads: int, tokens: int) -> None:
    assert ctranslate.batch_size(lengths, most=64, threads=threads) == tokens
