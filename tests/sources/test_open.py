from __future__ import annotations

import stat
import tarfile
import zipfile
from pathlib import Path

import pytest

from mtl.config.data import SourceConfig
from mtl.errors import DataError, NotFoundError
from mtl.sources.base import Source
from mtl.sources.files import FileSource
from mtl.sources.generated import DemoSource, split_seed
from mtl.sources.hub import HubSource
from mtl.sources.open import is_remote
from mtl.sources.open import open_source as open_at
from tests.support.rows import write_jsonl


def open_source(config: SourceConfig, seed: int) -> Source:
    return open_at(config, seed, cache=Path("unused"))


def config(uri: str, task: str = "mcq", **fields: object) -> SourceConfig:
    return SourceConfig.model_validate({"task": task, "uri": uri, **fields})


def test_the_uri_names_the_kind(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "a.jsonl", [])
    assert isinstance(open_source(config("demo"), 1), DemoSource)
    assert isinstance(open_source(config("hub:ehovy/race", revision="0" * 40), 1), HubSource)
    assert isinstance(open_source(config(str(tmp_path)), 1), FileSource)


@pytest.mark.parametrize("name", ["x.zip", "X.ZIP", "x.7z", "x.rar", "x.tar.bz2", "x.tar.xz"])
def test_other_archives_are_not_read_whatever_links_are_in_them(tmp_path: Path, name: str) -> None:
    link = zipfile.ZipInfo("train.jsonl")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(tmp_path / name, "w") as archive:
        archive.writestr(link, "/etc/passwd")
    with pytest.raises(
        DataError, match=rf"{name}: of archives only \.tar, \.tar\.gz, \.tgz, \.tar\.zst are read\n.*unpack it"
    ):
        open_source(config(str(tmp_path / name)), 1)
    with pytest.raises(NotFoundError, match="no data files in"):
        open_source(config(str(tmp_path)), 1).splits()


@pytest.mark.parametrize(
    ("uri", "message"),
    [
        ("demmo", r"no file or folder 'demmo'\n  did you mean 'demo'\?"),
        ("feedbak", r"no file or folder 'feedbak'\n  did you mean 'feedback'\?"),
        (
            "hubb:a/b",
            r"source 'hubb:a/b': unknown kind 'hubb'\n  did you mean 'hub'\?; a source is demo, feedback, hub:OWNER",
        ),
        ("ftp://a/b", "unknown kind 'ftp'"),
    ],
)
def test_unknown_sources(uri: str, message: str) -> None:
    with pytest.raises(NotFoundError, match=message):
        open_source(config(uri), 1)


def test_the_demo_corpus_counts_documents_and_its_splits_differ() -> None:
    its = open_source(config("demo", rows={"train": 5, "validation": 3}), 7)
    assert its.splits() == ("train", "validation")
    rows = {split: [row.value for row in its.rows(split)] for split in its.splits()}
    passages = {split: {row["article"] for row in values} for split, values in rows.items()}  # type: ignore[index]
    assert {split: len(texts) for split, texts in passages.items()} == {"train": 5, "validation": 3}
    assert not passages["train"] & passages["validation"]
    again = open_source(config("demo", rows={"train": 5, "validation": 3}), 7)
    assert [row.value for row in again.rows("train")] == rows["train"]
    assert again.stamp() == its.stamp() != open_source(config("demo"), 7).stamp()


def test_split_seeds_are_disjoint() -> None:
    seeds = {split_seed(seed, split) for seed in range(100) for split in ("train", "validation", "test")}
    assert len(seeds) == 300


def test_the_demo_corpus_has_no_rows_for_a_task_of_ones_own() -> None:
    with pytest.raises(NotFoundError, match="the demo corpus has no rows for task 'title'"):
        open_source(config("demo", task="title"), 1)


def test_a_colon_in_a_name_makes_no_kind_where_such_a_file_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_jsonl(tmp_path / "news:v2.jsonl", [])
    assert isinstance(open_source(config("news:v2.jsonl"), 1), FileSource)
    assert not is_remote("news:v2.jsonl") and is_remote("hub:a/b") and is_remote("s3://a/b")
    with pytest.raises(NotFoundError, match="unknown kind 'news'"):
        open_source(config("news:v3.jsonl"), 1)


def test_a_tilde_leads_to_archives_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    with tarfile.open(tmp_path / "x.tar", "w") as archive:
        archive.add(write_jsonl(tmp_path / "train.jsonl", [{"n": 1}]), "train.jsonl")
    its = open_source(config("~/x.tar"), 1)
    assert its.splits() == ("train",) and its.describe().uri == "~/x.tar"
