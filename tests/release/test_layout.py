"""Release manifests, files of links and journal entries, whoever wrote them: an MtlError or what they say, no more."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtl.errors import DamageError, InputError, MtlError
from mtl.release.aliases import MemoryAliases
from mtl.release.fetch import StoreSource
from mtl.release.journal import read_journal
from mtl.release.layout import check_release_path, parse_manifest
from mtl.release.links import read_links
from mtl.release.promote import promote
from mtl.release.pull import fetch_release, pull, resolve_version, verify_folder
from mtl.release.signature import verify_release
from mtl.store.memory import MemoryStore
from tests.release.toy import MODEL, publish_toy
from tests.support.mutations import damaged, fuzz, seal, tree

KEY = f"releases/{MODEL}/v1/manifest.json"
ENTRY = f"releases/{MODEL}/log/000000000001.json"
OUTSIDE = {"outside": b"mine", "outside.part": b"mine"}


@cache
def _objects() -> dict[str, bytes]:
    store = MemoryStore()
    with TemporaryDirectory() as folder:
        publish_toy(store, Path(folder), 1)
    promote(store, 1, model=MODEL, expected=None, reason="better", actor="gate", aliases=MemoryAliases())
    return {info.key: store.get(info.key) for info in store.list("")}


def release(**replaced: bytes) -> MemoryStore:
    """A store with one release that is champion, some objects of it replaced."""
    store = MemoryStore()
    for key, data in (_objects() | replaced).items():
        store.put(key, data)
    return store


def document(key: str) -> Any:
    return json.loads(_objects()[key])


def links() -> dict[str, Any]:
    """As `mtl pull --url` makes them."""
    manifest = document(KEY)
    return {
        "kind": "mtl-release-links",
        "model": MODEL,
        "version": 1,
        "expires": "2030-01-01T00:00:00+00:00",
        "manifest": _objects()[KEY].decode(),
        "files": {file["path"]: "http://127.0.0.1:9/x?X-Amz-Signature=s3cret" for file in manifest["files"]},
    }


class Place:
    """A folder to pull to, inside one in which nothing may change."""

    def __init__(self, root: Path) -> None:
        self.root, self.dest = root, root / "a" / "b" / "out"
        self.dest.parent.mkdir(parents=True)
        for name, data in OUTSIDE.items():
            for folder in (root, root / "a", root / "a" / "b"):
                (folder / name).write_bytes(data)
        self._before = tree(root)

    def unchanged(self) -> bool:
        now = {path: data for path, data in tree(self.root).items() if not f"{path}/".startswith("a/b/out/")}
        return now == self._before


@given(damaged(document(KEY), sealed=True))
@fuzz(40)
def test_any_release_manifest(data: bytes) -> None:
    store = release(**{KEY: data})
    with TemporaryDirectory() as folder:
        place = Place(Path(folder))
        try:
            manifest = pull(store, "v1", place.dest, model=MODEL)
            assert verify_folder(place.dest) == manifest == verify_release(store, MODEL, 1)
            assert {path for path, its in tree(place.dest).items() if its is not None} == {
                "manifest.json",
                *(file.path for file in manifest.files),
            }
        except MtlError as error:
            assert str(error).isprintable() or "\n" in str(error)
        assert place.unchanged()


@given(damaged(document(KEY), sealed=True))
@fuzz(40)
def test_any_manifest_of_the_release_that_stood_in_the_folder_before(data: bytes) -> None:
    with TemporaryDirectory() as folder:
        place = Place(Path(folder))
        pull(release(), "v1", place.dest, model=MODEL)
        (place.dest / "manifest.json").write_bytes(data)
        try:
            pull(release(), "v1", place.dest, model=MODEL)
        except InputError as error:
            assert "holds something that is no release" in str(error)
        else:
            assert verify_folder(place.dest).version == 1
        assert place.unchanged()


@given(damaged(links()) | damaged(document(KEY), sealed=True).map(lambda data: _with_manifest(data)))
@fuzz(60)
def test_any_file_of_links(data: bytes) -> None:
    with TemporaryDirectory() as folder:
        place = Place(Path(folder))
        file = place.dest.parent / "links.json"
        file.write_bytes(data)
        try:
            manifest, source = read_links(file)
            assert "s3cret" not in repr(source)
            fetch_release(StoreSource(release(), f"releases/{MODEL}/v1"), manifest, place.dest)
            assert verify_folder(place.dest) == manifest
        except MtlError as error:
            assert "s3cret" not in f"{error} {error.to_dict()}"
        file.unlink()
        assert place.unchanged()


def _with_manifest(data: bytes) -> bytes:
    return json.dumps(links() | {"manifest": data.decode(errors="replace")}).encode()


@given(damaged(document(ENTRY), sealed=True))
@fuzz(40)
def test_any_journal_entry(data: bytes) -> None:
    store = release(**{ENTRY: data})
    with TemporaryDirectory() as folder:
        place = Place(Path(folder))
        try:
            journal = read_journal(store, MODEL)
            assert type(journal.champion) is int
            assert resolve_version(store, "champion", model=MODEL) == journal.champion
            pull(store, "champion", place.dest, model=MODEL)
        except MtlError:
            pass
        assert place.unchanged()


EVIL = ["../../outside", "/outside", "..", "", "f" * 63, "F" * 64, "f" * 64 + "\n", 7, None, True, ["f" * 64]]


@pytest.mark.parametrize("value", EVIL)
def test_a_hash_that_is_no_hash_is_named_and_touches_nothing(tmp_path: Path, value: object) -> None:
    manifest = document(KEY)
    manifest["files"][0]["sha256"] = value
    place = Place(tmp_path)
    with pytest.raises(DamageError, match=r"manifest\.json is damaged: files\.0\.sha256: .*, got ") as caught:
        pull(release(**{KEY: json.dumps(seal(manifest)).encode()}), "v1", place.dest, model=MODEL)
    assert caught.value.field == "files.0.sha256"
    assert place.unchanged()


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *(("bytes", value) for value in (-1, True, "7", 1.0, None, 2**60)),
        *(("path", value) for value in ("../x", "/x", "a/b/c", ".x", "manifest.json", "x" * 300, "", 7, None)),
    ],
)
def test_sizes_and_paths_are_checked(field: str, value: object) -> None:
    manifest = document(KEY)
    manifest["files"][0][field] = value
    with pytest.raises(DamageError, match=rf"files\.0\.{field}: "):
        parse_manifest(json.dumps(seal(manifest)).encode(), "manifest.json")


@pytest.mark.parametrize("paths", [("a.json", "a.json"), ("base", "base/config.json")])
def test_files_in_each_other_s_place_are_refused(paths: tuple[str, str]) -> None:
    manifest = document(KEY)
    for file, path in zip(manifest["files"], paths, strict=False):
        file["path"] = path
    with pytest.raises(DamageError, match="is there twice, or is a file and a folder"):
        parse_manifest(json.dumps(seal(manifest)).encode(), "manifest.json")


@given(st.text() | st.sampled_from(["a/b", "a/../b", "a//b", "a/", "base/config.json"]))
def test_a_release_path_stays_inside(path: str) -> None:
    try:
        check_release_path(path)
    except InputError:
        return
    assert (Path("/root") / path).resolve().is_relative_to("/root")
    assert path.count("/") <= 1


@pytest.mark.parametrize(
    "link", ["file:///etc/passwd", "ftp://host/x", "http://", "http:///x", "x", 7, None, "http://["]
)
def test_a_link_is_an_http_address(tmp_path: Path, link: object) -> None:
    crafted = links()
    crafted["files"]["README.md"] = link
    (tmp_path / "links.json").write_text(json.dumps(crafted))
    with pytest.raises(DamageError, match=r"links\.json is damaged: files\.README\.md"):
        read_links(tmp_path / "links.json")


@pytest.mark.parametrize("linked", [".mtl-pull", "base", ".mtl-pull/part"])
def test_a_folder_with_links_that_lead_out_is_left_alone(tmp_path: Path, linked: str) -> None:
    """As an archive can bring one along: neither parts nor files go where they lead."""
    place = Place(tmp_path)
    pull(release(), "v1", place.dest, model=MODEL)
    file = parse_manifest(_objects()[KEY], KEY).files[0]
    if linked == ".mtl-pull/part":
        (place.dest / ".mtl-pull").mkdir()
        (place.dest / ".mtl-pull" / f"{file.sha256}.part").symlink_to(place.dest.parent / "outside")
    else:
        (place.dest / linked).symlink_to(place.dest.parent)
    (place.dest / file.path).unlink()
    with pytest.raises(InputError, match=r"is a link(.|\n)*a new or empty folder"):
        pull(release(), "v1", place.dest, model=MODEL)
    assert place.unchanged()
