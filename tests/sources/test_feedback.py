"""What people said of answers, as rows of a source."""

from __future__ import annotations

import json
import os
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mtl.config.data import SourceConfig
from mtl.config.retrain import parse_config
from mtl.errors import InputError, MtlError, NotFoundError
from mtl.sources.base import Source
from mtl.sources.feedback import address, corrected_first, rows_of, taken
from mtl.sources.open import open_source
from mtl.store.memory import MemoryStore
from mtl.tasks.table import get_task
from mtl.traffic.records import Feedback
from tests.support.feedback import MODEL, asked, correction, quiz, said, say


def source(store: MemoryStore, cache: Path, *, task: str = "summarize", **fields: Any) -> Source:
    config = SourceConfig.model_validate({"task": task, "uri": f"feedback:{MODEL}", **fields})
    return open_source(taken(config, store, cache), 1, cache=cache)


def every_row(task: str, opinions: list[Feedback]) -> list[dict[str, Any]]:
    """The corrected ones first."""
    rows, _ = rows_of(get_task(task), opinions)
    return [dict(row) for part in ("corrected", "good") for row in rows[part]]


def mcq_row(number: int, its: dict[str, Any], **changed: Any) -> dict[str, Any]:
    text = quiz(number).text
    row = {"article": text, "question": its["question"], "options": its["options"], "answer": its["correct"]}
    return row | {"level": its["difficulty"]} | changed


@pytest.mark.parametrize(
    ("opinions", "rows"),
    [
        ([said(1)], [{"article": said(1).text, "highlights": said(1).correction}]),
        ([said(1, "good")], [{"article": said(1).text, "highlights": "Village 1 built a bridge."}]),
        ([said(1, "unclear"), said(2, "wrong_key"), said(3, "wrong_level")], []),
        ([said(1, "good", answer="a text without its head")], []),
        ([quiz(1)], []),  # of another task
        ([said(2, "good"), said(3)], [{"article": said(3).text, "highlights": said(3).correction}, ...]),
    ],
)
def test_corrections_and_good_summaries_are_rows(opinions: list[Feedback], rows: list[Any]) -> None:
    found = every_row("summarize", opinions)
    assert len(found) == len(rows)
    assert all(its == row for its, row in zip(found, rows, strict=True) if row is not ...)


@pytest.mark.parametrize(
    ("opinions", "rows"),
    [
        ([quiz(1)], [mcq_row(1, asked(1)), mcq_row(1, asked(2))]),
        ([quiz(1, question=2)], [mcq_row(1, asked(2))]),
        ([quiz(1, question=3)], []),
        (
            [quiz(1, "corrected", question=1, correction=correction(1, correct="C", difficulty="Hard"))],
            [mcq_row(1, asked(1), answer="C", level="Hard")],
        ),
        # the answer is good but for one of its questions
        ([quiz(1), quiz(1, "wrong_key", question=1)], [mcq_row(1, asked(2))]),
        (
            [quiz(1), quiz(1, "corrected", question=2, correction=correction(2, correct="D"))],
            [mcq_row(1, asked(2), answer="D"), mcq_row(1, asked(1))],
        ),
        ([quiz(1, answer="MCQs: 1. Question: broken")], []),
        ([quiz(1, "corrected", correction="no question")], []),
    ],
)
def test_corrected_and_good_questions_are_rows(opinions: list[Feedback], rows: list[dict[str, Any]]) -> None:
    for order in (opinions, opinions[::-1]):
        assert every_row("mcq", order) == rows


def test_a_task_says_itself_how_feedback_becomes_rows() -> None:
    task = replace(get_task("summarize"), rows=lambda text, output: [{"of": text, "is": output}])
    assert rows_of(task, [said(1)])[0]["corrected"] == [{"of": said(1).text, "is": said(1).correction}]
    with pytest.raises(NotFoundError, match="'summarize' does not learn from feedback"):
        rows_of(replace(task, rows=None), [])


def test_a_row_that_people_gave_is_read_like_any_other() -> None:
    task = get_task("mcq")
    opinion = quiz(1, "corrected", question=1, correction=correction(1, options=["one", "one", "two", "three"]))
    rows = every_row("mcq", [quiz(2), opinion])
    assert task.read(rows[1]).level == "Easy"
    with pytest.raises(Exception, match="repeated option"):
        task.read(rows[0])


def test_what_gives_no_row_is_counted(tmp_path: Path) -> None:
    store = MemoryStore()
    say(store, said(1), said(2, "good", answer="x"), said(3, "unclear"), said(4, "unclear"), quiz(5))
    (note,) = source(store, tmp_path).notes() or []
    assert note.text == "4 opinions of people gave 1 row; these gave none: not of the task's form 1, unclear 2"
    (note,) = source(MemoryStore(), tmp_path).notes() or []
    assert note.text == "nobody has said anything of an answer of this task yet"


def test_what_no_source_reads_is_told(tmp_path: Path) -> None:
    store = MemoryStore()
    say(store, said(1), quiz(2), quiz(3))
    both = [SourceConfig(task=task, uri=f"feedback:{MODEL}") for task in ("summarize", "mcq")]
    for among, told in (
        (both[:1], ["opinions of tasks that no source of this uri reads: mcq 2"]),
        (both, []),
    ):
        notes = open_source(taken(both[0], store, tmp_path, among=among), 0, cache=tmp_path).notes() or []
        assert [note.text for note in notes[1:]] == told


def test_damaged_opinions_are_counted_and_no_usual_thing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    store = MemoryStore()
    say(store, said(1), said(2), said(3))
    keys = [info.key for info in store.list("traffic/")]
    store.put(keys[1], store.get(keys[1])[:-9])
    first, second = source(store, tmp_path).notes() or []
    assert (first.text, first.usual) == ("2 opinions of people gave 2 rows", True)
    assert (second.text, second.usual) == (
        "opinions that are damaged and left out: 1; the log names their objects",
        False,
    )
    assert f"{keys[1]} is damaged" in caplog.text


def test_a_quiz_whose_questions_were_all_judged_apart_is_said_to_be(tmp_path: Path) -> None:
    store = MemoryStore()
    say(store, quiz(1), quiz(1, "unclear", question=1), quiz(1, "good", question=2))
    (note,) = source(store, tmp_path, task="mcq").notes() or []
    assert note.text == "3 opinions of people gave 1 row; these gave none: judged question by question 1, unclear 1"


def test_the_newest_opinion_comes_first_and_a_limit_takes_corrections_before_praise(tmp_path: Path) -> None:
    days = [f"2026-11-{day:02}T12:00:00+00:00" for day in (3, 9, 5)]
    opinions = [said(n, at=at) for n, at in enumerate(days)] + [said(7, "good", at=days[1])]
    rows = every_row("summarize", opinions)
    assert [row["article"] for row in rows] == [said(n).text for n in (1, 2, 0, 7)]
    store = MemoryStore()
    say(store, *opinions)
    found = source(store, tmp_path, rows={"train": 2})
    assert [row.value for row in found.rows("train")] == rows[:2]


def test_corrections_are_read_before_other_sources_and_praise_behind_them(tmp_path: Path) -> None:
    store = MemoryStore()
    say(store, said(1), said(2, "good"), said(3, "unclear"))
    other = SourceConfig(task="summarize", uri="demo")
    whole = taken(SourceConfig(task="summarize", uri=f"feedback:{MODEL}"), store, tmp_path)
    sources = corrected_first([other, whole])
    assert sources[1] == other
    parts = [open_source(its, 1, cache=tmp_path) for its in (sources[0], sources[2])]
    texts = [[row.value["article"] for row in its.rows("train") if isinstance(row.value, dict)] for its in parts]
    assert texts == [[said(1).text], [said(2).text]]
    assert [len(its.notes() or []) for its in parts] == [1, 0], "told once"
    assert parts[0].describe() == parts[1].describe() == open_source(whole, 1, cache=tmp_path).describe()
    assert parts[0].stamp() != parts[1].stamp()


def test_a_snapshot_stays_what_it_was(tmp_path: Path) -> None:
    store = MemoryStore()
    say(store, said(1), said(2))
    first = taken(SourceConfig(task="summarize", uri=f"feedback:{MODEL}"), store, tmp_path)
    stamp = open_source(first, 1, cache=tmp_path).stamp()
    say(store, said(3))
    opened = open_source(first, 1, cache=tmp_path)
    assert taken(first, store, tmp_path) == first
    assert (len(list(opened.rows("train"))), opened.stamp()) == (2, stamp)
    now = source(store, tmp_path)
    assert (len(list(now.rows("train"))), now.splits()) == (3, ("train",))
    assert now.stamp() != stamp and now.describe().sha256 != opened.describe().sha256
    assert now.describe().uri == opened.describe().uri == address(first.uri) == f"feedback:{MODEL}"


def test_hashes_are_of_what_was_said_and_not_of_who_or_when(tmp_path: Path) -> None:
    one, other = MemoryStore(), MemoryStore()
    say(one, said(1), said(2))
    say(other, *(said(n, id=f"{n + 7:032x}", at="2026-01-01T00:00:00Z", origin="api", version=9) for n in (1, 2)))
    first, second = (source(its, tmp_path / str(number)) for number, its in enumerate((one, other)))
    assert first.describe() == second.describe() and first.stamp() == second.stamp()
    chunks = [its.chunks("train", 4, lambda chunk: False) for its in (first, second)]
    assert [chunk.content for chunk in chunks[0]] == [chunk.content for chunk in chunks[1]]
    assert said(1).id not in json.dumps([dict(row.value) for row in first.rows("train") if isinstance(row.value, dict)])


def test_it_is_all_train_unless_another_split_is_named(tmp_path: Path) -> None:
    store = MemoryStore()
    assert source(store, tmp_path).splits() == ()
    say(store, said(1))
    assert source(store, tmp_path).splits() == ("train",)
    assert source(store, tmp_path, files={"validation": "feedback"}).splits() == ("validation",)
    assert source(store, tmp_path, rows={"train": 1}).splits() == ("train",)


def test_a_share_of_the_texts_can_be_held_out_and_stays_so(tmp_path: Path) -> None:
    store = MemoryStore()
    say(store, *(said(n) for n in range(200)))
    held: dict[str, Any] = {"files": {"validation": "20%"}}
    before = {
        split: [row.value for row in source(store, tmp_path, **held).rows(split)] for split in ("validation", "train")
    }
    assert 20 < len(before["validation"]) < 60 and len(before["train"]) == 200 - len(before["validation"])
    say(store, *(said(1000 + n) for n in range(200)), said(5000, text=said(1).text))
    after = source(store, tmp_path, **held)
    assert after.splits() == ("train", "validation")
    for split, rows in before.items():
        found = [row.value for row in after.rows(split)]
        assert all(row in found for row in rows)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"files": {"validation": "a.jsonl"}}, "files of feedback say how much of it is held out"),
        ({"files": {"validation": "100%"}}, "files of feedback say how much of it is held out"),
        ({"files": {"train": "feedback"}}, "files of feedback say how much of it is held out"),
        ({"files": {"validation": "feedback", "test": "20%"}}, "ask for more than there is"),
        ({"columns": {"article": "text"}}, "columns are not needed"),
        ({"encoding": "latin-1"}, "encoding is a property of files"),
    ],
)
def test_what_feedback_has_not_is_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SourceConfig.model_validate({"task": "mcq", "uri": "feedback", **fields})


@pytest.mark.parametrize("uri", ["feedback:", "feedback", "feedback:../x", "feedback:a/b"])
def test_a_model_has_to_be_named_well(uri: str, tmp_path: Path) -> None:
    with pytest.raises(MtlError) as caught:
        taken(SourceConfig(task="mcq", uri=uri), MemoryStore(), tmp_path)
    assert isinstance(caught.value, (NotFoundError, InputError))


def test_feedback_is_of_the_model_that_the_configuration_registers() -> None:
    sources = [{"task": "mcq", "uri": "feedback"}, {"task": "mcq", "uri": "feedback:other"}]
    config = parse_config({"data": {"sources": sources}, "register": {"model": "mine"}})
    assert [its.uri for its in config.data.sources] == ["feedback:mine", "feedback:other"]
    assert parse_config(config.model_dump(mode="json", by_alias=True)) == config


def test_without_a_snapshot_the_store_of_the_settings_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MTL_STORE", str(tmp_path / "store"))
    config = SourceConfig(task="mcq", uri=f"feedback:{MODEL}")
    assert open_source(config, 1, cache=tmp_path).splits() == ()
    with pytest.raises(NotFoundError, match="is gone from the cache"):
        open_source(SourceConfig(task="mcq", uri=f"feedback:{MODEL}@{'0' * 32}"), 1, cache=tmp_path)


def test_old_snapshots_are_removed(tmp_path: Path) -> None:
    store = MemoryStore()
    source(store, tmp_path)
    (folder,) = (tmp_path / "feedback" / MODEL).iterdir()
    say(store, said(1))
    source(store, tmp_path)
    assert folder.is_dir(), "somebody may still read it"
    os.utime(folder, (time.time() - 10**6,) * 2)
    source(store, tmp_path)
    assert not folder.exists()
