"""A source that shrank since the champion's data stops the run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from mtl.data.manifest import DatasetManifest
from mtl.errors import DataError
from mtl.store.memory import MemoryStore
from tests.data.conftest import config
from tests.support.rows import article, write_jsonl

Run = Callable[..., DatasetManifest]


def write(folder: Path, rows: int) -> None:
    write_jsonl(folder / "news" / "train.jsonl", [article(n) for n in range(100, 100 + rows)])


def test_a_source_that_shrank_stops_the_run(folder: Path, run: Run, store: MemoryStore) -> None:
    write(folder, 40)
    before = run(config(folder))
    write(folder, 10)
    with pytest.raises(DataError) as caught:
        run(config(folder), reference=before)
    assert caught.value.message == (
        f"source {folder / 'news'} of summarize shrank: 12 rows, the last data of this configuration had 42 "
        f"(71.4% fewer, allowed 50.0%; data set {before.fingerprint[:12]})"
    )
    assert caught.value.field == "data.max_shrink"
    assert len({info.key.split("/")[1] for info in store.list("datasets/")}) == 1
    assert run(config(folder, max_shrink=0.8), reference=before)


def test_it_does_so_for_a_data_set_that_is_there_already(folder: Path, run: Run) -> None:
    write(folder, 10)
    small = run(config(folder))
    write(folder, 40)
    champions = run(config(folder))
    write(folder, 10)
    assert run(config(folder)) == small
    with pytest.raises(DataError, match="shrank: 12 rows, the last data of this configuration had 42"):
        run(config(folder), reference=champions)


def test_a_source_that_moved_is_compared_by_its_task(folder: Path, run: Run) -> None:
    write(folder, 40)
    before = run(config(folder))
    write(folder, 10)
    (folder / "news").rename(folder / "papers")
    (folder / "news").mkdir()
    data = config(folder).model_dump()
    data["sources"][1]["uri"] = str(folder / "papers")
    with pytest.raises(DataError, match="task summarize shrank: 12 rows, the last data of this configuration had 42"):
        run(type(config(folder)).model_validate(data), reference=before)


def test_growth_and_a_little_less_are_no_matter(folder: Path, run: Run) -> None:
    write(folder, 40)
    before = run(config(folder))
    for rows in (30, 80):
        write(folder, rows)
        assert run(config(folder), reference=before).counts["summarize"]["train"].rows == rows
