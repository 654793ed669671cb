"""Where two trainings part, and how the result reads."""

from __future__ import annotations

import pytest

from mtl.pipeline.reproduction import Difference, FirstStep, Reproduction, first_difference

THREADS = Difference("threads", "2", "3")
PACKAGES = [Difference(f"package.p{n}", "1", "2", decides=False) for n in range(6)]


@pytest.mark.parametrize(
    ("recorded", "found", "first"),
    [
        ([1.0, 2.0], [1.0, 2.0], None),
        ([1.0, 2.0], [1.0, 2.0000000000000004], FirstStep(2, 2.0, 2.0000000000000004)),
        ([None, 2.0], [1.5, 2.0], None),
        ([1.0, 2.0], [1.0], FirstStep(2, 2.0, None)),
        ([1.0], [1.0, 2.0], FirstStep(2, None, 2.0)),
        ([], [], None),
    ],
)
def test_the_first_step_that_differs(
    recorded: list[float | None], found: list[float | None], first: FirstStep | None
) -> None:
    assert first_difference(recorded, found) == first


def reproduction(found: str | None, *differences: Difference, first: FirstStep | None = None) -> Reproduction:
    return Reproduction(
        model="m",
        version=1,
        identity="a" * 64,
        recorded="b" * 64,
        found=found,
        steps=400,
        first=first,
        differences=differences,
        seconds=1.0,
    )


@pytest.mark.parametrize(
    ("result", "code", "sentence"),
    [
        (reproduction("b" * 64), 0, "m v1 is bit-equal: trained again, its adapter has the same sha256 bbbbbbbbbbbb."),
        (
            reproduction("b" * 64, THREADS),
            0,
            "m v1 is bit-equal: trained again, its adapter has the same sha256 bbbbbbbbbbbb, although these differ: "
            "threads (recorded 2, found 3).",
        ),
        (
            reproduction("c" * 64, THREADS, first=FirstStep(17, 0.5, 0.25)),
            3,
            "m v1 differs: the first step whose loss differs is 17 of 400 (recorded 0.5, found 0.25); these differ: "
            "threads (recorded 2, found 3).",
        ),
        (
            reproduction("c" * 64),
            3,
            "m v1 differs: the losses of all 400 steps are equal, but not the adapter; nothing else that was recorded "
            "differs.",
        ),
        (
            reproduction("c" * 64, first=FirstStep(300, 0.5, None)),
            3,
            "m v1 differs: one of the two trainings ended before step 300, and the losses before it are equal; nothing "
            "else that was recorded differs.",
        ),
        (reproduction(None), 0, "m v1 was not trained again; nothing differs so far."),
        (
            reproduction(None, *PACKAGES, THREADS),
            3,
            "m v1 was not trained again; these differ: threads (recorded 2, found 3), "
            "package.p0 (recorded 1, found 2), package.p1 (recorded 1, found 2), package.p2 (recorded 1, found 2), "
            "and 3 more (--json lists them).",
        ),
        (
            reproduction(None, *PACKAGES[:1]),
            0,
            "m v1 was not trained again; these differ: package.p0 (recorded 1, found 2).",
        ),
    ],
)
def test_the_sentence_and_the_exit_code(result: Reproduction, code: int, sentence: str) -> None:
    assert (result.exit_code, result.sentence()) == (code, sentence)
