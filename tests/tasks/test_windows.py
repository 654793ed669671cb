from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from mtl.tasks.windows import windows

SENTENCES = [f"Number {n} says so." for n in range(30)]


def count(text: str) -> int:
    return len(text.split()) + 1


def cut(text: str, room: int, most: int = 8, lead_share: float = 0.25) -> list[str]:
    return [window for _, window in windows(text, room=room, lead_share=lead_share, most=most, count=count)]


def test_a_text_that_fits_has_no_later_window() -> None:
    assert cut(" ".join(SENTENCES), room=4 * 30) == []
    assert len(cut(" ".join(SENTENCES), room=4 * 30 - 1)) == 1


def test_windows_begin_with_the_lead_and_go_on_where_the_first_input_ended() -> None:
    found = cut(" ".join(SENTENCES), room=40)
    assert found[0] == " ".join([*SENTENCES[:2], *SENTENCES[10:18]])
    assert found[1] == " ".join([*SENTENCES[:2], *SENTENCES[18:26]])
    assert found[2] == " ".join([*SENTENCES[:2], *SENTENCES[26:30]])
    assert len(found) == 3


def test_there_are_no_more_windows_than_wanted() -> None:
    assert len(cut(" ".join(SENTENCES), room=40, most=2)) == 2


@given(st.lists(st.integers(1, 30), min_size=1, max_size=40), st.integers(5, 60), st.floats(0.05, 0.9))
def test_all_of_a_text_is_seen_and_windows_fit_if_sentences_do(sizes: list[int], room: int, share: float) -> None:
    sentences = [" ".join([*(f"w{n}" for _ in range(size - 1)), f"s{n}."]) for n, size in enumerate(sizes)]
    found = cut(" ".join(sentences), room=room, most=1000, lead_share=share)
    seen = " ".join([*" ".join(sentences).split()[:room], *found])
    assert all(f"s{n}." in seen.split() or sizes[n] > 1 for n in range(len(sizes)))
    lead = sizes[0]
    if all(size <= room - max(lead, round(share * room)) for size in sizes):
        assert all(count(window) - 1 <= room for window in found)
        assert {f"s{n}." for n in range(len(sizes))} <= set(seen.split())
