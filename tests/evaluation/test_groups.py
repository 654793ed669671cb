"""Calls are a function of the set of inputs, and a few inputs more or fewer change few of them."""

from __future__ import annotations

import random

import pytest

from mtl.evaluation.groups import groups_of, most_of


def texts(count: int, *, seed: int = 1, longest: int = 400) -> list[str]:
    draw = random.Random(seed)
    return [f"{number} {'x' * draw.randrange(longest // 2, longest)}" for number in range(count)]


def sets(found: list[str], most: int = 32) -> set[tuple[str, ...]]:
    return {tuple(found[index] for index in group) for group in groups_of(found, most=most)}


@pytest.mark.parametrize("count", [0, 1, 31, 32, 33, 500])
@pytest.mark.parametrize("most", [1, 32, 100])
def test_each_text_is_in_one_group_of_bounded_size(count: int, most: int) -> None:
    groups = groups_of(texts(count), most=most)
    assert sorted(index for group in groups for index in group) == list(range(count))
    assert all(1 <= len(group) <= most for group in groups)


def test_the_order_of_the_texts_does_not_matter() -> None:
    found = texts(500)
    mixed = random.Random(2).sample(found, len(found))
    ordered = [[own[index] for index in group] for own in (found, mixed) for group in groups_of(own, most=32)]
    assert ordered[: len(ordered) // 2] == ordered[len(ordered) // 2 :]


def test_a_text_more_or_less_changes_one_group() -> None:
    found = texts(600)
    for number in range(0, 600, 7):
        fewer = found[:number] + found[number + 1 :]
        before, after = sets(found), sets(fewer)
        assert len(before - after) <= 2 and len(after - before) <= 1


def test_one_in_a_hundred_texts_changed_leaves_most_groups() -> None:
    found = texts(2000)
    changed = [f"new {text}" if number % 100 == 0 else text for number, text in enumerate(found)]
    before, after = sets(found), sets(changed)
    assert len(before & after) >= 0.55 * len(before), "a text left and a text came in 20 places"


def test_groups_are_filled_and_of_like_length() -> None:
    found = texts(2000, longest=3000)
    groups = groups_of(found, most=32)
    assert len(found) / len(groups) >= 16
    padded = sum(len(group) * len(found[group[0]]) for group in groups)
    assert padded <= 1.3 * sum(map(len, found))


def test_the_longest_come_first() -> None:
    found = texts(300, longest=3000)
    groups = groups_of(found, most=32)
    firsts = [len(found[group[0]]) for group in groups]
    assert firsts == sorted(firsts, reverse=True)
    assert all(len(found[group[0]]) == max(len(found[index]) for index in group) for group in groups)


@pytest.mark.parametrize(("batch", "longest", "most"), [(8192, 256, 32), (8192, 512, 32), (65536, 512, 128)])
def test_a_group_holds_what_a_batch_takes(batch: int, longest: int, most: int) -> None:
    assert most_of(batch_tokens=batch, max_input_tokens=longest) == most
