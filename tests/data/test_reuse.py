"""Nothing changed: the data set is found. Something changed meanwhile: it is not believed."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mtl import layout
from mtl.config.data import DataConfig
from mtl.data.dataset import open_dataset
from mtl.data.manifest import DatasetManifest
from mtl.errors import DamageError, DataError, TransientError
from mtl.fingerprint import canonical_json
from mtl.model.tokenizer import LazyTokenizer
from mtl.sources.files import FileSource
from mtl.store.memory import MemoryStore
from tests.data.conftest import config, race_rows
from tests.support.rows import question, write_jsonl

Run = Callable[..., DatasetManifest]
DEMO = Path(__file__).parents[2] / "mtl" / "model" / "demo_base"


def test_unchanged_inputs_are_found_without_reading_them(
    folder: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    first = run(config(folder), progress=lambda stage, n: told.append(stage))
    assert set(told) >= {"render", "put"} and "found" not in told
    monkeypatch.setattr(FileSource, "rows", None)
    told.clear()
    assert run(config(folder), progress=lambda stage, n: told.append(stage)) == first
    assert told == ["found"]


def test_without_the_note_the_data_set_is_found_by_its_content(folder: Path, run: Run, tmp_path: Path) -> None:
    told: list[str] = []
    first = run(config(folder))
    for damaged in (b"{", b"", b'{"fingerprint": "0"}'):
        for path in (tmp_path / "cache" / "prepared").iterdir():
            path.write_bytes(damaged)
        told.clear()
        assert run(config(folder), progress=lambda stage, n: told.append(stage)) == first
        assert told[-1] == "found" and "put" not in told


@pytest.mark.parametrize("damage", ["digit", "cut", "zero"])
def test_a_manifest_that_rotted_is_made_again(
    folder: Path, run: Run, store: MemoryStore, tmp_path: Path, damage: str
) -> None:
    first = run(config(folder))
    key = layout.dataset_manifest_key(first.fingerprint)
    whole = store.get(key)
    rotten = {"digit": whole.replace(b'"rows":', b'"rows":1', 1), "cut": whole[:-9], "zero": bytes(len(whole))}
    store.put(key, rotten[damage])
    with pytest.raises(DamageError, match=r"manifest.json is damaged: .*\n  prepare the data set again"):
        open_dataset(store, first.fingerprint, tmp_path / "cache")
    assert run(config(folder)) == first
    assert store.get(key) == whole


def test_a_manifest_of_an_earlier_version_is_read(folder: Path, run: Run, store: MemoryStore, tmp_path: Path) -> None:
    first = run(config(folder))
    store.put(layout.dataset_manifest_key(first.fingerprint), canonical_json(first.to_dict()))
    assert open_dataset(store, first.fingerprint, tmp_path / "cache").manifest == first


def test_a_touched_or_copied_file_is_found_by_its_hash(folder: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    first = run(config(folder))
    monkeypatch.setattr(FileSource, "rows", None)  # nothing may be read again
    for path in folder.rglob("*.jsonl"):
        os.utime(path, (1, 1))
    told: list[str] = []
    assert run(config(folder), progress=lambda stage, n: told.append(stage)) == first
    assert told == ["found"]
    monkeypatch.setattr(FileSource, "describe", None)  # and from then on not even hashed
    assert run(config(folder)) == first


def test_a_row_changed_in_place_is_seen_although_size_and_time_are_the_same(folder: Path, run: Run) -> None:
    first, path = run(config(folder)), folder / "race" / "train.jsonl"
    stat, text = path.stat(), path.read_text()
    path.write_text(text.replace("Tom has a dog", "Tim has a dog"))
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert path.stat().st_size == stat.st_size and path.stat().st_mtime_ns == stat.st_mtime_ns
    assert run(config(folder)).fingerprint != first.fingerprint


def write_documents(folder: Path, *, first: int = 0) -> Path:
    for number in range(first, first + 8):
        its: dict[str, Any] = {
            "article": f"Passage {number} of its own has {number} dogs.",
            "questions": [f"What is {number}?"],
        }
        its |= {"options": [["a", "b", "c", "d"]], "answers": ["A"]}
        write_jsonl(folder / f"{number}.txt", [its])
    return folder


def labels(manifest: DatasetManifest) -> set[str]:
    return set(manifest.counts["mcq"]["train"].by_difficulty)


def mcq(uri: Path, **fields: Any) -> DataConfig:
    source = {"task": "mcq", "uri": str(uri), **fields}
    return DataConfig.model_validate({"sources": [source], "difficulty": "levels", "near_duplicates": None})


def test_a_folder_that_is_renamed_or_copied_has_the_level_of_its_new_name(tmp_path: Path, run: Run) -> None:
    high = write_documents(tmp_path / "RACE" / "train" / "high")
    first = run(mcq(high))
    assert labels(first) == {"Medium"}
    middle = high.rename(high.with_name("middle"))
    second = run(mcq(middle))
    assert labels(second) == {"Easy"} and second.fingerprint != first.fingerprint
    college = Path(shutil.copytree(middle, tmp_path / "RACE-C"))
    assert labels(run(mcq(college))) == {"Hard"}
    again = middle.rename(high)
    assert run(mcq(again)) == first, "and the old name gives the old labels"


def test_an_archive_that_is_renamed_or_linked_has_the_level_of_its_new_name(tmp_path: Path, run: Run) -> None:
    folder = write_documents(tmp_path / "x")
    with tarfile.open(tmp_path / "race-high.tar", "w") as archive:
        archive.add(folder, "train")
    assert labels(run(mcq(tmp_path / "race-high.tar"))) == {"Medium"}
    (tmp_path / "race-middle.tar").symlink_to("race-high.tar")
    assert labels(run(mcq(tmp_path / "race-middle.tar"))) == {"Easy"}
    (tmp_path / "race-high.tar").rename(tmp_path / "RACE-C.tar")
    assert labels(run(mcq(tmp_path / "RACE-C.tar"))) == {"Hard"}


def test_a_pinned_sha256_does_not_let_another_level_pass(tmp_path: Path, run: Run) -> None:
    high = write_documents(tmp_path / "RACE" / "train" / "high")
    pin = run(mcq(high)).sources[0]["sha256"]
    assert labels(run(mcq(high, sha256=pin))) == {"Medium"}
    middle = high.rename(high.with_name("middle"))
    with pytest.raises(DataError, match=rf"middle of mcq changed: its sha256 is .*, expected {pin}"):
        run(mcq(middle, sha256=pin))


def test_a_file_of_another_name_is_read_as_that_name_says(tmp_path: Path, run: Run) -> None:
    rows = [question(n, passage=f"Passage {n} is like no other.") for n in range(6)]
    path = write_jsonl(tmp_path / "d" / "train.jsonl", rows)
    assert set(run(mcq(path.parent)).counts["mcq"]) == {"train"}
    write_jsonl(tmp_path / "d" / "more.train.jsonl", rows[3:])
    write_jsonl(path, rows[:3])
    first = run(mcq(path.parent))
    assert set(first.counts["mcq"]) == {"train"}
    (path.parent / "more.train.jsonl").rename(path.parent / "more.test.jsonl")
    assert set(run(mcq(path.parent)).counts["mcq"]) == {"train", "test"}
    path.rename(path.with_suffix(".csv"))
    with pytest.raises(DataError, match=r"train\.csv is JSON, not a table"):
        run(mcq(path.parent))


def test_other_choices_from_one_bucket_are_other_data(
    aws: str, s3_client: Any, bucket: str, tmp_path: Path, run: Run
) -> None:
    for name in ("a", "b"):
        path = write_jsonl(
            tmp_path / "s3" / f"{name}.jsonl", race_rows()["train"] * 2 if name == "b" else race_rows()["train"]
        )
        s3_client.upload_file(str(path), bucket, f"race/{path.name}")
    uri = f"s3://{bucket}/race"

    def rows(**fields: Any) -> int:
        source = {"task": "mcq", "uri": uri, **fields}
        manifest = run(DataConfig.model_validate({"sources": [source], "max_target_tokens": 1024, "max_bad_share": 1}))
        return manifest.counts["mcq"]["train"].rows

    found = [
        rows(files={"train": "a.jsonl"}),
        rows(files={"train": "b.jsonl"}),
        rows(files={"train": "b.jsonl"}, rows={"train": 5}),
    ]
    assert found == [12, 24, 5]


def test_what_another_release_read_is_read_again(folder: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    first = run(config(folder))
    monkeypatch.setattr("mtl.data.prepare.sha256_sources", lambda modules: f"another {modules}")
    told: list[str] = []
    assert run(config(folder), progress=lambda stage, n: told.append(stage)) == first
    assert "read" in told, "its readers may have been others"


def test_notes_are_told_whether_the_data_set_is_made_or_found(tmp_path: Path, run: Run) -> None:
    folder = write_documents(tmp_path / "d" / "high")
    with tarfile.open(tmp_path / "high.tar", "w") as archive:
        archive.add(write_documents(tmp_path / "other", first=8), "train")
        archive.add(__file__, "x.py")
    (folder / "old.zip").touch()
    sources = [{"task": "mcq", "uri": str(uri)} for uri in (folder, tmp_path / "high.tar")]
    data = DataConfig.model_validate({"sources": sources, "max_bad_share": 1})

    def told() -> list[tuple[str, str]]:
        said: list[tuple[str, str]] = []
        run(data, tell_note=lambda source, note: said.append((Path(source.uri).name, note.name)))
        return [(uri, name) for uri, name in said if name]

    first = told()
    assert first == [("high", "old.zip"), ("high.tar", "x.py")] == told()
    (folder / "new.zip").touch()
    assert told() == [("high", "new.zip"), *first]
    os.utime(folder / "1.txt", (1, 1))  # found by its hash then
    assert told() == [("high", "new.zip"), *first] == told()


def test_a_file_that_comes_while_it_is_read_gives_no_data_set(folder: Path, run: Run, store: MemoryStore) -> None:
    def meanwhile(stage: str, n: int) -> None:
        if stage == "render":
            write_jsonl(folder / "race" / "train2.jsonl", [question(99)])

    with pytest.raises(TransientError, match="race of mcq changed while it was read"):
        run(config(folder), progress=meanwhile)
    assert not list(store.list(layout.DATASETS))


@pytest.mark.parametrize("change", ["grows", "is gone"])
def test_a_source_that_changes_while_it_is_read_gives_no_data_set(
    folder: Path, run: Run, store: MemoryStore, change: str
) -> None:
    path = folder / "race" / "train.jsonl"

    def meanwhile(stage: str, n: int) -> None:
        if stage == "render" and path.exists():
            write_jsonl(path, [*race_rows()["train"], question(99)]) if change == "grows" else path.unlink()

    with pytest.raises(TransientError, match="race of mcq changed while it was read") as caught:
        run(config(folder), progress=meanwhile)
    assert "prepare again" in str(caught.value.hint)
    assert not list(store.list(layout.DATASETS))


def test_what_is_found_is_found_without_loading_a_tokenizer(folder: Path, run: Run) -> None:
    lazy = LazyTokenizer(str(DEMO), ("<summarize>", "<mcq>"), None)
    first = run(config(folder), tokenizer=lazy, tokenizer_stamp=lazy.stamp())
    assert "_loaded" in vars(lazy)
    again = LazyTokenizer(str(DEMO), ("<summarize>", "<mcq>"), None)
    assert run(config(folder), tokenizer=again, tokenizer_stamp=again.stamp()) == first
    assert "_loaded" not in vars(again)


def test_a_tokenizers_stamp_follows_its_files_and_tokens(tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").write_text("{}")
    seen = {LazyTokenizer(str(tmp_path), tokens, None).stamp() for tokens in (("<a>",), ("<b>",), ("<a>", "<b>"))}
    (tmp_path / "tokenizer.json").write_text("{ }")
    seen.add(LazyTokenizer(str(tmp_path), ("<a>",), None).stamp())
    seen |= {LazyTokenizer("owner/name", ("<a>",), revision).stamp() for revision in ("1", "2")}
    assert len(seen) == 6
    assert LazyTokenizer("owner/name", ("<a>",), None).stamp() is None, "a name without a revision may change"


def test_a_second_mtl_prepare_imports_no_torch_and_no_transformers(tmp_path: Path) -> None:
    conf = tmp_path / "conf.yaml"
    rows = "rows: {train: 20, validation: 5}"
    conf.write_text(
        f"seed: 1\nmodel: {{base: demo}}\ndata: {{sources: [{{task: mcq, uri: demo, {rows}}}]}}\n", encoding="utf-8"
    )
    code = (
        "import sys; from pathlib import Path\n"
        "from mtl.config.retrain import load_config; from mtl.pipeline.prepare import prepare\n"
        "from mtl.workspace import open_workspace\n"
        "print(prepare(open_workspace(), load_config(Path(sys.argv[1]))).fingerprint)\n"
        "print(*sorted({'torch', 'transformers', 'pandas'} & set(sys.modules)))"
    )
    seen = []
    for _ in range(2):
        command = [sys.executable, "-c", code, str(conf)]
        done = subprocess.run(command, env={**os.environ, "MTL_HOME": str(tmp_path / "home")}, capture_output=True)
        seen.append(done.stdout.decode().splitlines())
    assert seen[0][0] == seen[1][0]
    assert "transformers" in seen[0][1] and seen[1][1] == ""
