from __future__ import annotations

from typing import Any

import pytest

from mtl.errors import NotFoundError, TransientError
from mtl.sources.hub import HubSource, _load_dataset

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
    import datasets

    def fail(*args: Any, **kwargs: Any) -> None:
        assert "trust_remote_code" not in kwargs
        raise raised

    monkeypatch.setattr(datasets, "load_dataset", fail)
    with pytest.raises(kind, match=message):
        _load_dataset("a/b", None, revision="00", streaming=False)


def test_offline_is_for_good(monkeypatch: pytest.MonkeyPatch) -> None:
    import datasets

    def fail(*args: Any, **kwargs: Any) -> None:
        raise ConnectionError("offline mode is enabled")

    monkeypatch.setattr(datasets, "load_dataset", fail)
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    with pytest.raises(NotFoundError, match=r"offline, no hub:a/b \(default\) at 00\n  it is not in the cache"):
        _load_dataset("a/b", None, revision="00", streaming=False)


def test_a_missing_data_set_is_not_found(monkeypatch: pytest.MonkeyPatch) -> None:
    import datasets
    from datasets.exceptions import DatasetNotFoundError

    def fail(*args: Any, **kwargs: Any) -> None:
        raise DatasetNotFoundError("nothing there")

    monkeypatch.setattr(datasets, "load_dataset", fail)
    with pytest.raises(NotFoundError, match="no data set hub:a/b"):
        _load_dataset("a/b", None, revision="00", streaming=False)
