"""However the work is cut and whoever does it, whatever is killed on the way: the same bytes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any, TypeVar

import pytest

from mtl.data.manifest import DatasetManifest
from mtl.data.prepare import prepare
from mtl.data.runner import Alone, Helped, Processes, chosen, local, processes_for
from mtl.errors import TransientError
from mtl.store.folder import FolderStore
from mtl.store.memory import MemoryStore
from tests.data.conftest import config, race_rows, write_race
from tests.support.rows import article, question, write_jsonl
from tests.support.words import word_tokenizer

T = TypeVar("T")
R = TypeVar("R")


class Cut(Alone):
    """This process, but as many shards as wanted, the last one first."""

    def __init__(self, shards: int) -> None:
        self.shards = shards

    def map(self, work: Callable[[T], R], items: Sequence[T], tick: Callable[[], None]) -> list[R]:
        return super().map(work, items[::-1], tick)[::-1]


@pytest.fixture
def large(folder: Path) -> Path:
    """Sources of several blocks and files, with bad rows, duplicates and a passage in two splits."""
    rows = [question(n, passage=f"Number {n % 300} of the stories tells of Ann and her cat.") for n in range(900)]
    rows[400] = {**rows[400], "answer": "E"}
    rows[700] = rows[699]
    write_race(folder / "race", train=[*rows, race_rows()["validation"][0]])
    for name in ("train-a", "train-b"):
        write_jsonl(folder / "news" / f"{name}.jsonl", [article(hash_of(name) + n) for n in range(400)])
    (folder / "news" / "train.jsonl").unlink()
    return folder


def hash_of(name: str) -> int:
    return 10_000 * (1 + len(name) + ord(name[-1]))


def made(folder: Path, home: Path, **its: object) -> DatasetManifest:
    data = config(folder, shard_rows=64)
    store = MemoryStore()
    return prepare(data, seed=5, tokenizer=word_tokenizer(), store=store, cache=home, **its)  # type: ignore[arg-type]


def test_any_number_of_shards_gives_the_same_bytes(large: Path, tmp_path: Path) -> None:
    alone = made(large, tmp_path / "1")
    assert sum(alone.quarantine.values()) == 3
    assert alone.counts["mcq"]["train"].rows == 901
    for shards in (2, 5):
        assert made(large, tmp_path / str(shards), runner=nullcontext(Cut(shards))) == alone


def test_processes_give_the_same_bytes(large: Path, tmp_path: Path) -> None:
    with local(2) as runner:
        assert isinstance(runner, Processes)
        assert made(large, tmp_path / "many", runner=nullcontext(runner)) == made(large, tmp_path / "one")


def test_helpers_give_the_same_bytes_and_each_piece_is_done_once(large: Path, tmp_path: Path) -> None:
    alone = made(large, tmp_path / "one")
    with chosen(3) as choose:
        runner = choose(10**9)
        assert isinstance(runner, Helped) and runner.shards == 3
        assert runner.map(_square, range(40), lambda: None) == [number**2 for number in range(40)]
        assert made(large, tmp_path / "many", runner=nullcontext(runner)) == alone


def _square(number: int) -> int:
    return number**2


def test_little_work_is_done_alone_whatever_was_asked_for() -> None:
    with chosen(3) as choose:
        assert isinstance(choose(1000), Alone)


def test_a_limit_takes_the_same_rows_however_they_are_shared_out(large: Path, tmp_path: Path) -> None:
    values = config(large).model_dump()
    values["sources"][0]["rows"] = {"train": 600}
    data = type(config(large)).model_validate(values)
    its: dict[str, Any] = {"seed": 5, "tokenizer": word_tokenizer(), "store": MemoryStore()}
    first = prepare(data, cache=tmp_path / "1", **its)
    assert first.counts["mcq"]["train"].rows == 600
    assert prepare(data, cache=tmp_path / "2", runner=nullcontext(Cut(3)), **its) == first


def test_small_sources_are_not_worth_a_pool() -> None:
    assert processes_for(1000, None) == 1
    assert processes_for(10**9, None) == len(os.sched_getaffinity(0))
    assert processes_for(1000, 3) == 3


def _die(item: int) -> int:
    os.kill(os.getpid(), signal.SIGKILL)
    return item


def test_a_killed_worker_is_a_passing_fault() -> None:
    with (
        local(2) as runner,
        pytest.raises(TransientError, match="a process of the preparation died\n  killed for memory"),
    ):
        assert isinstance(runner, Processes)
        runner.map(_die, [1, 2], lambda: None)


def test_a_killed_helper_is_a_passing_fault() -> None:
    with chosen(2) as choose, pytest.raises(TransientError, match="a process of the preparation died"):
        runner = choose(10**9)
        assert isinstance(runner, Helped)
        runner.map(_die_elsewhere, [os.getpid()] * 20, lambda: None)


def _die_elsewhere(main: int) -> None:
    if os.getpid() != main:
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(0.2)


def test_a_helper_goes_on_while_this_process_is_in_the_middle_of_a_piece() -> None:
    """Of 120 pieces, a helper that waited for this process would leave it 30 and more."""
    with chosen(2) as choose:
        runner = choose(10**9)
        assert isinstance(runner, Helped)
        done = runner.map(_slow_in, [os.getpid()] * 120, lambda: None)
    assert 0 < done.count(os.getpid()) < 20


def _slow_in(main: int) -> int:
    if os.getpid() == main:
        time.sleep(0.5)
    return os.getpid()


CHILD = """
import sys, time
from pathlib import Path
from mtl.data.prepare import prepare
from mtl.store.folder import FolderStore
from tests.data.conftest import config
from tests.support.words import word_tokenizer

folder, home, stage, processes = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], int(sys.argv[4])

def wait(at, count):
    if at == stage:
        (home / "there").touch()
        time.sleep(600)

if __name__ == "__main__":
    home.mkdir()
    data = config(folder, shard_rows=64, processes=processes)
    store = FolderStore(str(home / "store"))
    prepare(data, seed=5, tokenizer=word_tokenizer(), store=store, cache=home / "cache", progress=wait)
"""


@pytest.mark.parametrize(("stage", "processes"), [("read", 1), ("render", 2), ("put", 1)])
def test_killed_in_the_middle_and_started_again_it_makes_the_same_data_set(
    large: Path, tmp_path: Path, stage: str, processes: int
) -> None:
    home, script = tmp_path / "home", tmp_path / "child.py"
    script.write_text(CHILD)
    command = [sys.executable, str(script), str(large), str(home), stage, str(processes)]
    root = Path(__file__).parents[2]
    child = subprocess.Popen(command, cwd=root, env={**os.environ, "PYTHONPATH": str(root)})
    deadline = time.monotonic() + 200
    while not (home / "there").exists():
        assert child.poll() is None and time.monotonic() < deadline
        time.sleep(0.05)
    child.kill()
    assert child.wait() == -signal.SIGKILL
    store = FolderStore(str(home / "store"))
    assert not [info.key for info in store.list("datasets/") if info.key.endswith("manifest.json")]
    assert list((home / "cache" / "scratch").glob("work-*/"))
    data = config(large, shard_rows=64)
    again = prepare(data, seed=5, tokenizer=word_tokenizer(), store=store, cache=home / "cache")
    assert again == made(large, tmp_path / "undisturbed")
    assert not list((home / "cache" / "scratch").glob("work-*/"))
