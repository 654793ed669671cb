from __future__ import annotations

import os
from pathlib import Path
from unicodedata import normalize

import pytest

from mtl.errors import InputError, NotFoundError
from mtl.fingerprint import sha256_json
from mtl.sources.names import few, fits, printable
from tests.sources.test_files import found, source
from tests.support.rows import write_jsonl

NFC, NFD = (normalize(form, "été") for form in ("NFC", "NFD"))


def test_printable_names_have_no_bytes_that_a_terminal_or_json_would_choke_on() -> None:
    name = printable(os.fsdecode(b"nouvelles_\xe9t\xe9\n\x1b[31m.jsonl"))
    assert name == r"nouvelles_\xe9t\xe9\x0a\x1b[31m.jsonl"
    assert printable("été 数据.jsonl") == "été 数据.jsonl"
    assert sha256_json(name)
    assert few(["a", "b", "c", "d", "e"]) == "a, b, c and 2 more"


def test_a_name_that_is_not_utf8_is_read_and_named(tmp_path: Path) -> None:
    folder = os.fsencode(tmp_path) + b"/d\xff"
    Path(os.fsdecode(folder)).mkdir()
    write_jsonl(Path(os.fsdecode(folder + b"/\xe9t\xe9_dev.jsonl")), [{"n": 1}])
    write_jsonl(Path(os.fsdecode(folder + b"/train.jsonl")), [{"n": 2}])
    its = source(tmp_path)
    assert found(its) == {"train": [2], "validation": [1]}
    assert [row.origin for row in its.rows("validation")] == [r"d\xff/\xe9t\xe9_dev.jsonl:1"]
    assert its.describe().sha256 and its.stamp()
    with pytest.raises(NotFoundError, match=r"known: d\\xff/\\xe9t\\xe9_dev.jsonl, d\\xff/train.jsonl"):
        source(tmp_path, files={"train": "x"})


@pytest.mark.parametrize(("asked", "stored"), [(NFC, NFD), (NFD, NFC)])
def test_accents_in_either_form_are_the_same_name(tmp_path: Path, asked: str, stored: str) -> None:
    write_jsonl(tmp_path / stored / f"{stored}_train.jsonl", [{"n": 1}])
    for uri in (asked, f"{asked}/{asked}_train.jsonl", f"{asked}/{asked}*.jsonl", f"*/{asked}*"):
        assert found(source(tmp_path / uri)) == {"train": [1]}, uri
    assert found(source(tmp_path, files={"test": f"{asked}/{asked}_train.jsonl"})) == {"test": [1]}
    assert found(source(tmp_path, files={"test": f"*/{asked}*.jsonl"})) == {"test": [1]}
    assert fits(f"a/{stored}.jsonl", f"a/{asked}.jsonl")


def test_brackets_in_names_are_no_pattern_where_such_a_file_is(tmp_path: Path) -> None:
    folder = tmp_path / "[v2] race"
    for number, name in enumerate(("train [1].jsonl", "dev [1].jsonl", "test2.jsonl")):
        write_jsonl(folder / name, [{"n": number}])
    everything = {"train": [0], "validation": [1], "test": [2]}
    assert found(source(folder)) == everything == found(source(f"{folder}/*.jsonl"))
    assert found(source(folder / "dev [1].jsonl")) == {"validation": [1]}
    assert found(source(f"{folder}/* [1].jsonl")) == {"train": [0], "validation": [1]}
    assert found(source(f"{folder}/test[0-9].jsonl")) == {"test": [2]}
    assert found(source(folder, files={"test": "train [1].jsonl"})) == {"test": [0]}
    assert fits("a/train [1].jsonl", "*/train [1].jsonl") and fits("a1", "a[0-9]")


def test_a_file_that_is_called_like_a_glob_does_not_hide_the_others(tmp_path: Path) -> None:
    for number, name in enumerate(("*.jsonl", "a.jsonl")):
        write_jsonl(tmp_path / name, [{"n": number}])
    assert (
        found(source(f"{tmp_path}/*.jsonl")) == {"train": [0, 1]} == found(source(tmp_path, files={"train": "*.jsonl"}))
    )


def test_what_is_no_glob_is_said(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"'a\*\*\.jsonl' is not a glob.*\n  `\*\*` stands alone between slashes"):
        source(f"{tmp_path}/a**.jsonl")


def test_two_stars_at_the_end_are_every_file_below(tmp_path: Path) -> None:
    """Up to Python 3.12 they match folders alone, from 3.13 on files too."""
    for name in ("train.jsonl", "b/train-2.jsonl"):
        (tmp_path / "a" / name).parent.mkdir(parents=True, exist_ok=True)
        write_jsonl(tmp_path / "a" / name, [{"n": 1}])
    assert found(source(f"{tmp_path}/**")) == found(source(f"{tmp_path}/**/*")) == {"train": [1, 1]}


def test_a_leading_tilde_is_the_home_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    write_jsonl(tmp_path / "news" / "train.jsonl", [{"n": 1}])
    for uri in ("~/news", "~/news/train.jsonl", "~/n*/*.jsonl"):
        its = source(uri)
        assert found(its) == {"train": [1]}
        assert its.describe().uri == uri, "what the manifest says is what was configured"
    with pytest.raises(NotFoundError, match="no file or folder '~no-such-user/news'"):
        source("~no-such-user/news")
