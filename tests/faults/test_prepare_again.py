"""Rows 60 and 61: a preparation that takes what an earlier one left is killed at any of its writes, or finds the cache
half-written; the next one gives the bytes of a preparation from nothing."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from mtl.data.manifest import DatasetManifest
from mtl.data.prepare import prepare
from mtl.sources import cutting, file_chunks
from mtl.store.folder import FolderStore
from tests.data.conftest import config, write_race
from tests.support.preludes import WRITE, Strike
from tests.support.rows import article, question, write_jsonl
from tests.support.trainers import SERVER
from tests.support.words import word_tokenizer

REPLACE, GIVE, SAVE = "os:replace", "mtl.data.pieces:Pieces.give", "mtl.data.rendered:Index.save"
STRIKES = [
    *(Strike(GIVE, nth) for nth in (1, 3)),
    *(Strike(REPLACE, nth, late=late) for nth in (1, 4, 7) for late in (False, True)),
    *(Strike(WRITE, nth) for nth in (1, 2)),
    *(Strike(SAVE, nth, late=late) for nth in (1, 2) for late in (False, True)),
    Strike("mtl.data.pieces:Pieces.prune"),
]


def _small_chunks() -> None:
    cutting.TARGET, cutting.LEAST, cutting.MOST, file_chunks.SMALL = 2048, 256, 8192, 512


def _rows(folder: Path, extra: int) -> None:
    """Two sources; `extra` more rows at the end of each, and one that is gone."""
    questions = [question(n, passage=f"Number {n // 3} of the stories tells of Ann.") for n in range(200 + extra)]
    write_race(folder / "race", train=questions)
    write_jsonl(folder / "news" / "train.jsonl", [article(n) for n in range(bool(extra), 150 + extra)])


def _prepare(folder: Path, home: Path) -> DatasetManifest:
    store = FolderStore(str(home / "store"))
    data = config(folder, shard_rows=50)
    return prepare(data, seed=5, tokenizer=word_tokenizer(), store=store, cache=home / "cache")


def _struck(folder: str, home: str, strike: Strike) -> None:
    _small_chunks()
    strike()
    _prepare(Path(folder), Path(home))


def _bytes_of(home: Path, manifest: DatasetManifest) -> dict[str, bytes]:
    folder = home / "store" / "datasets" / manifest.fingerprint
    return {path.name: path.read_bytes() for path in folder.iterdir()}


class Homes:
    """A home in which the rows of yesterday were prepared, to copy; and the data set of today's."""

    def __init__(self, folder: Path) -> None:
        self.rows, self._home = folder / "rows", folder / "home"
        _rows(self.rows, 0)
        _prepare(self.rows, self._home)
        _rows(self.rows, 4)
        self._manifest = _prepare(self.rows, folder / "fresh")
        self._files = _bytes_of(folder / "fresh", self._manifest)

    def copy(self, to: Path) -> Path:
        return Path(shutil.copytree(self._home, to))

    def check(self, home: Path) -> None:
        assert _prepare(self.rows, home) == self._manifest
        assert _bytes_of(home, self._manifest) == self._files
        assert not list((home / "cache" / "scratch").glob("work-*"))


@pytest.fixture(scope="module")
def homes(tmp_path_factory: pytest.TempPathFactory) -> Homes:
    with pytest.MonkeyPatch.context() as patch:
        for name in ("TARGET", "LEAST", "MOST"):
            patch.setattr(cutting, name, getattr(cutting, name))
        patch.setattr(file_chunks, "SMALL", file_chunks.SMALL)
        _small_chunks()
        return Homes(tmp_path_factory.mktemp("again"))


@pytest.fixture(autouse=True)
def _chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, size in {"TARGET": 2048, "LEAST": 256, "MOST": 8192}.items():
        monkeypatch.setattr(cutting, name, size)
    monkeypatch.setattr(file_chunks, "SMALL", 512)


@pytest.mark.slow
@pytest.mark.parametrize("strike", STRIKES, ids=lambda its: f"{its.where.rpartition(':')[2]}-{its.nth}-{its.late}")
def test_row_60_killed_in_a_preparation_of_some_new_rows(homes: Homes, tmp_path: Path, strike: Strike) -> None:
    home = homes.copy(tmp_path / "home")
    process = SERVER.Process(target=_struck, args=(str(homes.rows), str(home), strike))
    process.start()
    process.join(120)
    assert process.exitcode == -signal.SIGKILL
    homes.check(home)


def _half(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def _empty(path: Path) -> None:
    os.truncate(path, 0)


def _zeros(path: Path) -> None:
    """As a power loss leaves it: the length is there, the bytes are not."""
    path.write_bytes(bytes(path.stat().st_size))


@pytest.mark.slow
@pytest.mark.parametrize("damage", [_half, _empty, _zeros, Path.unlink])
@pytest.mark.parametrize("every", [1, 2])
def test_row_61_a_cache_that_is_half_written_or_gone(
    homes: Homes, tmp_path: Path, every: int, damage: Callable[[Path], None]
) -> None:
    home = homes.copy(tmp_path / "home")
    for path in sorted((home / "cache").glob("**/*"))[::every]:
        if path.is_file() and path.suffix != ".lock":
            damage(path)
    homes.check(home)
    homes.check(home)
