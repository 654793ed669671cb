"""How often rows of people are drawn: their share, whatever else is configured, as a function of seed and epoch."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mtl.config.data import DataConfig
from mtl.config.retrain import RetrainConfig, parse_config
from mtl.data.dataset import open_dataset
from mtl.data.prepare import prepare
from mtl.store.memory import MemoryStore
from mtl.training.build import rank_batches
from mtl.training.dataset import TokenisedSplit
from mtl.training.parts import Division, of_people, ordered_in_parts, people_examples
from mtl.training.plan import identity_fields
from mtl.training.warm import replayed
from tests.support.feedback import MODEL, quiz, said, say
from tests.support.rows import article, question, write_jsonl
from tests.support.words import word_tokenizer

TASKS = ["summarize", "mcq"]
SHARE = 0.25


@pytest.fixture(scope="module")
def taught(tmp_path_factory: pytest.TempPathFactory) -> tuple[TokenisedSplit, np.ndarray]:
    """40 articles and 30 passages, and what people said: 4 summaries and no question. Which examples are which."""
    folder, store = tmp_path_factory.mktemp("taught"), MemoryStore()
    write_jsonl(folder / "news" / "train.jsonl", [article(n) for n in range(40)])
    passages = [question(n, passage=f"Passage {n} says that Tom has a dog.") for n in range(30)]
    write_jsonl(folder / "race" / "train.jsonl", passages)
    say(store, *(said(n) for n in range(4)), quiz(9, "unclear"))
    sources = [
        {"task": "summarize", "uri": str(folder / "news")},
        {"task": "mcq", "uri": str(folder / "race")},
        *({"task": task, "uri": f"feedback:{MODEL}"} for task in TASKS),
    ]
    config = DataConfig.model_validate({"sources": sources, "requests": {"all": 1}, "near_duplicates": None})
    manifest = prepare(config, seed=5, tokenizer=word_tokenizer(), store=store, cache=folder / "cache")
    data = open_dataset(store, manifest.fingerprint, folder / "cache")
    return TokenisedSplit(data, "train", TASKS), people_examples(data, TASKS)


def configured(**mixture: Any) -> RetrainConfig:
    sources = [{"task": task, "uri": "demo"} for task in TASKS]
    return parse_config({"data": {"sources": sources, "mixture": mixture}, "train": {"max_tokens_per_batch": 256}})


def drawn(split: TokenisedSplit, divisions: list[Division], *, epochs: int = 8, seed: int = 3) -> list[int]:
    rule = configured().data.mixture
    return [
        index for epoch in range(epochs) for index in ordered_in_parts(split, rule, divisions, seed=seed, epoch=epoch)
    ]


def test_people_have_their_share_of_the_task_that_they_spoke_of(taught: tuple[TokenisedSplit, np.ndarray]) -> None:
    split, people = taught
    assert (len(people), int(people.sum()), split.sizes) == (len(split), 4, [44, 30])
    seen = drawn(split, [of_people(people, SHARE)])
    summaries = [index for index in seen if index < 44]
    assert len(seen) == 8 * len(split) and len(summaries) == 8 * 44, "the rates of the tasks stay what they were"
    times = Counter(index for index in summaries if people[index])
    assert times.total() / len(summaries) == pytest.approx(SHARE, abs=0.01)
    assert max(times.values()) - min(times.values()) <= 1, "none comes twice before all have come"
    others = Counter(index for index in seen if not people[index])
    assert set(others) == set(np.flatnonzero(~people).tolist())


def test_a_warm_start_replays_within_what_is_left(taught: tuple[TokenisedSplit, np.ndarray]) -> None:
    split, people = taught
    known = np.arange(len(split)) % 4 > 0
    seen = drawn(split, [of_people(people, SHARE), replayed(known, 0.75)])
    summaries = [index for index in seen if index < 44]
    assert sum(people[index] for index in summaries) / len(summaries) == pytest.approx(SHARE, abs=0.02)
    for part in (True, False):
        mine = [index for index in summaries if people[index] == part]
        assert sum(known[index] for index in mine) / len(mine) == pytest.approx(0.75, abs=0.04)


def test_few_new_opinions_do_not_take_all_that_a_warm_start_does_not_replay(
    taught: tuple[TokenisedSplit, np.ndarray],
) -> None:
    split, people = taught
    known = np.ones(len(split), dtype=bool)
    known[np.flatnonzero(people)[:2]] = False
    seen = drawn(split, [of_people(people, SHARE), replayed(known, 0.5)])
    summaries = [index for index in seen if index < 44]
    assert sum(people[index] for index in summaries) / len(summaries) == pytest.approx(SHARE, abs=0.02)
    assert sum(not known[index] for index in summaries) / len(summaries) == pytest.approx(SHARE / 2, abs=0.02)


def test_the_order_is_a_function_of_seed_and_epoch(taught: tuple[TokenisedSplit, np.ndarray]) -> None:
    split, people = taught
    divisions = [of_people(people, SHARE)]
    assert drawn(split, divisions) == drawn(split, divisions) != drawn(split, divisions, seed=4)


def test_batches_are_the_same_on_every_start_and_differ_between_ranks(
    taught: tuple[TokenisedSplit, np.ndarray],
) -> None:
    split, people = taught
    config = configured(feedback=SHARE)
    whole = list(rank_batches(config, split, people=people))
    assert list(rank_batches(config, split, people=people)) == whole
    ranks = [list(rank_batches(config, split, people=people, rank=rank, world=2)) for rank in (0, 1)]
    turns = [batch for pair in zip(*ranks, strict=True) for batch in pair]
    assert turns[: len(whole)] == whole


def test_without_a_share_or_without_people_nothing_changes(taught: tuple[TokenisedSplit, np.ndarray]) -> None:
    split, people = taught
    plain = list(rank_batches(configured(), split))
    assert list(rank_batches(configured(), split, people=people)) == plain
    assert list(rank_batches(configured(feedback=SHARE), split)) == plain
    assert list(rank_batches(configured(feedback=SHARE), split, people=people)) != plain


def test_the_share_is_part_of_the_identity(tmp_path: Path) -> None:
    fields = [
        identity_fields(config, dataset="d", base_sha256="b", device="cpu", world_size=1)
        for config in (configured(), configured(feedback=SHARE))
    ]
    assert [its["data.mixture.feedback"] for its in fields] == [None, SHARE]


@pytest.mark.parametrize("share", [0, 1, -0.1, 1.5, float("nan"), "all"])
def test_a_share_that_is_none_is_refused(share: Any) -> None:
    with pytest.raises(Exception, match=r"data\.mixture\.feedback"):
        configured(feedback=share)


def test_a_single_new_row_is_not_learned_by_heart() -> None:
    summaries, questions = np.arange(2000), np.arange(2000, 2030)
    division = replayed(np.arange(2030) != 7, 0.75)
    parts = {name: rate for name, _, rate in division.of(("summarize", summaries, 0.5))}
    assert parts["summarize new"] == pytest.approx(0.5 * 25 / 2000), "25 times as often as in a full run"
    assert sum(parts.values()) == pytest.approx(0.5), "the task keeps its rate"
    assert [(name, rate) for name, _, rate in division.of(("mcq", questions, 0.5))] == [("mcq old", 0.5)]
