"""What a warm start is made of: its schedule, its identity, and the examples that are replayed."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mtl.config.retrain import parse_config
from mtl.data.dataset import open_dataset
from mtl.errors import DamageError, MtlError
from mtl.fingerprint import sha256_bytes
from mtl.pipeline.prepare import prepare
from mtl.store.folder import FolderStore
from mtl.store.memory import MemoryStore
from mtl.training.dataset import TokenisedSplit
from mtl.training.parent import Parent, as_trained, fetch_parent
from mtl.training.parts import ordered_in_parts
from mtl.training.plan import identity_fields
from mtl.training.warm import known_examples, replayed
from mtl.workspace import open_workspace
from tests.support.retrains import small_config, small_values

ADAPTER = b"weights"
PARENT = Parent(model="m", version=3, adapter_sha256=sha256_bytes(ADAPTER), dataset="d" * 64, warm_starts=2)


def fields(config: Any, parent: Parent | None = None) -> dict[str, Any]:
    return identity_fields(config, dataset="d", base_sha256="b", device="cpu", world_size=1, parent=parent)


def test_a_full_run_is_the_same_run_whatever_is_set_about_starts(workshop: Path) -> None:
    plain = fields(small_config(workshop))
    settings = {"from": "champion", "warm_steps": 2, "replay_share": 0.5, "full_every": 2, "full_above": 0.0}
    assert fields(small_config(workshop, **settings)) == plain
    assert not [
        name
        for name in plain
        if name.startswith(("parent.", "train.from", "train.warm_", "train.replay", "train.full_"))
    ]


def test_a_run_and_its_outcome_are_the_same_whatever_is_watched(workshop: Path) -> None:
    config = small_config(workshop)
    watch = config.watch.model_copy(update={"drift": False, "drift_auc": 0.9, "retrain_on_drift": True})
    watching = config.model_copy(update={"watch": watch})
    assert fields(watching) == fields(config)
    assert not [name for name in fields(config) if "watch" in name]


def test_the_parent_the_schedule_and_the_share_make_another_run(workshop: Path) -> None:
    config = small_config(workshop, **{"from": "champion"}, warm_steps=2)
    plain, warm = fields(config), fields(config, PARENT)
    assert {name for name in plain | warm if plain.get(name) != warm.get(name)} == {
        *("train.max_steps", "train.warmup_steps", "train.learning_rate", "train.replay_share"),
        *("parent.version", "parent.adapter_sha256", "parent.dataset"),
    }
    assert (warm["train.max_steps"], warm["parent.version"]) == (2, 3)


@pytest.mark.parametrize(
    ("train", "steps", "save", "evaluate"),
    [
        ({"max_steps": 400, "save_steps": 50, "eval_steps": 100}, 40, 40, 40),
        ({"max_steps": 400, "save_steps": 50, "warm_steps": 80}, 80, 50, None),
        ({"max_steps": 3, "save_steps": 1}, 1, 1, None),
    ],
)
def test_the_schedule_is_a_tenth_of_a_full_run_or_what_is_set(
    train: dict[str, Any], steps: int, save: int, evaluate: int | None
) -> None:
    config = parse_config(small_values(Path("base"), **train))
    followed = as_trained(config, PARENT).train
    assert (followed.max_steps, followed.save_steps, followed.eval_steps) == (steps, save, evaluate)
    assert as_trained(as_trained(config, PARENT), PARENT).train == followed
    assert as_trained(config, None) is config


@pytest.mark.parametrize(
    ("train", "rate", "rows"),
    [
        ({"learning_rate": 0.005}, 0.0015, None),
        ({"learning_rate": 0.005, "embedding_learning_rate": 0.01}, 0.0015, 0.003),
        ({"learning_rate": 0.005, "embedding_learning_rate": 0.01, "warm_learning_rate": 0.01}, 0.01, 0.02),
    ],
)
def test_the_learning_rate_is_lower_or_what_is_set(train: dict[str, Any], rate: float, rows: float | None) -> None:
    config = parse_config(small_values(Path("base"), **train, max_steps=400, warmup_steps=20))
    followed = as_trained(config, PARENT).train
    assert (followed.learning_rate, followed.embedding_learning_rate) == pytest.approx((rate, rows))
    assert followed.warmup_steps == 10, "a quarter of the steps at most"


@pytest.fixture(scope="module")
def split(workshop: Path, dataset: str) -> TokenisedSplit:
    data = open_dataset(FolderStore(workshop / "home" / "store"), dataset, workshop / "home" / "cache")
    return TokenisedSplit(data, "train", ["summarize", "mcq"])


def drawn(
    split: TokenisedSplit, known: np.ndarray, *, share: float = 0.75, epochs: int = 8, seed: int = 3
) -> list[int]:
    rule = small_config_mixture()
    return [
        index
        for epoch in range(epochs)
        for index in ordered_in_parts(split, rule, [replayed(known, share)], seed=seed, epoch=epoch)
    ]


def small_config_mixture() -> Any:
    return parse_config(small_values(Path("base"))).data.mixture


def test_the_share_holds_within_each_task_and_nothing_comes_twice_before_all_have_come(split: TokenisedSplit) -> None:
    known = np.ones(len(split), dtype=bool)
    known[[0, 1, len(split) - 1]] = False  # two new summaries, one new passage
    seen = drawn(split, known)
    new = Counter(index for index in seen if not known[index])
    old = Counter(index for index in seen if known[index])
    assert abs(old.total() / len(seen) - 0.75) < 0.02
    assert len(seen) == 8 * len(split)
    tasks = [split[index][2] for index in seen]
    plain = [split[i][2] for epoch in range(8) for i in split.ordered(small_config_mixture(), seed=3, epoch=epoch)]
    assert abs(tasks.count(0) - plain.count(0)) <= 8, "the rates of the tasks are those of a full run"
    for task in (0, 1):
        for counts in (new, old):
            times = [number for index, number in counts.items() if split[index][2] == task]
            assert max(times) - min(times) <= 1


def test_the_order_is_a_function_of_seed_and_epoch(split: TokenisedSplit) -> None:
    known = np.arange(len(split)) % 5 > 0
    assert drawn(split, known) == drawn(split, known)
    assert drawn(split, known, seed=4) != drawn(split, known)


@pytest.mark.parametrize(("known", "share"), [(True, 0.75), (False, 0.75), (True, 0.0), (False, 0.0)])
def test_where_everything_is_old_or_new_all_of_it_is_drawn(split: TokenisedSplit, known: bool, share: float) -> None:
    seen = drawn(split, np.full(len(split), known), share=share)
    assert set(seen) == set(range(len(split)))


def test_without_replay_only_new_examples_are_drawn(split: TokenisedSplit) -> None:
    known = np.arange(len(split)) % 5 > 0
    assert not any(known[index] for index in drawn(split, known, share=0.0))


def test_old_and_new_are_told_apart_by_uid(workshop: Path, dataset: str, split: TokenisedSplit) -> None:
    """Compared with itself, a data set has nothing new; with one of other rows, nothing old but what both have."""
    data = open_dataset(FolderStore(workshop / "home" / "store"), dataset, workshop / "home" / "cache")
    assert known_examples(data, data, split.tasks).tolist() == [True] * len(split)
    values = small_values(workshop / "base")
    values["data"]["sources"][0]["rows"]["train"] += 1
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MTL_HOME", str(workshop / "home"))
        workspace = open_workspace()
        grown = open_dataset(workspace.store, prepare(workspace, parse_config(values)).fingerprint, workspace.cache)
    known = known_examples(grown, data, split.tasks)
    assert (len(known), int((~known).sum())) == (len(split) + 1, 1)
    assert not known[: len(grown.uids("summarize", "train"))].all()


def test_the_adapter_of_a_parent_is_compared_with_its_hash(tmp_path: Path) -> None:
    store = MemoryStore()
    with pytest.raises(DamageError, match=r"releases/m/v3/adapter_model.safetensors is missing from the release"):
        fetch_parent(store, PARENT, tmp_path)
    store.put(PARENT.key, b"other weights")
    with pytest.raises(DamageError, match=r"v3/adapter_model.safetensors is damaged: its sha256 is not ") as caught:
        fetch_parent(store, PARENT, tmp_path)
    assert "the adapter of m v3 cannot be started from" in str(caught.value.hint)
    store.put(PARENT.key, ADAPTER)
    path = fetch_parent(store, PARENT, tmp_path)
    assert path.read_bytes() == ADAPTER
    path.write_bytes(b"rotten")
    assert fetch_parent(store, PARENT, tmp_path).read_bytes() == ADAPTER


@pytest.mark.parametrize("start", ["champoin", "v0", "3", "", "v1\n"])
def test_a_start_that_is_none_is_refused_with_what_was_expected(start: str) -> None:
    with pytest.raises(MtlError, match=r"train\.from: expected scratch, champion, or a version such as v3"):
        parse_config(small_values(Path("base"), **{"from": start}))
