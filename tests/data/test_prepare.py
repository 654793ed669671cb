from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mtl.config.data import DataConfig
from mtl.data.dataset import open_dataset
from mtl.data.manifest import DatasetManifest
from mtl.errors import DataError, NotFoundError
from mtl.store.memory import MemoryStore
from mtl.tasks.mcq_form import parse
from tests.data.conftest import config, race_rows, write_race
from tests.support.rows import article, question, write_jsonl
from tests.support.words import word_tokenizer

Run = Callable[..., DatasetManifest]
KEYS = {"fingerprint", "sources", "scheme", "tokenizer", "counts", "quarantine", "truncated", "lengths", "files"}


def quarantine(store: MemoryStore, manifest: DatasetManifest) -> list[dict[str, str]]:
    data = store.get(f"datasets/{manifest.fingerprint}/quarantine.jsonl")
    return [json.loads(line) for line in data.splitlines()]


def test_manifest(folder: Path, run: Run) -> None:
    document = run(config(folder)).to_dict()
    assert set(document) >= KEYS
    assert document["scheme"] == "overlap-1"
    train = document["counts"]["mcq"]["train"]
    assert {key: train[key] for key in ("rows", "kept", "merged", "quarantined")} == {
        "rows": 12,
        "kept": 6,
        "merged": 6,
        "quarantined": 0,
    }
    assert train["by_difficulty"] == {"Easy": 6, "Medium": 6}
    assert document["counts"]["summarize"]["validation"]["examples"] == 2
    assert [(source["task"], source["uri"]) for source in document["sources"]] == [
        ("mcq", str(folder / "race")),
        ("summarize", str(folder / "news")),
    ]
    assert set(document["lengths"]["mcq"]) == {"inputs", "targets"}
    assert set(document["lengths"]["mcq"]["inputs"]) == {"mean", "median", "p90", "p99", "max"}


def test_files_are_named_and_put_before_the_manifest(folder: Path, run: Run, tmp_path: Path) -> None:
    puts: list[str] = []
    store = MemoryStore(before=lambda operation, key: puts.append(key) if operation.startswith("put") else None)
    manifest = run(config(folder, shard_rows=4), store=store)
    names = [entry.path for entry in manifest.files]
    assert names[-1] == "quarantine.jsonl"
    assert {"mcq-train-0.parquet", "mcq-train-1.parquet", "mcq-validation-0.parquet"} <= set(names)
    assert puts == [f"datasets/{manifest.fingerprint}/{name}" for name in [*names, "manifest.json"]]
    assert not list((tmp_path / "cache" / "scratch").glob("work-*"))


def test_every_bad_row_is_counted_with_its_reason_and_place(folder: Path, run: Run, store: MemoryStore) -> None:
    rows = race_rows()["train"]
    bad: list[Any] = [b"\xff", b"{", {**rows[0], "answer": "E"}, {**rows[0], "options": ["a", "a", "b", "c"]}]
    bad += [rows[0], {**rows[0], "question": "a\x00"}, race_rows()["validation"][0]]
    write_race(folder / "race", train=[*rows, *bad])
    manifest = run(config(folder, max_bad_share=0.5))
    counts = manifest.counts["mcq"]["train"]
    assert (counts.rows, counts.kept, counts.merged, counts.quarantined) == (19, 6, 6, 7)
    found = quarantine(store, manifest)
    assert sorted((line["reason"], line["field"], line["origin"]) for line in found) == [
        ("NUL bytes", "question", "train.jsonl:18"),
        ("answer outside A-D", "answer", "train.jsonl:15"),
        ("duplicate", "question", "train.jsonl:17"),
        ("not JSON", "line", "train.jsonl:14"),
        ("not UTF-8", "line", "train.jsonl:13"),
        ("passage in validation", "article", "train.jsonl:19"),
        ("repeated option", "options", "train.jsonl:16"),
    ]
    assert manifest.quarantine == {line["reason"]: 1 for line in found}


def test_a_passage_stays_on_the_side_of_evaluation(folder: Path, run: Run, store: MemoryStore, tmp_path: Path) -> None:
    shouted = [{**row, "article": row["article"].upper() + "!"} for row in race_rows()["validation"]]
    write_race(folder / "race", train=[*race_rows()["train"], *shouted], test=race_rows()["validation"][2:])
    manifest = run(config(folder, max_bad_share=1.0))
    assert manifest.quarantine == {"passage in test": 2, "passage in validation": 2}
    assert manifest.counts["mcq"]["test"].kept == manifest.counts["mcq"]["validation"].kept == 1
    data = open_dataset(store, manifest.fingerprint, tmp_path)
    passages = {
        split: {example.meta["passage"] for example in data.examples("mcq", split)}
        for split in ("train", "validation", "test")
    }
    assert sum(map(len, passages.values())) == len(set.union(*passages.values()))


def test_holdout_makes_a_split_where_the_source_has_none(folder: Path, run: Run) -> None:
    write_jsonl(folder / "news" / "train.jsonl", [article(n) for n in range(200)])
    (folder / "news" / "validation.jsonl").unlink()
    counts = run(config(folder, holdout={"validation": 0.2})).counts
    held, train = counts["summarize"]["validation"], counts["summarize"]["train"]
    assert 20 < held.kept < 60 and held.kept + train.kept == 200
    assert counts["mcq"]["validation"].rows == 3


def test_holdout_is_the_same_under_every_seed(folder: Path, run: Run, store: MemoryStore, tmp_path: Path) -> None:
    """Or a champion would be judged on passages that it was trained on."""
    write_jsonl(folder / "news" / "train.jsonl", [article(n) for n in range(200)])
    (folder / "news" / "validation.jsonl").unlink()
    held = []
    for seed in (1, 2):
        made = open_dataset(
            store, run(config(folder, holdout={"validation": 0.2}), seed=seed).fingerprint, tmp_path / "c"
        )
        held.append({example.targets for example in made.examples("summarize", "validation")})
    assert held[0] == held[1]
    assert len(held[0]) > 20


@pytest.mark.parametrize("name", ["jsonl.gz", "csv", "parquet"])
def test_the_same_rows_from_another_path_and_format_are_the_same_data_set(
    folder: Path, run: Run, tmp_path: Path, name: str
) -> None:
    first = run(config(folder))
    other = tmp_path / "copy" / "race"
    other.mkdir(parents=True)
    for split, rows in race_rows().items():
        _write(other / f"{split}.{name}", rows)
    (tmp_path / "copy" / "news").symlink_to(folder / "news")
    again = run(config(tmp_path / "copy"), store=MemoryStore(), cache=tmp_path / "cache2")
    assert again.fingerprint == first.fingerprint
    assert again.files == first.files


def _write(path: Path, rows: list[dict[str, Any]]) -> None:
    import csv
    import gzip

    import pyarrow as pa
    import pyarrow.parquet as pq

    if path.name.endswith(".parquet"):
        pq.write_table(pa.Table.from_pylist(rows), path)
    elif path.name.endswith(".gz"):
        path.write_bytes(gzip.compress("\n".join(map(json.dumps, rows)).encode()))
    else:
        with path.open("w", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)


def test_whatever_decides_the_examples_decides_the_fingerprint(
    folder: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mtl.tasks import table

    seen = {"base": run(config(folder)).fingerprint}
    seen["seed"] = run(config(folder), seed=6).fingerprint
    seen["scheme"] = run(config(folder, difficulty="levels")).fingerprint
    seen["input"] = run(config(folder, max_input_tokens=64)).fingerprint
    seen["target"] = run(config(folder, max_target_tokens=1000)).fingerprint
    seen["dropout"] = run(config(folder, instruction_dropout=0.5)).fingerprint
    seen["requests"] = run(config(folder, requests={"all": 1.0})).fingerprint
    seen["tokenizer"] = run(config(folder), tokenizer=word_tokenizer(extra=["ab"])).fingerprint
    with monkeypatch.context() as patch:
        patch.setitem(table.TASKS, "mcq", replace(table.TASKS["mcq"], version=0))
        seen["version"] = run(config(folder)).fingerprint
    rows = race_rows()["train"]
    write_race(folder / "race", train=[{**rows[0], "answer": "B"}, *rows[1:]])
    seen["row"] = run(config(folder)).fingerprint
    write_race(folder / "race", train=[*rows, {**rows[0], "answer": "E"}])
    seen["bad row"] = run(config(folder)).fingerprint
    write_race(folder / "race", train=[*rows, {**rows[0], "answer": "F"}])
    seen["other bad row"] = run(config(folder)).fingerprint
    assert len(set(seen.values())) == len(seen)
    write_race(folder / "race")
    assert run(config(folder, max_bad_share=0.9, mixture={"kind": "capped", "cap": 3})).fingerprint == seen["base"]


@pytest.mark.parametrize("key", ["parquet", "quarantine", "manifest"])
def test_a_put_that_fails_leaves_no_data_set_and_the_next_try_makes_the_same_one(
    folder: Path, run: Run, tmp_path: Path, key: str
) -> None:
    expected = run(config(folder), cache=tmp_path / "other")

    def fail(operation: str, name: str) -> None:
        if operation.startswith("put") and key in name:
            raise ConnectionError("cut")

    store = MemoryStore(before=fail)
    with pytest.raises(ConnectionError):
        run(config(folder), store=store)
    assert not any(info.key.endswith("manifest.json") for info in store.list("datasets/"))
    store.before = lambda operation, name: None
    assert run(config(folder), store=store) == expected


@pytest.mark.parametrize(
    ("rows", "fields", "message"),
    [
        ([], {}, "train.jsonl is an empty file, but its name says jsonl"),
        (
            [{"example_id": "1", "article": "a b", "question": "c"}],
            {},
            "train.jsonl of {folder}/race: no columns 'options', 'answer'; got article, example_id, question",
        ),
        (
            [question(1, answer="E"), question(2, article="")],
            {"max_bad_share": 1.0},
            "task mcq has no training example: 5 rows, 2 quarantined (answer outside A-D 1, empty article 1); "
            "rows by split: {'train': 2, 'validation': 3}\n"
            "  answer outside A-D: first in train.jsonl:1, field answer: got 'E', expected A, B, C or D\n"
            "  empty article: first in train.jsonl:2, field article: got '', expected words",
        ),
        (
            [question(1, answer="E"), question(2, answer="E"), question(3)],
            {},
            "source {folder}/race of mcq: 2 of 6 rows are bad (33.3%, allowed 20.0%): answer outside A-D 2\n"
            "  answer outside A-D: first in train.jsonl:1, field answer: got 'E', expected A, B, C or D",
        ),
        (
            [question(1), question(1), question(1), question(1)],
            {},
            "source {folder}/race of mcq: 3 of 7 rows are bad (42.9%, allowed 20.0%): duplicate 3\n"
            "  duplicate: first in train.jsonl:2, field question",
        ),
    ],
)
def test_data_that_must_not_be_trained_on_are_refused_with_the_counts(
    folder: Path, run: Run, store: MemoryStore, rows: list[Any], fields: dict[str, Any], message: str
) -> None:
    write_race(folder / "race", train=rows)
    with pytest.raises(DataError) as caught:
        run(config(folder, **fields))
    assert caught.value.message == message.replace("{folder}", str(folder))
    assert not list(store.list("datasets/"))
    assert not list((folder / "cache" / "scratch").glob("work-*"))


def test_a_source_that_changed_is_refused_if_its_hash_was_given(folder: Path, run: Run) -> None:
    data = config(folder).model_dump()
    data["sources"][0]["sha256"] = run(config(folder)).sources[0]["sha256"]
    assert run(DataConfig.model_validate(data))
    rows = race_rows()["train"]
    write_race(folder / "race", train=rows[:-1])
    with pytest.raises(
        DataError, match=r"source .*race of mcq changed: its sha256 is [0-9a-f]{64}, expected [0-9a-f]{64}"
    ):
        run(DataConfig.model_validate(data))


def test_an_unknown_task_gets_a_suggestion(folder: Path, run: Run) -> None:
    data = DataConfig.model_validate({"sources": [{"task": "mqc", "uri": str(folder / "race")}]})
    with pytest.raises(NotFoundError, match=r"no task 'mqc'\n  did you mean 'mcq'\?"):
        run(data)


def test_long_inputs_are_cut_at_the_end_and_counted_and_targets_never(
    folder: Path, run: Run, store: MemoryStore, tmp_path: Path
) -> None:
    manifest = run(config(folder, max_input_tokens=40))
    data = open_dataset(store, manifest.fingerprint, tmp_path)
    assert manifest.truncated == {"mcq": 1.0, "summarize": 1.0}
    for task in ("mcq", "summarize"):
        for row in data.table(task, "train").to_pylist():
            assert len(row["input_ids"]) == 40 and row["input_ids"][-1] == row["labels"][-1] == 1
    for example in data.examples("mcq", "train"):
        assert parse(example.targets)


def test_two_sources_of_one_task_join_their_passages(folder: Path, run: Run, tmp_path: Path) -> None:
    rows = race_rows()["train"]
    for level in ("middle", "high"):
        its = [row for row in rows if row["example_id"].startswith(level)]
        write_jsonl(tmp_path / level / "train.jsonl", its)
    sources = [{"task": "mcq", "uri": str(tmp_path / level)} for level in ("middle", "high")]
    counts = run(DataConfig.model_validate({"sources": sources, "max_target_tokens": 1024})).counts["mcq"]["train"]
    assert (counts.rows, counts.kept, counts.merged) == (12, 6, 6)


def test_what_the_vocabulary_cannot_hold_is_counted(folder: Path, run: Run) -> None:
    assert run(config(folder)).unknown == {"mcq": 0.0, "summarize": 0.0}
    write_jsonl(folder / "news" / "train.jsonl", [article(n, article=f"Stadt {n} ≤ 漢字") for n in range(5)])
    assert run(config(folder)).unknown["summarize"] > 0
