"""Drift, from rows and logged requests to a report and its page: real data sets in a real store."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
import yaml

from mtl import layout
from mtl.cli.drifting import drift_text
from mtl.cli.main import run
from mtl.evaluation.drift.page import drift_markdown
from mtl.evaluation.drift.records import ALL_ROWS, NEW_ROWS, REQUESTS, DriftReport
from mtl.pipeline.drift import check_drift
from mtl.seal import unseal
from mtl.sources.demo.corpus import articles, passages
from tests.support.drifting import MODEL, NOW, Drifting, drifting
from tests.support.rows import Row

WORDS = [f"{a}{b}" for a in ("bren", "cal", "dor", "fen", "gil", "har", "jos", "kel") for b in ("ter", "den", "mos")]


def other_articles(number: int) -> list[Row]:
    """Of no domain of the demo. One of them names a person, four times."""
    rng = random.Random(1)
    rows = [
        {
            "article": " ".join(rng.choices(WORDS, k=60)) + f" {place}.",
            "highlights": " ".join(rng.choices(WORDS, k=8)) + ".",
            "id": str(place),
        }
        for place in range(number)
    ]
    rows[0]["article"] += " Grzegorz Grzegorz Grzegorz Grzegorz"
    return rows


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Drifting:
    return drifting(tmp_path_factory.mktemp("drift"))


@pytest.fixture
def house(made: Drifting, tmp_path: Path) -> Iterator[Drifting]:
    """The same, with rows and requests of its own."""
    added = [made.folder / task / "train-more.jsonl" for task in ("summarize", "mcq")]
    yield made
    for path in added:
        path.unlink(missing_ok=True)
    for name in ("traffic", "drift"):
        shutil.rmtree(made.home / "store" / name, ignore_errors=True)


def check(house: Drifting, dataset: str, **watch: object) -> DriftReport:
    config = house.config.model_copy(update={"watch": house.config.watch.model_copy(update=watch)})
    found = check_drift(house.workspace, config, dataset, now=NOW)
    assert found is not None
    return found


def test_more_rows_of_the_same_kind_are_no_drift(house: Drifting) -> None:
    found = check(house, house.prepare(summarize=articles(2, 150), mcq=passages(2, 150)))
    (rows,) = found.comparisons
    assert (rows.what, [task.task for task in rows.tasks]) == (NEW_ROWS, ["summarize", "mcq"])
    assert all(task.domain is not None and task.fresh > 60 for task in rows.tasks)
    assert found.alarms == ()
    assert rows.mix is not None and rows.mix.p > 0.05
    assert [its.name for its in rows.tasks[1].differences][2] == "difficulty mix"


def test_rows_of_another_domain_alarm_for_their_task_alone(house: Drifting) -> None:
    dataset = house.prepare(summarize=other_articles(80), mcq=passages(2, 150))
    found = check(house, dataset)
    (alarm,) = found.alarms
    assert (alarm.what, alarm.task, alarm.cause) == (NEW_ROWS, "summarize", f"{house.before} 2026-W05")
    assert "summarize: the new rows differ from the data that v1 was trained on" in alarm.text
    page = house.workspace.store.get(found.page).decode()
    assert found.page == f"drift/{MODEL}/2026-01-31/page.html"
    assert page == layout.home_drift(house.home, MODEL).read_text()
    assert "Drift: new rows of summarize" in page
    assert sum(word in page for word in WORDS) >= 10
    assert "grzegorz" not in page.lower()
    key = f"drift/{MODEL}/2026-01-31/report.json"
    kept = unseal(house.workspace.store.get(key), key)
    assert kept == json.loads(json.dumps(found.to_json()))
    assert check(house, dataset) == found, "the same again"


def test_a_drift_stays_the_same_one_when_rows_are_added_and_is_told_again_the_next_week(house: Drifting) -> None:
    """A source of feedback has new rows every hour."""
    datasets = [house.prepare(summarize=other_articles(60 + n), mcq=passages(2, n)) for n in (1, 2)]
    first, second = (check(house, its) for its in datasets)
    assert datasets[0] != datasets[1]
    assert [its.key for its in first.alarms] == [its.key for its in second.alarms] != []
    later = check_drift(house.workspace, house.config, datasets[1], now=NOW + timedelta(days=7))
    assert later is not None and {its.key for its in later.alarms}.isdisjoint(its.key for its in first.alarms)


def test_few_new_rows_are_no_reason_to_alarm(house: Drifting) -> None:
    found = check(house, house.prepare(summarize=other_articles(20)))
    (rows,) = found.comparisons
    assert (rows.what, [task.task for task in rows.tasks]) == (ALL_ROWS, ["summarize"])
    assert found.alarms == ()


def test_requests_of_another_kind_alarm_once_a_week(house: Drifting) -> None:
    texts = [row["article"] for row in other_articles(80)]
    house.log("summarize", texts * 3)
    house.log("summarize", ["An old text, and only one."], at=NOW - timedelta(days=8))
    house.log("mcq", [str(row["article"]) for row in passages(3, 150)], easy=0, medium=0, hard=2)
    found = check(house, house.before)
    (requests,) = found.comparisons
    summarize, mcq = requests.tasks
    assert (requests.what, summarize.fresh) == (REQUESTS, 80), "a text counts once, however often it is asked about"
    (alarm,) = found.alarms
    assert (alarm.task, alarm.cause) == ("summarize", f"{house.before} 2026-W05")
    assert mcq.domain is not None and mcq.domain.auc < 0.65
    mix = mcq.differences[2]
    assert mix.fresh == {"Easy": 0.0, "Medium": 0.0, "Hard": 1.0} and mix.p < 0.02, "told, and no alarm"


def test_a_request_log_that_cannot_be_read_is_said_and_rows_are_compared_all_the_same(
    house: Drifting, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    house.log("summarize", ["A text."])
    logged = house.home / "store" / layout.requests_prefix(MODEL)
    logged.rename(tmp_path / "elsewhere")
    logged.symlink_to(tmp_path / "elsewhere")  # out of the store, which refuses to follow it
    found = check(house, house.before)
    assert found.comparisons == () and "leads out of" in found.fault
    assert "the request log of mtl-flan-t5 cannot be read, and is not compared" in caplog.text
    page = house.workspace.store.get(found.page).decode()
    assert "Nothing new to compare" in page and "The requests are not compared" in page
    found = check(house, house.prepare(summarize=other_articles(80)))
    assert [alarm.what for alarm in found.alarms] == [NEW_ROWS] and found.fault
    said = drift_text(found.to_json() | {"file": "page.html"})
    assert said.splitlines()[0].startswith("the requests are not compared") and "DRIFT" in said
    assert "The requests are not compared" in drift_markdown(found, page="page.html")


def test_what_the_task_does_not_take_is_left_out(house: Drifting) -> None:
    house.log("mcq", ["A text."], easy=0, medium=0, hard=0)
    house.log("summarize", [" "])
    assert check(house, house.before).comparisons == ()


def test_the_same_data_and_no_requests_are_nothing_to_compare(house: Drifting) -> None:
    found = check(house, house.before)
    assert (found.comparisons, found.page) == ((), "")
    assert not (house.home / "store" / "drift").exists()


def test_without_a_champion_or_switched_off_there_is_none(house: Drifting) -> None:
    off = house.config.model_copy(update={"watch": house.config.watch.model_copy(update={"drift": False})})
    assert check_drift(house.workspace, off, house.before, now=NOW) is None
    section = house.config.register_.model_copy(update={"model": "another"})
    other = house.config.model_copy(update={"register_": section})
    assert check_drift(house.workspace, other, house.before, now=NOW) is None


def test_the_command_says_it_in_words_and_as_json(
    house: Drifting, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MTL_HOME", str(house.home))
    for name in ("MTL_STORE", "MLFLOW_TRACKING_URI"):
        monkeypatch.delenv(name, raising=False)
    conf = tmp_path / "conf.yaml"
    conf.write_text(yaml.safe_dump(house.config.model_dump(mode="json", by_alias=True)))
    assert run(["drift", "-c", str(conf)]) == 0
    assert "nothing to compare: no row is new since v1 was trained" in capsys.readouterr().out
    house.prepare(summarize=other_articles(80))
    assert run(["drift", "-c", str(conf)]) == 0
    out = capsys.readouterr().out
    assert "new rows of summarize: DRIFT, area under the ROC curve 1.00, p 0.001, " in out
    assert run(["drift", "-c", str(conf), "--json"]) == 0
    found = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert [alarm["task"] for alarm in found["alarms"]] == ["summarize"]
    assert Path(found["file"]).read_text().startswith("<!doctype html>")


def test_a_sample_bounds_the_texts(house: Drifting) -> None:
    dataset = house.prepare(summarize=other_articles(80))
    rows = check(house, dataset, drift_texts=60).comparisons[0]
    assert (rows.tasks[0].reference, rows.tasks[0].fresh) == (60, 60)
