from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from mtl.config.data import SourceConfig
from mtl.errors import InputError, NotFoundError
from mtl.sources.bucket import open_bucket
from mtl.sources.open import open_source
from tests.support.proxy import FaultProxy


def put(client: Any, bucket: str, key: str, rows: list[dict[str, int]]) -> None:
    client.put_object(Bucket=bucket, Key=key, Body="".join(json.dumps(row) + "\n" for row in rows).encode())


def found(uri: str, cache: Path) -> dict[str, list[int]]:
    its = open_source(SourceConfig.model_validate({"task": "any", "uri": uri}), 1, cache=cache)
    return {split: [row.value["n"] for row in its.rows(split)] for split in its.splits()}  # type: ignore[index]


def test_a_prefix_is_read_like_a_folder(aws: str, s3_client: Any, bucket: str, tmp_path: Path) -> None:
    put(s3_client, bucket, "data/race/train.jsonl", [{"n": 1}, {"n": 2}])
    put(s3_client, bucket, "data/race/dev.jsonl", [{"n": 3}])
    put(s3_client, bucket, "data/race/notes.md", [])
    put(s3_client, bucket, "data/other/train.jsonl", [{"n": 9}])
    assert found(f"s3://{bucket}/data/race", tmp_path) == {"train": [1, 2], "validation": [3]}
    assert found(f"s3://{bucket}/data/race/dev.jsonl", tmp_path) == {"validation": [3]}


def test_a_changed_object_is_fetched_and_an_unchanged_one_is_not(
    aws: str, s3_client: Any, bucket: str, tmp_path: Path
) -> None:
    uri = f"s3://{bucket}/data"
    config = SourceConfig.model_validate({"task": "any", "uri": uri})
    put(s3_client, bucket, "data/train.jsonl", [{"n": 1}])
    first = open_source(config, 1, cache=tmp_path)
    described = first.describe()
    assert (described.uri, first.splits()) == (uri, ("train",))
    (copy,) = tmp_path.glob("sources/*/*/data/data/train.jsonl")
    before = copy.stat().st_mtime_ns
    assert open_source(config, 1, cache=tmp_path).describe() == described
    assert copy.stat().st_mtime_ns == before
    put(s3_client, bucket, "data/train.jsonl", [{"n": 1}, {"n": 2}])
    again = open_source(config, 1, cache=tmp_path)
    assert again.stamp() != first.stamp()
    assert found(uri, tmp_path) == {"train": [1, 2]}
    assert len(list(tmp_path.glob("sources/*/*/data/data/train.jsonl"))) == 1


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize("damaged", ["data/data/train.jsonl", "hashes.jsonl"])
def test_a_local_copy_that_rotted_is_fetched_again(
    aws: str, s3_client: Any, bucket: str, tmp_path: Path, damaged: str
) -> None:
    config = SourceConfig.model_validate({"task": "any", "uri": f"s3://{bucket}/data"})
    put(s3_client, bucket, "data/train.jsonl", [{"n": 1}, {"n": 2}])
    described = open_source(config, 1, cache=tmp_path).describe()
    (folder,) = tmp_path.glob("sources/*/*")
    (folder / "data" / "data" / "planted.jsonl").write_text('{"n": 9}\n')
    flip(folder / damaged)
    again = open_source(config, 1, cache=tmp_path)
    assert again.describe() == described
    assert [row.value for row in again.rows("train")] == [{"n": 1}, {"n": 2}]


def test_an_empty_prefix_is_not_found(aws: str, bucket: str, tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match=f"no data objects under s3://{bucket}/nothing\n  is the prefix right"):
        found(f"s3://{bucket}/nothing", tmp_path)


@pytest.mark.parametrize("uri", ["s3://", "s3://key:secret@bucket/data"])
def test_an_address_without_a_bucket_or_with_a_secret_is_refused(uri: str) -> None:
    with pytest.raises(InputError, match="names no bucket and prefix") as caught:
        open_bucket(uri)
    assert "secret" not in str(caught.value)


def test_what_a_level_and_a_split_go_by_is_in_the_address_too(
    aws: str, s3_client: Any, bucket: str, tmp_path: Path
) -> None:
    body = {"article": "A b.", "questions": ["C?"], "options": [["a", "b", "c", "d"]], "answers": ["A"]}
    for folder in ("RACE/train/high", "RACE/dev/middle"):
        put(s3_client, bucket, f"{folder}/1.txt", [body])  # type: ignore[list-item]
    seen = {}
    for folder in ("RACE/train/high", "RACE/dev/middle"):
        config = SourceConfig.model_validate({"task": "any", "uri": f"s3://{bucket}/{folder}"})
        its = open_source(config, 1, cache=tmp_path)
        seen[folder] = [(split, row.value["level"]) for split in its.splits() for row in its.rows(split)]  # type: ignore[index]
    assert seen == {"RACE/train/high": [("train", "high")], "RACE/dev/middle": [("validation", "middle")]}


def test_an_object_replaced_within_the_second_by_one_of_its_size_is_seen(
    aws: str, s3_client: Any, bucket: str, tmp_path: Path
) -> None:
    uri = f"s3://{bucket}/data"
    seen = []
    for number in range(5):
        put(s3_client, bucket, "data/train.jsonl", [{"n": number}])
        seen.append(found(uri, tmp_path))
    assert seen == [{"train": [number]} for number in range(5)]


def test_other_objects_are_named(aws: str, s3_client: Any, bucket: str, tmp_path: Path) -> None:
    put(s3_client, bucket, "data/train.jsonl", [{"n": 1}])
    config = SourceConfig.model_validate({"task": "any", "uri": f"s3://{bucket}/data"})
    before = open_source(config, 1, cache=tmp_path).stamp()
    for name in ("old.zip", "sub/", "README.md", "x.tar"):
        put(s3_client, bucket, f"data/{name}", [])
    its = open_source(config, 1, cache=tmp_path)
    assert its.stamp() != before, "or what came later would not be named"
    assert its.notes() is None, "it takes the copy"
    assert its.splits() == ("train",)
    assert {note.name for note in its.notes() or []} == {"old.zip", "README.md", "x.tar"}


def test_a_body_that_breaks_is_read_on(
    aws: str, s3_client: Any, bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(s3_client, bucket, "data/train.jsonl", [{"n": n} for n in range(9)])
    target = urlsplit(aws)
    with FaultProxy(target.hostname or "", target.port or 0) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", proxy.url)
        proxy.fail("end_body", times=2, after=20, containing=b"/train.jsonl")
        assert found(f"s3://{bucket}/data", tmp_path) == {"train": list(range(9))}
        assert proxy.injected == ["end_body"] * 2
