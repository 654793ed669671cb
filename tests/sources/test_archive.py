from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path

import pyarrow as pa
import pytest

from mtl.errors import DataError, NotFoundError
from mtl.sources import formats
from mtl.sources.archive import ArchiveSource
from mtl.sources.base import Part
from mtl.task import BadRow

STORY = "LONDON (CNN) -- A dog\nwas found.\n\nIt barked.\n\n@highlight\n\nDog found\n\n@highlight\n\nIt barks\n"
RACE = {"article": "A b.", "questions": ["C?"], "options": [["a", "b", "c", "d"]], "answers": ["A"], "id": "1.txt"}


def pack(path: Path, members: dict[str, str], *, links: dict[str, str] | None = None) -> Path:
    mode = "w:gz" if path.name.endswith("gz") else "w"
    with tarfile.open(path, mode) as archive:  # type: ignore[call-overload]
        for name, text in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(text.encode())
            archive.addfile(info, io.BytesIO(text.encode()))
        for name, target in (links or {}).items():
            info = tarfile.TarInfo(name)
            info.type, info.linkname = tarfile.SYMTYPE, target
            archive.addfile(info)
    return path


def source(path: Path, **its: dict[str, str]) -> ArchiveSource:
    return ArchiveSource("any", path, uri=str(path), files=its.get("files", {}), limits={})


@pytest.mark.parametrize("name", ["RACE.tar", "RACE.tar.gz", "RACE.tgz"])
def test_race_from_its_archive(tmp_path: Path, name: str) -> None:
    members = {f"RACE/{split}/high/{n}.txt": json.dumps(RACE) for split in ("train", "dev") for n in range(3)}
    its = source(pack(tmp_path / name, {**members, "RACE/readme": "hello", "RACE/._1.txt": "x"}))
    assert its.splits() == ("train", "validation")
    rows = list(its.rows("train"))
    assert [row.origin for row in rows] == [f"RACE/train/high/{n}.txt:1" for n in range(3)]
    assert all(not isinstance(row.value, BadRow) and row.value["level"] == "high" for row in rows)


def test_stories_with_their_highlights(tmp_path: Path) -> None:
    its = source(pack(tmp_path / "cnn_stories.tgz", {"cnn/stories/ab12.story": STORY}))
    (row,) = its.rows("train")
    assert row.value == {
        "article": "LONDON (CNN) -- A dog\nwas found.\n\nIt barked.",
        "highlights": "Dog found\nIt barks",
        "id": "ab12",
    }


def test_parts_are_all_rows_once(tmp_path: Path) -> None:
    members = {f"train/{n}.story": STORY for n in range(7)} | {"train/x.jsonl": '{"n": 1}\n' * 600}
    its = source(pack(tmp_path / "x.tar", members))
    whole = [(row.number, row.line) for row in its.rows("train")]
    parts = [(row.number, row.line) for index in range(3) for row in its.rows("train", Part(index, 3))]
    assert len(whole) == 607 and sorted(parts) == sorted(whole) and whole == sorted(whole)


@pytest.mark.parametrize("name", ["../secret.jsonl", "a/../../secret.jsonl"])
def test_a_member_outside_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(DataError, match=r"x\.tar: '.*secret\.jsonl' leads out of the archive"):
        source(pack(tmp_path / "x.tar", {name: "{}"})).splits()


@pytest.mark.parametrize("target", ["/etc/passwd", "a.jsonl"])
def test_links_are_refused(tmp_path: Path, target: str) -> None:
    with pytest.raises(DataError, match=r"x\.tar: 'b\.jsonl' is a link"):
        source(pack(tmp_path / "x.tar", {"a.jsonl": "{}"}, links={"b.jsonl": target})).splits()


def test_hard_links_are_refused_and_nothing_is_unpacked(tmp_path: Path) -> None:
    path = pack(tmp_path / "x.tar", {"a.jsonl": "{}"})
    with tarfile.open(path, "a") as archive:
        link = tarfile.TarInfo("validation.jsonl")
        link.type, link.linkname = tarfile.LNKTYPE, "/etc/passwd"
        archive.addfile(link)
    with pytest.raises(DataError, match=r"x\.tar: 'validation\.jsonl' is a link(.|\n)*pack the files themselves"):
        source(path).splits()
    assert [entry.name for entry in tmp_path.iterdir()] == ["x.tar"]


def test_a_pipe_is_refused_and_a_leading_slash_is_not(tmp_path: Path) -> None:
    path = pack(tmp_path / "x.tar", {"/data/train.jsonl": '{"n": 1}'})
    assert [row.value for row in source(path).rows("train")] == [{"n": 1}]
    with tarfile.open(path, "a") as archive:
        pipe = tarfile.TarInfo("validation.jsonl")
        pipe.type = tarfile.FIFOTYPE
        archive.addfile(pipe)
    with pytest.raises(DataError, match=r"x\.tar: 'validation\.jsonl' is a device or a pipe"):
        source(path).splits()


def test_damage_and_bombs_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(formats, "BOMB_FREE", 2**20)
    good = pack(tmp_path / "good.tgz", {"train.jsonl": '{"n": 1}\n' * 5000}).read_bytes()
    (tmp_path / "cut.tgz").write_bytes(good[: len(good) // 2])
    with pytest.raises(DataError, match=r"cut\.tgz: damaged archive"):
        list(source(tmp_path / "cut.tgz").rows("train"))
    with pytest.raises(DataError, match=r"bomb\.tgz: unpacks to more than"):
        list(source(pack(tmp_path / "bomb.tgz", {"train.jsonl": " " * 2**24})).rows("train"))


def test_what_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="no data files in"):
        source(pack(tmp_path / "x.tar", {"readme.md": "hi"})).splits()
    its = source(pack(tmp_path / "y.tar", {"a/mine.jsonl": "{}"}), files={"train": "b/*.jsonl"})
    with pytest.raises(NotFoundError, match=r"no file 'b/\*\.jsonl' in"):
        its.splits()


def test_the_content_and_the_choice_name_it(tmp_path: Path) -> None:
    first = source(pack(tmp_path / "a.tar", {"a.jsonl": "{}"}))
    (tmp_path / "b.tar").write_bytes((tmp_path / "a.tar").read_bytes())
    assert source(tmp_path / "b.tar").describe().sha256 == first.describe().sha256
    assert source(tmp_path / "b.tar").stamp() != first.stamp()
    other = source(tmp_path / "a.tar", files={"train": "a.jsonl"})
    assert other.describe().sha256 != first.describe().sha256
    bytes_of = (tmp_path / "a.tar").read_bytes()
    seen = {first.describe().sha256, other.describe().sha256}
    for name in ("RACE-C.tar", "race_high.tar", "news_test.tar"):
        (tmp_path / name).write_bytes(bytes_of)
        seen.add(source(tmp_path / name).describe().sha256)
    assert len(seen) == 5, "the archive's name tells the level and the split"


def test_a_link_of_another_name_has_another_stamp(tmp_path: Path) -> None:
    its = source(pack(tmp_path / "RACE.tar", {"1.txt": json.dumps(RACE)}))
    (tmp_path / "RACE-C.tar").symlink_to("RACE.tar")
    link = source(tmp_path / "RACE-C.tar")
    assert link.stamp() != its.stamp()
    assert [row.value["level"] for row in link.rows("train")] == ["college"]  # type: ignore[index]


def test_what_is_left_out_is_known_once_it_was_listed(tmp_path: Path) -> None:
    members = dict.fromkeys(("x/train.jsonl", "x/a.zip", "x/README", "x/._1.txt", "x/b.tar"), "{}")
    its = source(pack(tmp_path / "x.tar", members))
    assert its.notes() is None, "it takes reading"
    assert its.splits() == ("train",)
    assert [note.name for note in its.notes() or []] == ["x/._1.txt", "x/README", "x/a.zip", "x/b.tar"]


def test_the_archives_name_tells_the_split_where_nothing_in_it_does(tmp_path: Path) -> None:
    its = source(pack(tmp_path / "raceTest.tgz", {"a.jsonl": '{"n": 1}', "b_dev.jsonl": '{"n": 2}'}))
    assert its.splits() == ("validation", "test")
    assert [note.text for note in its.notes() or []] == ["taken as test, after the name of the source itself: a.jsonl"]


def test_zstd_around_an_archive_is_read_and_within_is_refused(tmp_path: Path) -> None:
    pack(tmp_path / "x.tar", {"a.jsonl": '{"n": 1}', "b.csv.zst": "x"})
    (tmp_path / "x.tar.zst").write_bytes(pa.Codec("zstd").compress((tmp_path / "x.tar").read_bytes(), asbytes=True))
    rows = source(tmp_path / "x.tar.zst").rows("train")
    assert next(rows).value == {"n": 1}
    with pytest.raises(DataError, match=r"b\.csv\.zst: a packed file within an archive\n  unpack the archive"):
        next(rows)


def test_names_of_members_that_are_not_utf8_or_hold_brackets(tmp_path: Path) -> None:
    its = source(
        pack(tmp_path / "x.tar", {"tr\udce9s/train [1].jsonl": '{"n": 1}'}), files={"test": "*/train [1].jsonl"}
    )
    assert [row.origin for row in its.rows("test")] == [r"tr\xe9s/train [1].jsonl:1"]
