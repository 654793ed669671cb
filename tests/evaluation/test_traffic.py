"""Candidate and champion on logged texts: real models, no references, and no text in what others read."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from mtl.evaluation import run
from mtl.evaluation.kept_reader import open_reader
from mtl.evaluation.logged import SAMPLE, logged_sentences
from mtl.evaluation.markdown import report_markdown
from mtl.evaluation.page import report_page
from mtl.evaluation.report import BASE, BEST, CANDIDATE, CHAMPION, EvalReport
from mtl.evaluation.traffic import measure_traffic
from mtl.example import Example
from mtl.store.base import ObjectStore
from mtl.store.memory import MemoryStore
from mtl.tasks.table import TASKS
from mtl.traffic.sample import LeftOut, TrafficSample
from tests.support.trained import MAX_INPUT_TOKENS, trained_model

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning", "ignore::FutureWarning")
SECRETS = [f"Quince met Zoe {n} times near Malmo and bought {n} boats." for n in range(1, 5)]
IDS = tuple(f"{n:032x}" for n in range(8))
SAMPLE_OF_8 = TrafficSample(
    since="2026-11-20T00:00:00+00:00",
    until="2026-11-27T00:00:00+00:00",
    logged=1020,
    ids=IDS,
    days={"2026-11-21": 2, "2026-11-24": 6},
    left_out={LeftOut.REPEATED: 1000, LeftOut.TOO_LONG: 12},
    damaged=1,
)
LIMITS: Any = {"max_input_tokens": MAX_INPUT_TOKENS, "batch_tokens": 512}


def logged() -> list[Example]:
    asked = {"summarize": {}, "mcq": {"easy": 1, "medium": 0, "hard": 0}}
    return [
        Example(TASKS[task].prompt(text, request), "", task, f"{task}{n}", {"request": request})
        for task, request in asked.items()
        for n, text in enumerate(SECRETS)
    ]


@dataclass
class House:
    folders: dict[str, Path]
    store: ObjectStore

    def traffic(
        self, examples: list[Example], sample: TrafficSample = SAMPLE_OF_8, *models: str, **changes: Any
    ) -> EvalReport:
        load = partial(open_reader, "base", None, candidate=self.folders[CANDIDATE], store=self.store, **LIMITS)
        measure = partial(
            run.measure,
            max_new_tokens={"summarize": 6, "mcq": 8},
            precision="fp32",
            engine="torch",
            reading=run.Reading(load),
            store=self.store,
            **LIMITS,
            **changes,
        )
        folders = {name: folder for name, folder in self.folders.items() if not models or name in models}
        return measure_traffic(measure, folders, sample, examples, tasks=TASKS, seed=1, confidence=0.95)


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> House:
    folder, names = tmp_path_factory.mktemp("models"), (CANDIDATE, CHAMPION, BEST)
    return House({name: trained_model(folder / name, seed=n) for n, name in enumerate(names)}, MemoryStore())


@pytest.fixture(scope="module")
def found(house: House) -> EvalReport:
    return house.traffic(logged())


def whole(traffic: EvalReport) -> EvalReport:
    """A report of which that is the part about logged texts."""
    return EvalReport({CANDIDATE: {}, CHAMPION: {}, BASE: {}}, {}, (), (), 0.95, {}, {}, traffic=traffic)


def test_candidate_and_champion_are_measured_by_what_needs_no_reference(found: EvalReport) -> None:
    assert found.models == (CHAMPION, CANDIDATE)
    assert found.examples == {"summarize": 4, "mcq": 4}
    names = {task: {metric.name for metric in metrics} for task, metrics in found.metrics.items()}
    assert {"supported", "kind_obeyed", "consistent", "length"} <= names["summarize"]
    assert {"usable", "lost_key", "answerable", "parsed", "counts_obeyed", "usable_Hard"} <= names["mcq"]
    assert not any(metric.needs_reference for metrics in found.metrics.values() for metric in metrics)
    length = found.comparison(CHAMPION, "summarize", "length")
    assert length is not None and length.n == 4 and length.low <= length.difference <= length.high


def test_no_text_and_no_answer_is_in_anything_that_others_read(found: EvalReport) -> None:
    report = whole(found)
    assert found.scores == () and found.samples == ()
    page = report_page(report, title="m v2", tasks=TASKS)
    for shown in (json.dumps(report.to_json()), report_markdown(report, tasks=TASKS), page):
        assert "Quince" not in shown and "Malmo" not in shown
        assert not any(name in shown for name in IDS)


def test_the_section_says_what_was_taken_and_what_was_left_out(found: EvalReport) -> None:
    text = report_markdown(whole(found), tasks=TASKS)
    assert "## Logged texts" in text and "### mcq, 4 logged texts" in text
    for said in (
        "Of 1,020 requests logged from 2026-11-20T00:00 to 2026-11-27T00:00 UTC",
        "answered again: 4 of summarize, 4 of mcq.",
        "By day: 2 of 2026-11-21, 6 of 2026-11-24.",
        "1,000 with a text that was sent more than once, which counts once, 12 longer than data.max\\_input\\_tokens.",
        "Parts of the request log that are damaged and were left out: 1.",
    ):
        assert said.replace("\\", "") in text.replace("\\", ""), text
    page = report_page(whole(found), title="m v2", tasks=TASKS)
    assert "Logged texts" in page and "1,000 with a text that was sent more than once" in page
    assert "4 logged texts" in page and "supported" in page


def test_the_document_is_read_back(found: EvalReport) -> None:
    report = whole(found)
    again = EvalReport.from_json(json.loads(json.dumps(report.to_json(), sort_keys=True)))
    assert again.to_json() == report.to_json()
    assert again.traffic is not None and again.traffic.metrics == found.metrics
    assert "seconds" not in report.measured()["traffic"] and "origin" not in report.measured()["traffic"]


def test_the_same_texts_are_answered_once(house: House, found: EvalReport) -> None:
    again = house.traffic(logged())
    assert all(its.kept == its.answers for its in again.origin.values()), again.origin
    assert again.measured() == found.measured()


@pytest.mark.parametrize(
    ("sample", "said"),
    [
        ({"logged": 0, "damaged": 0, "days": {}, "left_out": {}}, "No request was logged from 2026-11-20T00:00"),
        ({"fault": "no access"}, "The request log could not be read, so that no logged text was answered: no access."),
        ({"left_out": {LeftOut.TRAINED: 3}, "logged": 3}, "answered again: none."),
        ({}, "Texts that the log has no longer: 8."),
    ],
)
def test_without_texts_nothing_is_generated_and_the_report_says_why(
    house: House, sample: dict[str, Any], said: str
) -> None:
    values = SAMPLE_OF_8.to_dict() | sample
    nothing = TrafficSample(**values | {"ids": IDS if not sample else ()})
    found = house.traffic([], nothing)
    assert found.examples == {} and found.seconds == {}
    assert said in " ".join(logged_sentences(found))
    report = whole(found)
    assert EvalReport.from_json(report.to_json()).to_json() == report.to_json()
    assert "Logged texts" in report_page(report, title="m", tasks=TASKS)


def test_without_a_champion_the_candidate_stands_alone(house: House) -> None:
    found = house.traffic(logged(), SAMPLE_OF_8, CANDIDATE)
    assert found.models == (CANDIDATE,) and found.comparisons == ()
    assert "There was no champion to compare with." in report_markdown(whole(found), tasks=TASKS)
    assert "Logged texts" in report_page(whole(found), title="m", tasks=TASKS)
    assert EvalReport.from_json(whole(found).to_json()).to_json() == whole(found).to_json()
    assert found.settings[SAMPLE]["logged"] == 1020
