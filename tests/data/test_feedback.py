"""Rows of people in a data set: what they count for, and that they never judge."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest

from mtl.cli.work import prepare_text
from mtl.config.data import DataConfig
from mtl.data.dataset import Dataset, open_dataset
from mtl.data.explain import explain
from mtl.data.manifest import DatasetManifest
from mtl.errors import DataError
from mtl.sources.base import Note
from mtl.store.memory import MemoryStore
from tests.data.conftest import config, race_rows
from tests.support.apart import Apart
from tests.support.feedback import MODEL, correction, quiz, said, say
from tests.support.rows import article, write_jsonl

Run = Callable[..., DatasetManifest]


def with_people(folder: Path, *, said_as: dict[str, Any] | None = None, **fields: Any) -> DataConfig:
    """The conftest's sources, then feedback of both tasks."""
    plain = config(folder, **fields).model_dump(mode="json", by_alias=True)
    more = [{"task": task, "uri": f"feedback:{MODEL}", **(said_as or {})} for task in ("mcq", "summarize")]
    return DataConfig.model_validate(plain | {"sources": [*plain["sources"], *more]})


@pytest.fixture
def dataset(store: MemoryStore, tmp_path: Path) -> Callable[[DatasetManifest], Dataset]:
    return lambda manifest: open_dataset(store, manifest.fingerprint, tmp_path / "cache")


def test_rows_of_people_are_counted_and_marked(folder: Path, run: Run, store: MemoryStore, dataset: Any) -> None:
    before = run(config(folder))
    assert run(with_people(folder)).fingerprint == before.fingerprint, "nobody said anything"
    opinions = [said(1), said(2, "good"), said(3, "unclear"), quiz(4), quiz(5, "wrong_key", question=1)]
    say(store, *opinions)
    manifest = run(with_people(folder))
    splits = {task: {split: its.feedback for split, its in of.items()} for task, of in manifest.counts.items()}
    assert splits == {"mcq": {"train": 2, "validation": 0}, "summarize": {"train": 2, "validation": 0}}
    assert manifest.from_people("train") == 4
    of_people = [its for its in manifest.sources if its["uri"] == f"feedback:{MODEL}"]
    assert [(its["task"], its["rows"]) for its in of_people] == [
        ("mcq", {}),
        ("summarize", {"train": 1}),
        ("mcq", {"train": 2}),
        ("summarize", {"train": 1}),
    ], "corrections, then what is good"
    for task in ("mcq", "summarize"):
        for split in ("train", "validation"):
            found = list(dataset(manifest).examples(task, split))
            people = [any(its.text in example.inputs for its in opinions) for example in found]
            assert [bool(example.meta.get("feedback")) for example in found] == people
            assert dataset(manifest).taught(task, split) == people
            assert any(people) == (split == "train")


def test_their_number_is_told(folder: Path, run: Run, store: MemoryStore, dataset: Any) -> None:
    say(store, said(1), said(2))
    manifest = run(with_people(folder))
    text = prepare_text(manifest.to_dict() | {"unpromotable": [], "notes": []}, config=Path("own.yaml"))
    assert [line for line in text.splitlines() if "from people" in line] == [
        "  summarize  train             7 rows: 7 kept, 0 merged, 0 quarantined -> 7 examples, 2 rows from people"
    ]
    assert "2 of the kept and merged rows are from people's feedback" in explain(dataset(manifest))


def test_nothing_says_who_it_was(folder: Path, run: Run, store: MemoryStore) -> None:
    bad = quiz(2, "corrected", question=1, correction=correction(1, options=["one", "one", "two", "six"]))
    say(store, said(1), bad)
    manifest = run(with_people(folder))
    assert manifest.quarantine == {"repeated option": 1}
    for info in store.list("datasets/"):
        data = store.get(info.key)
        assert not any(its.id.encode() in data or its.at.encode() in data for its in (said(1), bad))


@pytest.mark.parametrize("near", [False, True])
def test_what_people_said_of_a_held_out_text_is_dropped_and_the_held_out_example_stays(
    folder: Path, run: Run, store: MemoryStore, dataset: Any, near: bool
) -> None:
    words = " ".join(f"word{n}" for n in range(80))
    write_jsonl(folder / "news" / "validation.jsonl", [article(99, article=f"{words} end.")])
    judged = list(dataset(run(config(folder))).examples("summarize", "validation"))
    say(store, said(1, text=f"{words} {'fine' if near else 'end'}."), said(2))
    manifest = run(with_people(folder))
    assert list(dataset(manifest).examples("summarize", "validation")) == judged
    reason = "near-duplicate in validation" if near else "passage in validation"
    assert manifest.quarantine == {reason: 1}
    train = manifest.counts["summarize"]["train"]
    assert (train.quarantined, train.feedback) == (1, 1)


def test_holdout_takes_no_row_of_people(folder: Path, run: Run, store: MemoryStore, dataset: Any) -> None:
    """Neither a text that only people have, nor their word on one that is held out: then the others' rows judge."""
    (folder / "news" / "validation.jsonl").unlink()
    rows = [article(n) for n in range(40)]
    write_jsonl(folder / "news" / "train.jsonl", rows)
    held = config(folder, holdout={"validation": 0.5})
    before = run(held)
    judged = list(dataset(before).examples("summarize", "validation"))
    say(store, *(said(n) for n in range(40)), *(said(100 + n, text=rows[n]["article"]) for n in range(40)))
    manifest = run(with_people(folder, holdout={"validation": 0.5}))
    assert list(dataset(manifest).examples("summarize", "validation")) == judged
    counts = manifest.counts["summarize"]
    moved = before.counts["summarize"]["validation"].rows
    assert counts["validation"].rows == moved and counts["validation"].feedback == 0
    assert manifest.quarantine == {"passage in validation": moved, "second summary": 40 - moved}
    assert counts["train"].feedback == 40 + 40 - moved


def test_praise_of_an_answer_displaces_neither_a_reference_nor_a_correction(
    folder: Path, run: Run, store: MemoryStore, dataset: Any
) -> None:
    """A click on "good" is the least that anybody can say, and the answer is the model's own."""
    rows = [article(50 + n) for n in range(10)]
    write_jsonl(folder / "news" / "train.jsonl", rows)
    before = list(dataset(run(config(folder))).examples("summarize", "train"))
    nonsense = "Summary: Model nonsense."
    say(
        store,
        said(1, "good", text=rows[1]["article"], answer=nonsense),
        said(2, "good", text=rows[2]["article"], answer=nonsense),
        said(3, text=rows[2]["article"], correction="As a person has it."),
        *(said(n, text="Two people corrected this.", correction=f"Of day {n}.", at=f"2026-11-{n}") for n in (13, 12)),
    )
    manifest = run(with_people(folder))
    found = {example.inputs: example for example in dataset(manifest).examples("summarize", "train")}
    of = {n: next(its for text, its in found.items() if rows[n]["article"] in text) for n in (1, 2)}
    assert of[1] in before
    assert of[2].targets == "Summary: As a person has it." and of[2].meta["feedback"]
    assert [its.targets for text, its in found.items() if "Two people" in text] == ["Summary: Of day 13."]
    assert manifest.quarantine == {"second summary": 4}
    assert manifest.counts["summarize"]["train"].feedback == 2


def test_where_only_one_can_be_kept_it_is_what_people_said(
    folder: Path, run: Run, store: MemoryStore, dataset: Any
) -> None:
    row, question = article(1), race_rows()["train"][0]
    asked_again = correction(1, **{name: question[name] for name in ("question", "options")}, correct="C")
    say(
        store,
        said(1, text=row["article"]),
        quiz(2, "corrected", question=1, text=question["article"], correction=asked_again),
    )
    manifest = run(with_people(folder))
    targets = [its.targets for task in ("summarize", "mcq") for its in dataset(manifest).examples(task, "train")]
    assert f"Summary: {said(1).correction}" in targets
    assert any("Correct: C" in target for target in targets)
    assert manifest.quarantine == {"second summary": 1, "duplicate": 1}


@pytest.mark.parametrize(("said_it", "kept"), [("Easy", "Easy"), ("Medium", "Medium"), ("Hard", "Hard")])
def test_a_level_that_a_person_named_is_not_judged_again(
    folder: Path, run: Run, store: MemoryStore, said_it: str, kept: str
) -> None:
    before = run(config(folder)).counts["mcq"]["train"].by_difficulty
    say(store, quiz(1, "corrected", question=1, correction=correction(1, difficulty=said_it)))
    after = run(with_people(folder)).counts["mcq"]["train"].by_difficulty
    assert {label: after.get(label, 0) - before.get(label, 0) for label in after} == {
        label: int(label == kept) for label in after
    }


@pytest.mark.parametrize("near", [False, True])
@pytest.mark.parametrize("holdout", [{}, {"validation": 0.5}])
def test_held_out_examples_of_other_sources_stay_where_feedback_is_held_out_too(
    folder: Path, run: Run, store: MemoryStore, dataset: Any, near: bool, holdout: dict[str, float]
) -> None:
    """Whether the sources have the split themselves, or hold it out of train."""
    words = [" ".join(f"word{n}of{number}" for n in range(80)) for number in range(10)]
    rows = [article(n, article=f"{its} end.") for n, its in enumerate(words)]
    write_jsonl(folder / "news" / "validation.jsonl", rows)
    if holdout:
        (folder / "news" / "validation.jsonl").unlink()
        write_jsonl(folder / "news" / "train.jsonl", rows + [article(50 + n) for n in range(10)])
    judged = list(dataset(run(config(folder, holdout=holdout))).examples("summarize", "validation"))
    say(store, *(said(n, text=f"{its} {'fine' if near else 'end'}.") for n, its in enumerate(words)), said(99))
    as_test: dict[str, Any] = {"files": {"test": "feedback"}}
    manifest = run(with_people(folder, said_as=as_test, holdout=holdout))
    spoken_of = sum("word0of" in example.inputs for example in judged)
    assert spoken_of >= 3
    assert list(dataset(manifest).examples("summarize", "validation")) == judged
    reason = "near-duplicate in validation" if near else "passage in validation"
    assert manifest.quarantine[reason] == spoken_of
    assert manifest.counts["summarize"]["test"].examples == 10 - spoken_of + 1, "the others, which were train"


@pytest.mark.parametrize("near", [False, True])
def test_held_out_feedback_on_train_texts_does_not_stop_a_retrain(
    folder: Path, run: Run, store: MemoryStore, near: bool
) -> None:
    words = [" ".join(f"word{n}of{number}" for n in range(80)) for number in range(10)]
    write_jsonl(folder / "news" / "train.jsonl", [article(n, article=f"{its} end.") for n, its in enumerate(words)])
    say(store, *(said(n, text=f"{its} {'fine' if near else 'end'}.") for n, its in enumerate(words[:6])))
    manifest = run(with_people(folder, said_as={"files": {"validation": "feedback"}}))
    assert manifest.quarantine == {"near-duplicate in validation" if near else "passage in validation": 6}
    splits = manifest.counts["summarize"]
    assert (splits["train"].kept, splits["validation"].feedback) == (4, 6)


def test_they_judge_where_that_is_asked_for_by_name(folder: Path, run: Run, store: MemoryStore, dataset: Any) -> None:
    say(store, said(1), quiz(2))
    manifest = run(with_people(folder, said_as={"files": {"validation": "feedback"}}))
    found = {split: its.feedback for split, its in manifest.counts["mcq"].items()}
    assert found == {"train": 0, "validation": 2}
    assert sum(dataset(manifest).taught("mcq", "validation")) == 1


def test_bad_rows_of_people_stop_nothing(folder: Path, run: Run, store: MemoryStore) -> None:
    before = run(config(folder))
    wrong = {"options": ["one", "one", "one", "one"]}
    say(store, *(quiz(n, "corrected", question=1, correction=correction(1, **wrong)) for n in range(20)))
    notes: list[Note] = []
    manifest = run(with_people(folder), tell_note=lambda source, note: notes.append(note))
    assert manifest.quarantine == {"repeated option": 20}
    assert manifest.counts["mcq"]["train"].examples == before.counts["mcq"]["train"].examples
    assert notes[0].text == "20 opinions of people gave 20 rows"


def test_nothing_said_is_no_reason_to_stop_but_where_there_are_no_other_rows(
    folder: Path, run: Run, store: MemoryStore
) -> None:
    say(store, *(said(n) for n in range(40)))
    reference = run(with_people(folder))
    for info in list(store.list("traffic/")):
        store.delete(info.key)
    assert run(with_people(folder), reference=reference).counts["summarize"]["train"].feedback == 0
    alone = DataConfig.model_validate({"sources": [{"task": "mcq", "uri": f"feedback:{MODEL}"}]})
    with pytest.raises(DataError, match="task mcq has no training example"):
        run(alone)


def test_new_opinions_make_the_data_set_that_all_of_them_make_from_scratch(
    folder: Path, run: Run, store: MemoryStore, tmp_path: Path
) -> None:
    say(store, *(said(n) for n in range(9)), *(quiz(n) for n in range(100, 109)))
    first = run(with_people(folder))
    say(store, said(50), quiz(150), said(51, text=article(1)["article"]))
    told: dict[str, int] = {}
    manifest = run(with_people(folder), progress=lambda stage, n: told.update({stage: told.get(stage, 0) + n}))
    assert manifest.fingerprint != first.fingerprint and told["taken"] > 20
    files = {info.key: store.get(info.key) for info in store.list(f"datasets/{manifest.fingerprint}/")}
    for key in files:
        store.delete(key)
    for number, processes in enumerate((1, 2)):
        again = run(with_people(folder, processes=processes), cache=tmp_path / f"other-{number}")
        assert {info.key: store.get(info.key) for info in store.list(f"datasets/{again.fingerprint}/")} == files


def test_what_is_said_meanwhile_waits_for_the_next_time(folder: Path, run: Run, store: MemoryStore) -> None:
    say(store, said(1))

    def more(stage: str, number: int) -> None:
        if stage == "read":
            say(store, said(2), said(3))

    assert run(with_people(folder), progress=more).counts["summarize"]["train"].feedback == 1
    assert run(with_people(folder)).counts["summarize"]["train"].feedback == 3


def test_another_machine_needs_no_store_of_its_own(
    folder: Path, run: Run, store: MemoryStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    say(store, *(said(n) for n in range(9)), *(quiz(n) for n in range(100, 109)))
    alone = run(with_people(folder))
    files = {info.key: store.get(info.key) for info in store.list("datasets/")}
    for key in files:
        store.delete(key)
    monkeypatch.setenv("MTL_HOME", str(tmp_path / "elsewhere"))
    again = run(with_people(folder), cache=tmp_path / "two", runner=nullcontext(Apart(3)))
    assert again == alone
    assert {info.key: store.get(info.key) for info in store.list("datasets/")} == files


def test_counts_of_an_earlier_manifest_are_read(folder: Path, run: Run, store: MemoryStore) -> None:
    say(store, quiz(1, questions=1))
    document = run(with_people(folder)).to_dict()
    del document["counts"]["mcq"]["train"]["feedback"]
    assert DatasetManifest.model_validate(document).from_people("train") == 0
