from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from mtl.data.manifest import DatasetManifest
from mtl.data.near import FAR, RANKS, Signatures, find_near
from mtl.data.splits import ORDER
from mtl.tasks.text import passage_key
from tests.data.conftest import config
from tests.support.rows import article, write_jsonl

Run = Callable[..., DatasetManifest]
WORDS = [f"w{n}" for n in range(2000)]


def text(seed: int, length: int = 200) -> str:
    return " ".join(random.Random(seed).choices(WORDS, k=length))


def changed(original: str, words: int) -> str:
    """The text with so many words, far apart, exchanged."""
    parts = original.split()
    for n in range(words):
        parts[(n * len(parts)) // max(1, words)] = f"new{n}"
    return " ".join(parts)


def found(
    texts: list[tuple[str, str]], *, threshold: float = 0.8, parts: int = 1, put: tuple[int, ...] = ()
) -> dict[str, str]:
    """{text: split that has its near-duplicate}. put: numbers of the texts that people put where they are."""
    goals = np.array([ORDER.index(split) for split, _ in texts], np.uint8)
    batches = []
    for part in range(parts):
        mine = np.arange(part, len(texts), parts)
        signatures = Signatures()
        for row, number in enumerate(mine.tolist()):
            signatures.add(row, passage_key(texts[number][1]), texts[number][1])
        records = signatures.array()
        batches.append((mine[records["row"]], records["signature"]))
    by_people = np.isin(np.arange(len(texts)), put)
    near = find_near(lambda: batches, goals, threshold, put=by_people).tolist()
    return {its: RANKS[rank][0] for (_, its), rank in zip(texts, near, strict=True) if rank != FAR}


def test_near_duplicates_are_found_and_others_are_not() -> None:
    held = [("validation", text(n)) for n in range(20)]
    near = [("train", changed(text(n), 3)) for n in range(20)]
    far = [("train", changed(text(n), 60)) for n in range(20)] + [("train", text(n)) for n in range(100, 200)]
    expected = {its: "validation" for _, its in near}
    assert found([*far, *held, *near]) == expected
    assert found([*near, *held, *far], parts=3) == expected


def test_test_goes_before_validation_before_train() -> None:
    texts = [("train", changed(text(1), 2)), ("validation", changed(text(1), 1)), ("test", text(1))]
    assert found(texts) == {texts[0][1]: "test", texts[1][1]: "test"}


@pytest.mark.parametrize("split", ["validation", "test"])
def test_what_people_put_somewhere_gives_way_to_what_others_hold_out(split: str) -> None:
    texts = [("test", text(1)), (split, changed(text(1), 1)), ("train", changed(text(1), 2))]
    expected = {texts[2][1]: split}
    assert found(texts, put=(0,)) == expected | ({texts[0][1]: split} if split == "validation" else {})
    assert found(texts[::2], put=(0,)) == {texts[2][1]: "test"}


def test_one_split_alone_is_no_matter() -> None:
    assert found([("train", text(1)), ("train", changed(text(1), 1))]) == {}


@pytest.mark.parametrize("short", ["one", "one two", "one two three"])
def test_short_texts_have_signatures(short: str) -> None:
    assert found([("train", f"{short} four five"), ("test", short)]) == {}


def test_they_leave_train_with_counts(folder: Path, run: Run) -> None:
    rows = [article(n, article=text(n)) for n in range(30)]
    write_jsonl(folder / "news" / "train.jsonl", rows)
    write_jsonl(folder / "news" / "validation.jsonl", [article(99, article=changed(text(n), 2)) for n in range(4)])
    counts = run(config(folder)).counts["summarize"]
    assert (counts["train"].rows, counts["train"].kept, counts["train"].quarantined) == (30, 26, 4)
    assert counts["validation"].kept == 4
    manifest = run(config(folder))
    assert manifest.quarantine == {"near-duplicate in validation": 4}
    assert run(config(folder, near_duplicates=None)).counts["summarize"]["train"].kept == 30


def test_what_is_held_out_has_no_near_duplicate_in_train(folder: Path, run: Run) -> None:
    twins = [its for n in range(40) for its in (text(n), changed(text(n), 2))]
    write_jsonl(folder / "news" / "train.jsonl", [article(n, article=its) for n, its in enumerate(twins)])
    (folder / "news" / "validation.jsonl").unlink()
    manifest = run(config(folder, holdout={"validation": 0.2}, max_bad_share=0.5))
    counts = manifest.counts["summarize"]
    assert counts["validation"].kept > 0 and counts["train"].quarantined > 0
    assert manifest.quarantine == {"near-duplicate in validation": counts["train"].quarantined}
    assert counts["train"].rows + counts["validation"].rows == 80
