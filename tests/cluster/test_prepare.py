"""Preparation on a cluster whose nodes share nothing: the bytes of one process, whatever dies on the way."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import pytest

from mtl.config.data import DataConfig
from mtl.data.job import Round
from mtl.data.on_ray import RayRunner, on_ray
from mtl.data.prepare import prepare
from mtl.errors import DataError, TransientError
from mtl.store.memory import MemoryStore
from tests.cluster.nodes import Nodes, ray_nodes
from tests.support.rows import article, question, write_jsonl
from tests.support.s3 import aws, bucket, s3_client, s3_endpoint
from tests.support.words import word_tokenizer

__all__ = ["aws", "bucket", "s3_client", "s3_endpoint"]
T = TypeVar("T")
R = TypeVar("R")

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
SOON = {
    "RAY_raylet_start_wait_time_s": "120",
    "RAY_health_check_initial_delay_ms": "1000",
    "RAY_health_check_period_ms": "1000",
    "RAY_health_check_timeout_ms": "2000",
    "RAY_health_check_failure_threshold": "4",
}
"""A node that is paused counts as dead after some seconds instead of most of a minute; one may take long to start."""


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nodes]:
    """Three nodes, of which each test may use up one, and then the head."""
    folder = tmp_path_factory.mktemp("cluster")
    (folder / "driver").mkdir()
    with pytest.MonkeyPatch.context() as patch, ray_nodes(folder, 3, hidden=(folder / "driver",), **SOON) as found:
        patch.setenv("RAY_ADDRESS", found.address)
        yield found


@pytest.fixture
def data(nodes: Nodes, aws: str, s3_client: Any, bucket: str) -> DataConfig:
    """Files on the driver's disk, of which one is cut into several chunks, and objects in a bucket."""
    folder = nodes.folder / "driver" / "race"
    for split, count in {"train": 3000, "validation": 30}.items():
        rows = [question(n, passage=f"The {split} story {n // 3} tells of Ann and her dog.") for n in range(count)]
        write_jsonl(folder / f"{split}.jsonl", rows)
    for name, start in {"train-1": 0, "train-2": 1000, "validation": 2000}.items():
        path = write_jsonl(nodes.folder / "driver" / "upload.jsonl", [article(start + n) for n in range(300)])
        s3_client.put_object(Bucket=bucket, Key=f"news/{name}.jsonl", Body=path.read_bytes())
    sources = [{"task": "mcq", "uri": str(folder)}, {"task": "summarize", "uri": f"s3://{bucket}/news"}]
    return DataConfig.model_validate({"sources": sources, "max_target_tokens": 1024, "shard_rows": 200})


def prepared(data: DataConfig, cache: Path, **its: Any) -> dict[str, bytes]:
    """All objects of the data set; the manifest's name is the fingerprint."""
    store = MemoryStore()
    prepare(data, seed=5, tokenizer=word_tokenizer(), store=store, cache=cache, **its)
    return {info.key: store.get(info.key) for info in store.list("")}


class _Struck(RayRunner):
    """Strikes once in each of the given rounds (from 0), when a piece of it has ended."""

    def __init__(self, ray: Any, strikes: dict[int, Callable[[], Any]]) -> None:
        super().__init__(ray)
        self._strikes, self._round = strikes, -1

    def map(self, work: Round[T, R], items: Sequence[T], tick: Callable[[], None]) -> list[R]:
        self._round += 1

        def struck() -> None:
            self._strikes.pop(self._round, tick)()

        return super().map(work, items, struck)


@contextmanager
def struck(strikes: dict[int, Callable[[], Any]]) -> Iterator[RayRunner]:
    with on_ray() as runner:
        yield _Struck(runner.ray, strikes)


def test_nodes_that_share_nothing_make_the_same_bytes(data: DataConfig, nodes: Nodes) -> None:
    driver = nodes.folder / "driver"
    alone = prepared(data, driver / "alone")
    assert prepared(data, driver / "cluster", runner=on_ray()) == alone


def test_an_error_of_a_piece_arrives_as_it_is(data: DataConfig, nodes: Nodes) -> None:
    write_jsonl(nodes.folder / "driver" / "race" / "validation.jsonl", [{"article": "x"}])
    with pytest.raises(DataError, match=r"validation.jsonl of .*race: no columns? .*question") as caught:
        prepared(data, nodes.folder / "driver" / "bad", runner=on_ray())
    assert caught.value.field == "data.sources" and caught.value.hint


def test_a_node_killed_in_each_round_costs_only_its_pieces(data: DataConfig, nodes: Nodes) -> None:
    driver = nodes.folder / "driver"
    alone = prepared(data, driver / "alone-2")
    strikes = {0: nodes.workers[2].kill, 1: nodes.workers[1].pause}
    assert prepared(data, driver / "killed", runner=struck(strikes)) == alone
    assert not strikes


def test_without_its_head_the_work_is_taken_up_later(data: DataConfig, nodes: Nodes) -> None:
    driver = nodes.folder / "driver"
    assert nodes.head is not None
    with pytest.raises(TransientError, match="Ray cluster") as caught:
        prepared(data, driver / "headless", runner=struck({1: nodes.head.kill}))
    assert "start it again" in str(caught.value.hint)
    assert prepared(data, driver / "headless") == prepared(data, driver / "alone-3")
