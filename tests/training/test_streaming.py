"""Batches of a split that is larger than its room: equal to those of memory, within the room, and no row too many."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from itertools import chain, pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mtl.config.retrain import RetrainConfig, parse_config
from mtl.data.dataset import Dataset, open_dataset
from mtl.errors import DamageError, PermanentError, TransientError
from mtl.pipeline.prepare import prepare
from mtl.store.folder import FolderStore
from mtl.training.batches import RankBatches
from mtl.training.build import rank_batches
from mtl.training.dataset import Item, TokenisedSplit
from mtl.training.streaming import StreamedBatches, cut
from mtl.training.validation import held_out_batches
from mtl.workspace import open_workspace
from tests.support.bases import save_base
from tests.support.disks import mounted
from tests.support.retrains import small_values

TASKS = ["summarize", "mcq"]
STEPS, WORLD = 40, 2
BATCH = 4 * 3000  # bytes of the token ids of a batch, at most


class Store(FolderStore):
    """Remembers which objects were copied, and can be away."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.copied: list[str] = []
        self.away = False

    def get_file(self, key: str, path: Path) -> None:
        if self.away:
            raise TransientError("the store is away")
        self.copied.append(key.rpartition("/")[2])
        super().get_file(key, path)


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> RetrainConfig:
    """Many small shards, and epochs of a few steps."""
    base = tmp_path_factory.mktemp("streaming") / "base"
    save_base(base)
    values = small_values(base, max_steps=STEPS)
    values["data"]["shard_rows"] = 8
    return parse_config(values)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("streaming")


@pytest.fixture(scope="module")
def fingerprint(home: Path, config: RetrainConfig) -> str:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MTL_HOME", str(home))
        patch.delenv("MTL_STORE", raising=False)
        return prepare(open_workspace(), config).fingerprint


@pytest.fixture
def opened(home: Path, fingerprint: str, tmp_path: Path) -> Callable[..., Dataset]:
    """The data set with so much room, on a machine of its own."""
    return lambda room, store=None: open_dataset(
        store or FolderStore(home / "store"), fingerprint, tmp_path / str(room), room=room
    )


@pytest.fixture
def whole(opened: Callable[..., Dataset]) -> TokenisedSplit:
    return TokenisedSplit(opened(10**9), "train", TASKS)


def batches_of(config: RetrainConfig, split: TokenisedSplit, rank: int = 0) -> RankBatches:
    return rank_batches(config, split, rank=rank, world=WORLD)


def same(left: list[Item], right: list[Item]) -> bool:
    pairs = zip(left, right, strict=True)
    return all(a[2] == b[2] and all(np.array_equal(*side) for side in zip(a[:2], b[:2], strict=True)) for a, b in pairs)


@pytest.mark.parametrize("room", [0, 2 * BATCH, 5 * BATCH])
@pytest.mark.parametrize(("rank", "first"), [(0, 0), (1, 33)])
def test_batches_are_those_of_memory(
    opened: Callable[..., Dataset], whole: TokenisedSplit, config: RetrainConfig, room: int, rank: int, first: int
) -> None:
    split = TokenisedSplit(opened(room), "train", TASKS)
    assert (split.whole, split.sizes) == (None, whole.sizes)
    expected = list(batches_of(config, whole, rank))
    assert list(batches_of(config, split, rank)) == expected
    assert len(expected) == STEPS
    assert sum(map(len, expected)) * WORLD > 2 * len(split)  # more than two epochs
    streamed = StreamedBatches(split, batches_of(config, split, rank))
    for number in range(first, STEPS):
        assert same(streamed[number], [whole[index] for index in expected[number]])


def test_an_earlier_batch_is_read_again(
    opened: Callable[..., Dataset], whole: TokenisedSplit, config: RetrainConfig
) -> None:
    split = TokenisedSplit(opened(2 * BATCH), "train", TASKS)
    expected = list(batches_of(config, whole))
    streamed = StreamedBatches(split, batches_of(config, split))
    for number in (0, 1, 6, 7, 3, 2, STEPS - 1, 0):
        assert same(streamed[number], [whole[index] for index in expected[number]])


def test_a_split_that_fits_is_in_memory(opened: Callable[..., Dataset], whole: TokenisedSplit) -> None:
    assert whole.whole is not None
    size = whole.whole.nbytes
    assert size == 4 * int((whole.sources + whole.targets).sum())
    assert TokenisedSplit(opened(size), "train", TASKS).whole is not None
    assert TokenisedSplit(opened(size - 1), "train", TASKS).whole is None


@pytest.mark.parametrize("room", [2 * BATCH, 4 * BATCH])
def test_disk_and_memory_stay_within_the_room(opened: Callable[..., Dataset], config: RetrainConfig, room: int) -> None:
    """But for the one file that is being read."""
    data = opened(room)
    largest = max(shard.bytes for task in TASKS for shard in data.shards(task, "train"))
    split = TokenisedSplit(data, "train", TASKS)
    streamed = StreamedBatches(split, batches_of(config, split))
    windows = set()
    for number in range(STEPS):
        _ = streamed[number]
        on_disk = sum(path.stat().st_size for path in (data.cache / "datasets").rglob("*") if path.is_file())
        assert 0 < on_disk <= room
        # os.walk passes over folders that the reading thread removes meanwhile.
        files = (Path(folder, name) for folder, _, names in os.walk(data.cache / "arriving") for name in names)
        arriving = [path for path in files if path.suffix == ".parquet"]
        assert sum(size_of(path) for path in arriving) <= largest
        assert streamed.window.examples.nbytes <= room // 2
        windows.add(streamed.window.first)
    assert len(windows) > 1


def size_of(path: Path) -> int:
    """0 for a file that is gone meanwhile."""
    return path.stat().st_size if path.exists() else 0


def test_a_rank_reads_only_what_it_trains_on(opened: Callable[..., Dataset], config: RetrainConfig, home: Path) -> None:
    store = Store(home / "store")
    split = TokenisedSplit(opened(0, store), "train", TASKS)
    shards = [shard.path for task in TASKS for shard in opened(0).shards(task, "train")]
    assert store.copied == shards  # once, for the lengths
    batches = list(batches_of(config, split))
    streamed = StreamedBatches(split, batches_of(config, split))
    streamed.close()  # no window is read ahead
    store.copied.clear()
    for number in range(3):
        examples = split.read(batches[number])
        assert len(examples) == len(set(batches[number]))
        for other in set(range(len(split))) - set(batches[number]):
            with pytest.raises(KeyError, match=f"example {other} was not read"):
                _ = examples[other]
    edges = np.cumsum([0, *(-(-size // 8) for size in split.sizes)])
    first = np.cumsum([0, *split.sizes])

    def shard_of(index: int) -> str:
        task = int(np.searchsorted(first, index, side="right")) - 1
        return shards[int(edges[task] + (index - first[task]) // 8)]

    needed = [sorted({shard_of(index) for index in batch}, key=shards.index) for batch in batches[:3]]
    assert store.copied == list(chain.from_iterable(needed))
    assert any(len(its) < len(shards) for its in needed)


def test_a_store_that_is_away_ends_it_and_another_start_goes_on(
    opened: Callable[..., Dataset], whole: TokenisedSplit, config: RetrainConfig, home: Path
) -> None:
    store = Store(home / "store")
    split = TokenisedSplit(opened(0, store), "train", TASKS)
    streamed = StreamedBatches(split, batches_of(config, split))
    _ = streamed[0]
    store.away = True
    with pytest.raises(TransientError, match="the store is away"):
        for number in range(1, 4):
            _ = streamed[number]
    store.away = False
    again = StreamedBatches(split, batches_of(config, split))
    expected = list(batches_of(config, whole))
    assert same(again[3], [whole[index] for index in expected[3]])


def test_a_full_disk_is_said_and_another_start_goes_on(
    home: Path, fingerprint: str, tmp_path: Path, whole: TokenisedSplit
) -> None:
    with mounted(tmp_path / "small", "size=64k") as cache:
        data = open_dataset(FolderStore(home / "store"), fingerprint, cache, room=10**9)
        with pytest.raises(PermanentError, match="the disk is full"):
            TokenisedSplit(data, "train", TASKS)
        split = TokenisedSplit(replace(data, room=20_000), "train", TASKS)
        assert np.array_equal(split.sources, whole.sources)


def test_a_shard_that_is_damaged_meanwhile_is_named(
    opened: Callable[..., Dataset], config: RetrainConfig, home: Path, tmp_path: Path
) -> None:
    shutil.copytree(home / "store", tmp_path / "store")
    data = opened(0, FolderStore(tmp_path / "store"))
    split = TokenisedSplit(data, "train", TASKS)
    for info in list(data.store.list("datasets/")):
        data.store.put(info.key, b"x")
    with pytest.raises(DamageError, match=r"-train-\d+.parquet of data set .{12} is not what was written"):
        _ = StreamedBatches(split, batches_of(config, split))[0]


def test_held_out_batches_do_not_depend_on_the_room(opened: Callable[..., Dataset]) -> None:
    rooms = [
        held_out_batches(opened(room), TASKS, per_task=3, seed=1, max_tokens=3000, rank=1, world=2)
        for room in (0, 10**9)
    ]
    assert rooms[0]
    for left, right in zip(*rooms, strict=True):
        assert all(torch.equal(left[name], right[name]) for name in left)


@given(st.lists(st.lists(st.integers(0, 9), min_size=1, max_size=5), max_size=30), st.integers(0, 400))
def test_windows_are_all_batches_in_turn_and_as_large_as_they_may_be(batches: list[list[int]], most: int) -> None:
    lengths = np.arange(1, 11)

    def size(window: list[list[int]]) -> int:
        return 4 * sum(int(lengths[index]) for batch in window for index in batch)

    windows = list(cut(batches, lengths, most=most))
    assert list(chain.from_iterable(windows)) == batches
    assert all(size(window) <= most or len(window) == 1 for window in windows)
    assert all(size([*window, following[0]]) > most for window, following in pairwise(windows))
