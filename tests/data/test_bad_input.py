"""Every kind of bad row is quarantined with its reason and field; every kind of bad data set is refused in words."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mtl.data.manifest import DatasetManifest
from mtl.errors import DataError
from mtl.sources import formats
from mtl.store.memory import MemoryStore
from mtl.tasks.text import MAX_CHARS
from tests.data.conftest import config, race_rows, write_race
from tests.support.rows import Row, article, question, write_jsonl

Run = Callable[..., DatasetManifest]
LONG = "word " * (MAX_CHARS // 5 + 1)
KNOWN = race_rows()["train"][0]
HELD = race_rows()["validation"][0]


def fresh(**fields: Any) -> Row:
    return question(99, passage="A passage of its own, that no other row has.", **fields)


@pytest.mark.parametrize(
    ("task", "row", "reason", "field"),
    [
        ("mcq", b'{"article": "caf\xe9"}', "not UTF-8", "line"),
        ("mcq", b'{"article": ', "not JSON", "line"),
        ("mcq", b'["a list"]', "not a JSON object", "line"),
        ("mcq", fresh(question="a\x00b"), "NUL bytes", "question"),
        ("mcq", fresh(article=7), "wrong type", "article"),
        ("mcq", fresh(options="A, B, C, D"), "wrong type", "options"),
        ("mcq", fresh(article=" \n"), "empty article", "article"),
        ("mcq", fresh(question=""), "no question", "question"),
        ("mcq", fresh(answer="E"), "answer outside A-D", "answer"),
        ("mcq", fresh(options=["a dog", "A dog", "b", "c"]), "repeated option", "options"),
        ("mcq", fresh(options=["a", "b", "c"]), "fewer than four options", "options"),
        ("mcq", fresh(article=LONG), "over length", "article"),
        ("mcq", fresh(question="why " * 1200), "question over max_target_tokens", "question"),
        ("mcq", KNOWN, "duplicate", "question"),
        ("mcq", HELD, "passage in validation", "article"),
        ("summarize", article(90, article=""), "empty article", "article"),
        ("summarize", article(90, highlights=" \n "), "empty highlights", "highlights"),
        ("summarize", article(90, highlights=None), "missing value", "highlights"),
        ("summarize", article(90, article=LONG), "over length", "article"),
        ("summarize", article(90, highlights="so " * 1200), "highlights over max_target_tokens", "highlights"),
        ("summarize", article(0), "duplicate", "article"),
        ("summarize", article(0, highlights="Another one."), "second summary", "article"),
        ("summarize", article(5), "passage in validation", "article"),
    ],
)
def test_a_bad_row(folder: Path, run: Run, store: MemoryStore, task: str, row: Any, reason: str, field: str) -> None:
    good = run(config(folder)).counts[task]["train"]
    rows = {"mcq": race_rows()["train"], "summarize": [article(n) for n in range(5)]}[task]
    home = folder / {"mcq": "race", "summarize": "news"}[task]
    write_jsonl(home / "train.jsonl", [*rows, row])
    manifest = run(config(folder, max_bad_share=0.5))
    lines = store.get(f"datasets/{manifest.fingerprint}/quarantine.jsonl").splitlines()
    found = [json.loads(line) for line in lines]
    assert [{name: value for name, value in line.items() if name != "detail"} for line in found] == [
        {"task": task, "split": "train", "reason": reason, "field": field, "origin": f"train.jsonl:{len(rows) + 1}"}
    ]
    assert manifest.quarantine == {reason: 1}
    counts = manifest.counts[task]["train"]
    assert (counts.rows, counts.quarantined) == (good.rows + 1, 1)
    assert (counts.kept, counts.merged, counts.examples) == (good.kept, good.merged, good.examples)


def test_a_document_without_a_question(folder: Path, run: Run) -> None:
    documents = folder / "race" / "train" / "middle"
    (folder / "race" / "train.jsonl").unlink()
    documents.mkdir(parents=True)
    lists = {"questions": ["Tom has _ ."], "options": [["a", "b", "c", "d"]], "answers": ["A"]}
    for number in range(4):
        its = {name: [] for name in lists} if number == 3 else lists
        (documents / f"{number}.txt").write_text(json.dumps({"article": f"Tom has {number} dogs.", **its}))
    manifest = run(config(folder))
    assert manifest.quarantine == {"no question": 1}
    assert manifest.counts["mcq"]["train"].rows == 4


def bomb(race: Path) -> None:
    (race / "train.jsonl.gz").write_bytes(gzip.compress(b"\n" * 2**21))
    (race / "train.jsonl").unlink()


def link(race: Path) -> None:
    secret = write_jsonl(race.parent / "secret.jsonl", race_rows()["train"])
    (race / "train.jsonl").unlink()
    (race / "train.jsonl").symlink_to(secret)


def empty(race: Path) -> None:
    for path in race.iterdir():
        path.write_bytes(b"")


def all_bad(race: Path) -> None:
    write_race(race, train=[question(n, answer="E") for n in range(3)], validation=[b"{"])


def many_bad(race: Path) -> None:
    write_race(race, train=[*race_rows()["train"], *(question(n, answer="E") for n in range(5))])


def no_column(race: Path) -> None:
    rows = [{name: value for name, value in row.items() if name != "options"} for row in race_rows()["train"]]
    write_race(race, train=rows)


@pytest.mark.parametrize(
    ("spoil", "message", "fields"),
    [
        (empty, "train.jsonl is an empty file, but its name says jsonl", {}),
        (
            all_bad,
            "source {race} of mcq: 4 of 4 rows are bad (all, allowed 100.0%): answer outside A-D 3, not JSON 1\n"
            "  answer outside A-D: first in train.jsonl:1, field answer: got 'E', expected A, B, C or D\n"
            "  not JSON: first in validation.jsonl:1, field line: got '{', expected a JSON object",
            {"max_bad_share": 1.0},
        ),
        (
            many_bad,
            "source {race} of mcq: 5 of 20 rows are bad (25.0%, allowed 20.0%): answer outside A-D 5\n"
            "  answer outside A-D: first in train.jsonl:13, field answer: got 'E', expected A, B, C or D",
            {},
        ),
        (
            no_column,
            "train.jsonl of {race}: no column 'options'; got answer, article, example_id, question",
            {"max_bad_share": 1.0},
        ),
        (bomb, "train.jsonl.gz: unpacks to more than 1048576 bytes, 200 times its size: a zip bomb?", {}),
        (link, "train.jsonl: a link out of the folder {race}", {}),
    ],
)
def test_a_bad_data_set(
    folder: Path,
    run: Run,
    store: MemoryStore,
    monkeypatch: pytest.MonkeyPatch,
    *,
    spoil: Callable[[Path], None],
    message: str,
    fields: dict[str, Any],
) -> None:
    monkeypatch.setattr(formats, "BOMB_FREE", 2**20)
    spoil(folder / "race")
    with pytest.raises(DataError) as caught:
        run(config(folder, **fields))
    assert caught.value.message == message.replace("{race}", str(folder / "race"))
    assert caught.value.exit_code == 2
    assert not list(store.list("datasets/")), "nothing half-written"
