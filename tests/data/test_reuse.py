"""Nothing changed: the data set is found. Something changed meanwhile: it is not believed."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from mtl.data.dataset import open_dataset
from mtl.data.manifest import DatasetManifest, manifest_key
from mtl.errors import DamageError, TransientError
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
    key = manifest_key(first.fingerprint)
    whole = store.get(key)
    rotten = {"digit": whole.replace(b'"rows":', b'"rows":1', 1), "cut": whole[:-9], "zero": bytes(len(whole))}
    store.put(key, rotten[damage])
    with pytest.raises(DamageError, match=r"manifest.json is damaged: .*\n  prepare the data set again"):
        open_dataset(store, first.fingerprint, tmp_path / "cache")
    assert run(config(folder)) == first
    assert store.get(key) == whole


def test_a_manifest_of_an_earlier_version_is_read(folder: Path, run: Run, store: MemoryStore, tmp_path: Path) -> None:
    first = run(config(folder))
    store.put(manifest_key(first.fingerprint), canonical_json(first.to_dict()))
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
    assert not list(store.list("datasets/"))


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
        "from mtl.chain import learn; from mtl.config.retrain import load_config\n"
        "print(learn.prepare(load_config(Path(sys.argv[1])))['fingerprint'])\n"
        "print(*sorted({'torch', 'transformers', 'pandas'} & set(sys.modules)))"
    )
    seen = []
    for _ in range(2):
        command = [sys.executable, "-c", code, str(conf)]
        done = subprocess.run(command, env={**os.environ, "MTL_HOME": str(tmp_path / "home")}, capture_output=True)
        seen.append(done.stdout.decode().splitlines())
    assert seen[0][0] == seen[1][0]
    assert "transformers" in seen[0][1] and seen[1][1] == ""
