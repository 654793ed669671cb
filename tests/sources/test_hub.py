from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import datasets
import httpx
import pyarrow as pa
import pytest
import requests

from mtl.errors import NotFoundError, TransientError
from mtl.sources.base import Part
from mtl.sources.hub import HubSource
from mtl.task import BadRow
from mtl.tasks import mcq_rows
from tests.support.rows import question

REVISION = "0" * 40


class Hub:
    """Stands in for `datasets.load_dataset`, and remembers how it was called."""

    def __init__(self) -> None:
        self.calls: list[Any] = []

    def __call__(self, *args: Any, **kwargs: Any) -> dict[str, list[dict[str, int]]]:
        self.calls.append((args, kwargs))
        return {"test": [{"n": 9}], "dev": [{"n": 3}], "train": [{"n": 1}, {"n": 2}], "extra": []}


def source(hub: Hub, **limits: int) -> HubSource:
    return HubSource("mcq", "ehovy/race", config="high", revision=REVISION, limits=limits, load=hub)


def test_rows_of_the_known_splits_carry_the_configuration_they_came_from() -> None:
    hub = Hub()
    its = source(hub, train=1)
    assert its.splits() == ("train", "validation", "test")
    assert [(row.value, row.origin) for row in its.rows("train")] == [
        ({"n": 1, "hub_config": "high"}, "ehovy/race/high/train:1")
    ]
    assert hub.calls == [(("ehovy/race", "high"), {"revision": REVISION, "streaming": False})]


def test_a_stamp_needs_no_network_and_names_the_revision() -> None:
    hub = Hub()
    described = source(hub).describe()
    assert (described.uri, described.revision) == ("hub:ehovy/race", REVISION)
    other = HubSource("mcq", "ehovy/race", config="high", revision="1" * 40, limits={}, load=hub)
    assert source(hub).stamp() == source(hub).stamp() != other.stamp()
    assert not hub.calls


def test_race_c_is_college_by_its_name_and_its_documents_are_spread() -> None:
    document = {"article": "Tom.", "questions": ["a _", "b _"], "options": [list("abcd")] * 2, "answers": ["A", "B"]}
    its = HubSource(
        "mcq",
        "tasksource/race-c",
        config=None,
        revision=REVISION,
        limits={},
        load=lambda *a, **k: {"train": [document]},
    )
    rows: list[Any] = [row.value for row in its.rows("train")]
    assert [(row["question"], row["answer"], row["level"]) for row in rows] == [
        ("a _", "A", "college"),
        ("b _", "B", "college"),
    ]
    assert [mcq_rows.read({**row, "example_id": "high1.txt"}).level for row in rows] == ["college", "college"]


@pytest.mark.parametrize("level", ["middle", "high"])
def test_a_row_of_race_has_the_level_of_its_example_id_before_that_of_the_configuration(level: str) -> None:
    rows = [question(1, example_id=None), question(2, example_id="high2.txt"), question(3, level="college")]
    its = HubSource(
        "mcq", "ehovy/race", config=level, revision=REVISION, limits={}, load=lambda *a, **k: {"train": rows}
    )
    found: list[Any] = [row.value for row in its.rows("train")]
    assert [mcq_rows.read(row).level for row in found] == [level, "high", "college"]


@pytest.mark.parametrize("limit", [None, 600])
def test_parts_of_what_is_in_the_cache_are_all_rows_once(limit: int | None) -> None:
    cached = datasets.Dataset.from_list([{"n": n} for n in range(1000)])
    limits = {"train": limit} if limit else {}
    its = HubSource("mcq", "a/b", config=None, revision=REVISION, limits=limits, load=lambda *a, **k: {"train": cached})
    parts = [[row.value["n"] for row in its.rows("train", Part(index, 3))] for index in range(3)]  # type: ignore[index]
    assert all(parts) and sorted(n for part in parts for n in part) == list(range(limit or 1000))


def test_splits_that_are_not_read_are_named_and_none_takes_anothers_place() -> None:
    loaded = {split: [{"n": n}] for n, split in enumerate(("validation", "dev", "train", "unsupervised"))}
    its = HubSource("mcq", "a/b", config=None, revision=REVISION, limits={}, load=lambda *a, **k: loaded)
    assert its.notes() is None, "it takes loading"
    assert its.splits() == ("train", "validation")
    assert [row.value["n"] for row in its.rows("validation")] == [0]  # type: ignore[index]
    assert [note.name for note in its.notes() or []] == ["dev", "unsupervised"]


def test_columns_that_nobody_reads_do_no_harm_and_a_bad_cell_is_a_bad_row() -> None:
    bad = pa.array([b"a", b"\xff", b"c"], pa.binary()).view(pa.string())
    for columns, read in ((frozenset({"n"}), ["1", "2", "3"]), (frozenset({"n", "text"}), ["1", "not UTF-8", "3"])):
        rows = datasets.Dataset(pa.table({"n": ["1", "2", "3"], "text": bad}))
        its = HubSource(
            "mcq",
            "a/b",
            config=None,
            revision=REVISION,
            limits={},
            columns=columns,
            load=lambda *a, rows=rows, **k: {"train": rows},
        )
        found = [row.value for row in its.rows("train")]
        assert [value.reason if isinstance(value, BadRow) else value["n"] for value in found] == read


@pytest.mark.parametrize(
    ("raised", "kind", "message"),
    [
        (ConnectionError("no route"), TransientError, r"cannot reach hub:a/b \(default\) at 00.*\n  needs the network"),
        (ValueError("BuilderConfig 'x' not found"), NotFoundError, r"cannot load hub:a/b \(default\) at 00"),
        (RuntimeError("Dataset scripts are no longer supported"), NotFoundError, "cannot load"),
    ],
)
def test_failures_say_what_to_do(
    monkeypatch: pytest.MonkeyPatch, raised: Exception, kind: type[Exception], message: str
) -> None:
    def fail(*args: Any, **kwargs: Any) -> None:
        assert "trust_remote_code" not in kwargs
        raise raised

    monkeypatch.setattr(datasets, "load_dataset", fail)
    with pytest.raises(kind, match=message):
        HubSource("mcq", "a/b", config=None, revision="00", limits={}).splits()


def test_offline_is_for_good(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: Any, **kwargs: Any) -> None:
        raise ConnectionError("offline mode is enabled")

    monkeypatch.setattr(datasets, "load_dataset", fail)
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    with pytest.raises(NotFoundError, match=r"offline, no hub:a/b \(default\) at 00\n  it is not in the cache"):
        HubSource("mcq", "a/b", config=None, revision="00", limits={}).splits()


def test_a_missing_data_set_is_not_found(monkeypatch: pytest.MonkeyPatch) -> None:
    from datasets.exceptions import DatasetNotFoundError

    def fail(*args: Any, **kwargs: Any) -> None:
        raise DatasetNotFoundError("nothing there")

    monkeypatch.setattr(datasets, "load_dataset", fail)
    with pytest.raises(NotFoundError, match="no data set hub:a/b"):
        HubSource("mcq", "a/b", config=None, revision="00", limits={}).splits()


@pytest.mark.parametrize(
    "error", [ConnectionError, TimeoutError, httpx.ReadError, requests.exceptions.ChunkedEncodingError]
)
def test_a_stream_that_breaks_off_can_be_tried_again(error: type[Exception]) -> None:
    def broken() -> Iterator[dict[str, int]]:
        yield {"n": 1}
        raise error("the connection is gone")

    its = HubSource(
        "mcq", "ehovy/race", config="high", revision=REVISION, limits={}, load=lambda *_, **__: {"train": broken()}
    )
    rows = its.rows("train")
    assert next(rows).line == 1
    with pytest.raises(TransientError, match="cannot read hub:ehovy/race/high/train"):
        next(rows)
