"""A report measures the same whatever the store has kept, and what changes an answer is never passed over."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from mtl.decoding import Decoding
from mtl.evaluation import ctranslate, identity, reader, run, side
from mtl.evaluation.kept_reader import open_reader
from mtl.evaluation.origin import origin_sentences
from mtl.evaluation.report import CANDIDATE, CHAMPION, EvalReport, Origin
from mtl.example import Example
from mtl.layout import PREDICTIONS
from mtl.store.base import ObjectStore
from mtl.store.memory import MemoryStore
from mtl.tasks.table import TASKS
from tests.support.trained import MAX_INPUT_TOKENS, trained_model

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning", "ignore::FutureWarning")
FAST = pytest.mark.skipif(not ctranslate.available(), reason="there is no wheel of CTranslate2 here")
MCQ = (
    "MCQs: 1. Question: Where did Ann win? Options: A. Rome B. Bonn C. Oslo D. Kiel Correct: B Difficulty: Medium "
    "2. Question: Who won? Options: A. Ann B. Bob C. Cid D. Dan Correct: A Difficulty: Easy"
)


def examples(count: int = 24) -> list[Example]:
    words = re.findall(r"\w+", "boats came and went while winter was long in the north of Bonn where Ann Lee won")
    texts = [" ".join(words[(n * i) % len(words)] for i in range(1, 8 + n)) + f" {n}." for n in range(count)]
    ask = TASKS["mcq"].prompt
    return [
        *(Example(f"<summarize> Summarize the following article: {t}", "Summary: x.", "summarize", t) for t in texts),
        *(Example(ask(text, {"medium": 1, "easy": 1}), MCQ, "mcq", text) for text in texts[: count // 2]),
    ]


@dataclass
class House:
    folders: dict[str, Path]
    store: ObjectStore

    def measure(self, found: Sequence[Example] | None = None, *, store: bool = True, **changes: Any) -> EvalReport:
        values: dict[str, Any] = {
            "max_new_tokens": {"summarize": 6, "mcq": 8},
            "max_input_tokens": MAX_INPUT_TOKENS,
            "batch_tokens": 512,
            "precision": "fp32",
            "engine": "torch",
            **changes,
        }
        kept = self.store if store else None
        limits = {name: values[name] for name in ("max_input_tokens", "batch_tokens")}
        load = partial(open_reader, "base", None, candidate=self.folders[CANDIDATE], store=kept, **limits)
        return run.measure(
            self.folders,
            examples() if found is None else found,
            tasks=TASKS,
            seed=1,
            confidence=0.95,
            reading=run.Reading(load),
            store=kept,
            **values,
        )


FEW = examples(4)


@pytest.fixture(scope="module")
def answered(tmp_path_factory: pytest.TempPathFactory) -> House:
    """One that has measured FEW."""
    made = new_house(tmp_path_factory.mktemp("answered"))
    made.measure(FEW)
    return made


@pytest.fixture
def kept(answered: House, tmp_path: Path) -> House:
    """A copy of it, to spoil."""
    copy = new_house(tmp_path)
    for info in answered.store.list(PREDICTIONS):
        copy.store.put(info.key, answered.store.get(info.key))
    return copy


@pytest.fixture
def house(tmp_path: Path) -> House:
    return new_house(tmp_path)


def new_house(tmp_path: Path) -> House:
    folders = {name: trained_model(tmp_path / name, seed=n) for n, name in enumerate((CANDIDATE, CHAMPION))}
    return House(folders, MemoryStore())


def taken(report: EvalReport) -> dict[str, int]:
    return {name: its.kept for name, its in report.origin.items()}


def everything(report: EvalReport) -> str:
    """All that was measured, to the last bit; NaN equals itself."""
    return json.dumps(report.measured(), sort_keys=True) + repr(report.scores)


@pytest.mark.parametrize("engine", ["torch", pytest.param("ctranslate2", marks=FAST)])
def test_a_report_is_the_same_with_answers_kept_and_without(house: House, engine: str) -> None:
    nothing = house.measure(store=False, engine=engine)
    first = house.measure(engine=engine)
    second = house.measure(engine=engine)
    for number, info in enumerate(list(house.store.list(PREDICTIONS))):
        if number % 3 == 0:
            house.store.delete(info.key)
    third = house.measure(engine=engine)
    assert everything(nothing) == everything(first) == everything(second) == everything(third)
    assert set(taken(first).values()) == {0}
    assert all(its.answers == its.kept for its in second.origin.values())
    assert any(0 < its.kept < its.answers for its in third.origin.values())
    assert EvalReport.from_json(third.to_json()).origin == third.origin


def test_no_model_is_loaded_whose_answers_are_kept(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    first = house.measure()

    def refuse(*_: Any, **__: Any) -> Any:
        raise AssertionError("nothing has to be loaded")

    for module in (side, reader):
        for name in ("load_for_generation", "load_untrained"):
            monkeypatch.setattr(module, name, refuse)
    assert everything(house.measure()) == everything(first)


def test_todays_candidate_is_tomorrows_champion(house: House) -> None:
    house.measure()
    shutil.rmtree(house.folders[CHAMPION])
    shutil.copytree(house.folders[CANDIDATE], house.folders[CHAMPION])
    config = house.folders[CHAMPION] / "adapter_config.json"  # as a release has it
    config.write_text(json.dumps(json.loads(config.read_text()) | {"base_model_name_or_path": "base"}, indent=1))
    shutil.rmtree(house.folders[CANDIDATE])
    trained_model(house.folders[CANDIDATE], seed=7)
    report = house.measure()
    assert report.origin[CHAMPION].kept == report.origin[CHAMPION].answers > 0
    assert report.origin["base"].kept == report.origin["base"].answers > 0
    assert report.origin[CANDIDATE].kept == 0
    assert "all of the base's and all of the champion's" in origin_sentences(report)


def test_more_examples_leave_most_answers_as_they_are(house: House) -> None:
    few, more = examples(), [*examples(), *examples(25)[24:25]]
    house.measure(few)
    found = house.measure(more)
    assert all(its.kept > 0 for its in found.origin.values())
    assert everything(found) == everything(house.measure(more, store=False))


def _weights(folder: Path) -> None:
    path = folder / "adapter_model.safetensors"
    values = load_file(path)
    name = sorted(values)[0]
    save_file({**values, name: values[name] * 1.001}, path, metadata={"format": "pt"})


def _rank(folder: Path) -> None:
    path = folder / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"lora_alpha": 5}))


def _tokenizer(folder: Path) -> None:
    path = folder / "tokenizer_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"another": 1}))


@pytest.mark.parametrize("spoil", [_weights, _rank, _tokenizer])
def test_another_adapter_or_tokenizer_answers_itself(kept: House, spoil: Callable[[Path], None]) -> None:
    spoil(kept.folders[CHAMPION])
    found = taken(kept.measure(FEW))
    assert found[CHAMPION] == 0 and found[CANDIDATE] > 0 and found["base"] > 0


@pytest.mark.parametrize(
    "changes",
    [
        {"max_new_tokens": {"summarize": 7, "mcq": 9}},
        {"max_input_tokens": 100},
        {"batch_tokens": 500},
        {"decoding": Decoding(num_beams=2)},
        {"precision": "bf16"},
        pytest.param({"engine": "ctranslate2"}, marks=FAST),
    ],
    ids="".join,
)
def test_other_limits_and_engines_are_other_answers(kept: House, changes: dict[str, Any]) -> None:
    found = taken(kept.measure(FEW, **changes))
    assert [found[name] for name in ("base", *kept.folders)] == [0, 0, 0]


@pytest.mark.parametrize("library", ["torch", "transformers", "peft", "tokenizers"])
def test_another_version_of_a_library_is_another_engine(
    kept: House, monkeypatch: pytest.MonkeyPatch, library: str
) -> None:
    monkeypatch.setattr("mtl.evaluation.identity.version", lambda name: "9.9" if name == library else version(name))
    assert set(taken(kept.measure(FEW)).values()) == {0}


@FAST
def test_another_version_of_ctranslate2_too_where_it_writes(kept: House, monkeypatch: pytest.MonkeyPatch) -> None:
    kept.measure(FEW, engine="ctranslate2")
    monkeypatch.setattr(
        "mtl.evaluation.identity.version", lambda name: "9.9" if name == "ctranslate2" else version(name)
    )
    assert taken(kept.measure(FEW, engine="ctranslate2"))[CANDIDATE] == 0
    assert taken(kept.measure(FEW))[CANDIDATE] > 0


@pytest.mark.parametrize("part", ["_source", "_cpu"])
def test_other_code_and_another_processor_too(kept: House, monkeypatch: pytest.MonkeyPatch, part: str) -> None:
    monkeypatch.setattr(identity, part, lambda: "another")
    assert set(taken(kept.measure(FEW)).values()) == {0}


def test_another_number_of_threads_too(kept: House) -> None:
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(threads + 1)
        assert set(taken(kept.measure(FEW)).values()) == {0}
    finally:
        torch.set_num_threads(threads)


def test_a_switch_of_a_library_that_chooses_other_kernels_too(kept: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MKL_CBWR", "COMPATIBLE")
    assert set(taken(kept.measure(FEW)).values()) == {0}


def test_another_version_of_a_task_too(kept: House, monkeypatch: pytest.MonkeyPatch) -> None:
    newer = replace(TASKS["summarize"], version=TASKS["summarize"].version + 1)
    monkeypatch.setitem(TASKS, "summarize", newer)
    found = kept.measure(FEW).origin[CHAMPION]
    assert 0 < found.kept < found.answers, "those of the other task are taken"


@FAST
def test_the_verdict_about_the_engine_is_kept_too(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """An engine that writes something else is found again without loading a model, and is not found where there is
    none."""
    first = house.measure(engine="auto")
    assert first.settings["engine"] == "ctranslate2"
    monkeypatch.setattr(side, "make_predictor", None)
    assert everything(house.measure(engine="auto")) == everything(first)


@pytest.mark.parametrize(
    ("origin", "said"),
    [
        ({}, ""),
        ({"base": Origin(300, 0)}, "None of the 300 answers was taken from an earlier evaluation."),
        (
            {"base": Origin(300, 300), "champion": Origin(400, 340), "candidate": Origin(400, 0)},
            "Of 1,100 answers, 640 were taken from earlier evaluations: all of the base's and 340 of the champion's.",
        ),
        ({"base": Origin(3, 3), "candidate": Origin(4, 4)}, "Of 7 answers, 7 were taken from earlier evaluations."),
        (
            {"base": Origin(3, 0), "reader": Origin(50, 20)},
            "None of the 3 answers was taken from an earlier evaluation. "
            "Of 50 answers of the reader, 20 were taken from earlier evaluations.",
        ),
    ],
)
def test_the_sentence(origin: dict[str, Origin], said: str) -> None:
    report = EvalReport({}, {}, (), (), 0.95, {}, {}, origin=origin)
    assert origin_sentences(report) == said
