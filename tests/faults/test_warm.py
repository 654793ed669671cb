"""A retrain that starts from the champion: killed at any write, and with a parent that is damaged, gone or forged."""

from __future__ import annotations

import json
import shutil
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mtl.errors import DamageError, InputError, NotFoundError
from mtl.fingerprint import sha256_file
from mtl.layout import release_prefix
from mtl.pipeline.prepare import prepare
from mtl.pipeline.records import FULL
from mtl.release.layout import read_manifest
from mtl.seal import seal
from mtl.store.folder import FolderStore
from tests.support.killing import forked
from tests.support.nights import MODEL, SecondNight, night_workspace, promote_night, publish_night, second_night
from tests.support.rows import article, write_jsonl

pytestmark = pytest.mark.timeout(900)
GONE = "The champion v1 cannot be started from: "
WRITES = 40
"""More than a warm start makes."""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> SecondNight:
    return second_night(tmp_path_factory.mktemp("second"))


@pytest.fixture(scope="module")
def plain(made: SecondNight, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Sha256 of the adapter that the uninterrupted second night ends with."""
    trained = made.at(tmp_path_factory.mktemp("plain") / "home").train()
    assert trained.parent is not None and trained.steps == 4
    return str(trained.adapter_sha256)


@pytest.fixture
def night(made: SecondNight, tmp_path: Path) -> SecondNight:
    return made.at(tmp_path / "home")


def lived(night: SecondNight, *, kill_after: int | None = None) -> dict[str, Any] | None:
    """What a process that trains the second night says at its end; None if it was killed."""
    result = night.home.parent / "said.json"
    code = forked(lambda: night.train().to_json(), result, kill_after=kill_after)()
    if code == -signal.SIGKILL:
        return None
    assert code == 0
    return dict(json.loads(result.read_text())["value"])


@pytest.mark.slow
def test_row_62_killed_at_each_single_write_of_a_warm_start(night: SecondNight, plain: str) -> None:
    """Each life gets one write further than the last, from the kept choice to the result."""
    steps = []
    for nth in range(WRITES):
        said = lived(night, kill_after=nth)
        if said is not None:
            break
        steps.append(len(list((night.home / "store").glob("runs/*/manifests/*"))))
    assert said is not None and nth > 8, "there were as many writes as a warm start has"
    assert said["adapter_sha256"] == plain
    assert said["parent"]["version"] == 1
    assert len(list((night.home / "store" / "starts").iterdir())) == 1
    assert steps == sorted(steps)


def test_row_62_killed_after_a_commit_it_goes_on_although_another_version_became_champion(
    night: SecondNight, plain: str
) -> None:
    assert lived(night, kill_after=10) is None
    first = night.choose()
    shutil.copytree(night.home / "store" / release_prefix(MODEL, 1), night.home / "store" / release_prefix(MODEL, 2))
    renumbered(night, 2)
    promote_night(night.home, 2, expected=1)
    assert night.choose() == first
    said = lived(night)
    assert said is not None and (said["adapter_sha256"], said["parent"]["version"]) == (plain, 1)


def renumbered(night: SecondNight, version: int) -> None:
    """A copied release says that it is this version."""
    path = night.home / "store" / release_prefix(MODEL, version) / "manifest.json"
    document = {name: value for name, value in json.loads(path.read_text()).items() if name != "check"}
    path.write_bytes(seal(document | {"version": version}))


def test_row_62_several_at_once_choose_one_parent(night: SecondNight) -> None:
    results = [night.home.parent / f"said-{number}" for number in range(4)]
    ends = [forked(lambda: night.choose().to_json(), result) for result in results]
    assert [end() for end in ends] == [0] * 4
    starts = [json.loads(result.read_text())["value"] for result in results]
    assert starts[0]["parent"]["version"] == 1
    assert starts == [starts[0]] * 4
    assert len(list((night.home / "store" / "starts").iterdir())) == 1


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def forge(path: Path) -> None:
    """Other weights, and a manifest that states them."""
    (adapter := path.with_name("adapter_model.safetensors")).write_bytes(b"other weights")
    document = {name: value for name, value in json.loads(path.read_text()).items() if name != "check"}
    sha256 = sha256_file(adapter)
    for file in document["files"]:
        if file["path"] == adapter.name:
            file |= {"sha256": sha256, "bytes": adapter.stat().st_size}
    path.write_bytes(seal(document | {"adapter_sha256": sha256}))


RELEASE = release_prefix(MODEL, 1)
DAMAGE: dict[str, tuple[str, Callable[[Path], object], str]] = {
    "a flipped bit": (f"{RELEASE}/adapter_model.safetensors", flip, "is damaged: its sha256 is not "),
    "half of it": (f"{RELEASE}/adapter_model.safetensors", lambda path: path.write_bytes(b"half"), "is damaged"),
    "no adapter": (f"{RELEASE}/adapter_model.safetensors", Path.unlink, "is missing from the release"),
    "no release": (RELEASE, shutil.rmtree, "no release v1 of"),
    "a damaged manifest": (f"{RELEASE}/manifest.json", flip, "manifest.json is damaged"),
    "no record of its training": (f"{RELEASE}/provenance/run.json", Path.unlink, "provenance/run.json is damaged"),
    "a forged release": (f"{RELEASE}/manifest.json", forge, "is not the manifest that was promoted"),
    "a damaged shard of its data": ("datasets/BEFORE/summarize-train-0.parquet", flip, "is not what was written"),
    "no data set": ("datasets/BEFORE/manifest.json", Path.unlink, "no data set "),
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_row_63_a_parent_that_cannot_be_used_is_a_full_run_by_policy_and_an_error_by_name(
    night: SecondNight, kind: str
) -> None:
    place, damage, said = DAMAGE[kind]
    damage(night.home / "store" / place.replace("BEFORE", night.before))
    start = night.choose()
    assert start.parent is None
    assert start.reason.startswith(GONE) and said in start.reason, start.reason
    with pytest.raises((DamageError, NotFoundError)) as caught:
        night.choose(from_="v1")
    assert said in str(caught.value)
    assert caught.value.hint


def test_row_63_a_parent_that_is_damaged_after_it_was_chosen(
    night: SecondNight, caplog: pytest.LogCaptureFixture
) -> None:
    assert night.choose().parent is not None
    assert night.choose(from_="v1").parent is not None
    shutil.rmtree(night.home / "cache")
    flip(night.home / "store" / RELEASE / "adapter_model.safetensors")
    start = night.choose()
    assert start.parent is None and start.reason.startswith(GONE)
    assert "v1, which this retrain was to start from, cannot be used any more" in caplog.text
    with pytest.raises(DamageError, match="is damaged: its sha256 is not"):
        night.choose(from_="v1")
    assert night.choose() == start
    flip(night.home / "store" / RELEASE / "adapter_model.safetensors")
    assert night.choose() == start, "it was restored, but the full run in its place may have begun"
    assert night.choose(from_="v1").parent is not None


def test_row_63_a_run_that_is_done_needs_its_parent_no_more(night: SecondNight, plain: str) -> None:
    assert night.train().adapter_sha256 == plain
    shutil.rmtree(night.home / "store" / RELEASE)
    shutil.rmtree(night.home / "cache" / "parents")
    again = night.train()
    assert (again.adapter_sha256, again.parent and again.parent.version) == (plain, 1)


@pytest.mark.slow
def test_row_63_the_full_run_in_place_of_a_lost_parent_is_that_of_an_empty_store(
    night: SecondNight, made: SecondNight, tmp_path: Path
) -> None:
    """And its identity that of a run whose configuration knows of no warm starts."""
    (night.home / "store" / RELEASE / "adapter_model.safetensors").unlink()
    full = night.train()
    other = SecondNight(tmp_path / "other", made.config, made.before, made.now)
    shutil.copytree(made.home / "store" / "datasets", other.home / "store" / "datasets")
    alone = other.train()
    assert full.parent is None
    assert (full.identity, full.adapter_sha256, full.steps) == (alone.identity, alone.adapter_sha256, 6)


def test_a_damaged_choice_is_said(night: SecondNight) -> None:
    night.choose()
    (kept,) = (night.home / "store" / "starts").iterdir()
    flip(kept)
    with pytest.raises(DamageError) as caught:
        night.choose()
    assert caught.value.hint == f"delete starts/{kept.name}: the start of this retrain is then chosen again"


def test_a_chain_is_counted_by_its_releases(night: SecondNight) -> None:
    trained = night.train()
    publish_night(night.home, night.config, trained, night.now, version=2)
    parent = read_manifest(FolderStore(night.home / "store"), MODEL, 2).facts.parent
    assert parent == trained.parent
    promote_night(night.home, 2, expected=1)
    third = night.choose(warm_steps=3)
    assert third.parent is not None and (third.parent.version, third.parent.warm_starts) == (2, 2)
    due = "A full run is due: 1 version was made since the last one, and train.full_every is 2."
    assert night.choose(full_every=2).reason == due


def test_a_refused_version_counts_as_a_night(night: SecondNight) -> None:
    """Else a champion that nothing beats would be started from for ever, or never again."""
    publish_night(night.home, night.config, night.train(), night.now, version=2)
    start = night.choose(warm_steps=3)
    assert start.parent is not None and start.parent.version == 1
    assert "warm start 2 since the last full run" in start.reason
    assert night.choose(full_every=2).parent is None
    train = night.config.train.model_copy(update={"from_": "scratch"})
    full = replace(night, config=night.config.model_copy(update={"train": train})).train()
    publish_night(night.home, night.config, full, night.now, version=3)
    assert "warm start 1 since the last full run" in night.choose(warm_steps=2).reason


def test_a_passage_that_an_ancestor_was_trained_on_orders_a_full_run(night: SecondNight, made: SecondNight) -> None:
    """v2, a warm start from v1, has not read the passage itself."""
    news = made.home.parent / "news"
    write_jsonl(news / "train.jsonl", (article(number) for number in range(1, 41)))
    without = prepare(night_workspace(night.home), night.config).fingerprint
    publish_night(night.home, night.config, night.train(), without, version=2)
    promote_night(night.home, 2, expected=1)
    write_jsonl(news / "validation.jsonl", (article(number) for number in (0, 1000, 1001, 1002)))
    moved = prepare(night_workspace(night.home), night.config).fingerprint
    assert replace(night, now=moved).choose().reason == "v2 was trained on 1 passage held out today."


def test_a_passage_that_moved_to_the_held_out_split_orders_a_full_run(night: SecondNight, made: SecondNight) -> None:
    news = made.home.parent / "news"
    write_jsonl(news / "train.jsonl", (article(number) for number in range(1, 41)))
    write_jsonl(news / "validation.jsonl", (article(number) for number in (0, 1000, 1001, 1002)))
    moved = prepare(night_workspace(night.home), night.config).fingerprint
    assert replace(night, now=moved).choose().reason == "v1 was trained on 1 passage held out today."
    with pytest.raises(InputError, match="no training can start from mtl-flan-t5 v1: v1 was trained on 1 passage held"):
        replace(night, now=moved).choose(from_="v1")


def test_another_shape_of_the_adapter_orders_a_full_run(night: SecondNight) -> None:
    lora = night.config.lora.model_copy(update={"r": 4, "dropout": 0.0})
    other = replace(night, config=night.config.model_copy(update={"lora": lora}))
    assert other.choose().reason == "v1 was trained with another lora.r."
    with pytest.raises(InputError, match=r"v1 was trained with another lora\.r"):
        other.choose(from_="v1")


def test_many_changed_rows_order_a_full_run_but_not_of_a_version_by_name(night: SecondNight) -> None:
    reason = night.choose(full_above=0.0).reason
    assert "of the training examples changed since v1, more than the 0.0% of train.full_above." in reason
    assert night.choose(full_above=0.0, full_every=1, from_="v1").parent is not None


def test_from_scratch_nothing_is_kept(night: SecondNight) -> None:
    assert night.choose(from_="scratch") == FULL
    assert not (night.home / "store" / "starts").exists()
