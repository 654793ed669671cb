"""Lists written as text: what their writers write is read back, and nothing is guessed."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtl.task import BadRow
from mtl.tasks.lists import list_in, read_list

TEXTS = st.lists(st.text(st.characters(codec="utf-8"), max_size=40), min_size=1, max_size=12)
WRITERS = {
    "json": json.dumps,
    "python": repr,
    "tuple": lambda texts: repr(tuple(texts)),
    "numpy": lambda texts: str(np.array(texts, dtype=object)),
    "numpy of texts": lambda texts: str(np.array(texts)),
    "repr of numpy": lambda texts: repr(np.array(texts, dtype=object)),
    "numpy's scalars": lambda texts: repr([np.str_(text) for text in texts]),
}


@pytest.mark.parametrize("writer", WRITERS)
@given(texts=TEXTS)
def test_a_list_is_read_as_it_was_written(writer: str, texts: list[str]) -> None:
    if "of texts" in writer or "scalars" in writer:
        texts = [text.rstrip("\x00") for text in texts]  # numpy's own texts do not keep these
    written = WRITERS[writer](texts)
    assert list(read_list(written, "options")) == texts
    if writer != "tuple" or len(texts) > 1:
        assert list(list_in(written, "highlights")) == texts


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("['a' 'b' ... 'c' 'd']", "shortened list"),
        ("['a', 'b', ..., 'd']", "shortened list"),
        ("['a', 'b' 'c', 'd', 'e']", "broken list"),  # Python would join two of them
        ("['a' 'b'", "broken list"),
        ("['a', 'b", "broken list"),
        ("['a' b 'c' 'd']", "broken list"),
        ("[a, b, c, d]", "wrong type"),
        ("a, b, c, d", "wrong type"),
        ("{'a' 'b'}x", "wrong type"),
        ("[" * 100_000, "wrong type"),
    ],
)
def test_what_is_no_whole_list_says_so(text: str, reason: str) -> None:
    with pytest.raises(BadRow) as caught:
        read_list(text, "options")
    assert (caught.value.reason, caught.value.field) == (reason, "options")


@pytest.mark.parametrize(
    "text",
    ["[Update] The town opened.", "(CNN) The town", "The 'town'", "[]", "('Tis the season)", '("Yes") he said', ""],
)
def test_running_text_is_not_taken_for_a_list(text: str) -> None:
    assert list_in(text, "highlights") is None


def test_text_that_begins_as_a_list_is_one_or_is_refused() -> None:
    with pytest.raises(BadRow, match=r"broken list \(highlights\)"):
        list_in("['One.', 'Tw", "highlights")


def test_line_breaks_and_both_kinds_of_quotes() -> None:
    assert read_list("""['it is "a"'\n "it's b"\n 'c\\'d "e"' 'f']""", "x") == ['it is "a"', "it's b", 'c\'d "e"', "f"]
    assert read_list("['a ... b' '...']", "x") == ["a ... b", "..."]
