"""Rollback by what was served: proved, not proved, too little to say, and who may act after whom."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest

from mtl.config.retrain import parse_config
from mtl.config.rollback import RollbackConfig
from mtl.errors import ConfigError
from mtl.promotion.served import AUTOMATIC, Tally, Watch, decide, held_back, lower_end, watch_of
from mtl.release.journal import Change, Journal, Kind
from mtl.traffic.records import ServedCounts

POLICY = RollbackConfig(enabled=True)
GATE = "gate 5-0a1b2c3d"
USUAL = ServedCounts(1, requests=1000, errors=10, refused=20, malformed=50, checked=400, unusable=40, good=80, bad=20)


@pytest.mark.parametrize(
    ("ours", "theirs", "low"),
    [  # Newcombe 1998, table II, method 10, whose intervals are of 95% on two sides
        ((56, 70), (48, 80), 0.0524),
        ((9, 10), (3, 10), 0.1705),
        ((6, 7), (2, 7), 0.0582),
        ((5, 56), (0, 29), -0.0381),
        ((0, 10), (0, 20), -0.1611),
        ((0, 10), (0, 10), -0.2775),
        ((10, 10), (0, 20), 0.6791),
        ((10, 10), (0, 10), 0.6075),
    ],
)
def test_the_interval_is_that_of_the_paper(ours: tuple[int, int], theirs: tuple[int, int], low: float) -> None:
    assert lower_end(Tally(*ours), Tally(*theirs), level=0.025) == pytest.approx(low, abs=5e-5)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"errors": 100}, "errors: 100 of 1000 texts failed (10.0%), and 10 of 1000 before (1.0%): a difference of "
                          "+9.0%, at least +5"),
        ({"refused": 150}, "refused: 150 of 1000 texts were refused (15.0%), and 20 of 1000 before (2.0%)"),
        ({"malformed": 200}, "malformed: 200 of 1000 texts were not answered in the task's form (20.0%), and 50"),
        ({"unusable": 120}, "unusable: 120 of 400 checked answers were unusable (30.0%), and 40 of 400 before (10.0%)"),
        ({"good": 30, "bad": 70}, "bad: 70 of 100 answers with feedback were called bad (70.0%), and 20 of 100 before"),
    ],
)  # fmt: skip
def test_a_rise_that_is_proved_rolls_back_and_is_the_first_reason(changed: dict[str, int], said: str) -> None:
    decision = decide(replace(USUAL, version=2, **changed), USUAL, POLICY)
    assert decision.roll_back
    assert decision.reasons[0].startswith(said)
    assert len(decision.reasons) == 5


@pytest.mark.parametrize(
    "changed",
    [
        {},
        {"errors": 0, "unusable": 0, "bad": 0},  # better
        {"errors": 28},  # surely worse, and within the margin
        {"unusable": 62},  # beyond the margin, and perhaps by accident
        {
            "requests": 200,
            "errors": 9,
            "refused": 4,
            "malformed": 10,
            "checked": 0,
            "unusable": 0,
        },  # few requests prove little
    ],
)
def test_what_is_no_proof_keeps_the_champion(changed: dict[str, int]) -> None:
    assert not decide(replace(USUAL, version=2, **changed), USUAL, POLICY).roll_back


@pytest.mark.parametrize(
    ("champion", "previous", "said"),
    [
        (replace(USUAL, version=2, requests=99, errors=99), USUAL, "v2 answered 99 texts; 100 are needed."),
        (replace(USUAL, version=2, errors=900), ServedCounts(1), "v1 answered 0 texts; 100 are needed."),
    ],
)
def test_too_few_requests_on_either_side_keep_it(champion: ServedCounts, previous: ServedCounts, said: str) -> None:
    decision = decide(champion, previous, POLICY)
    assert (decision.roll_back, decision.reasons) == (False, (said,))


def test_a_measure_with_too_few_trials_is_named_and_the_others_decide() -> None:
    worse = replace(USUAL, version=2, errors=100, good=0, bad=29)
    decision = decide(worse, USUAL, POLICY)
    assert decision.roll_back
    assert decision.reasons[-1] == "bad: 29 and 100 answers with feedback; 30 are needed on each side."
    assert not decide(replace(worse, errors=10), USUAL, POLICY).roll_back


def test_how_many_callers_ask_for_marks_decides_nothing() -> None:
    """Two versions of equal quality: a tenth of the answers has not the form, a fifth of the others a wrong key."""
    without = ServedCounts(1, requests=1000, malformed=100)
    few = ServedCounts(2, requests=1000, malformed=100, checked=90, unusable=18)
    many = ServedCounts(3, requests=1000, malformed=100, checked=900, unusable=180)
    for champion in (without, few, many):
        for previous in (without, few, many):
            assert not decide(champion, previous, POLICY).roll_back
    assert decide(replace(without, version=4, malformed=500), without, POLICY).roll_back


def test_only_the_measures_that_have_a_margin_decide() -> None:
    worse = replace(USUAL, version=2, errors=500)
    assert not decide(worse, USUAL, RollbackConfig(margins={"bad": 0.1})).roll_back


def test_a_champion_that_is_as_good_is_kept_however_often_one_looks() -> None:
    """Both versions are equal, one looks 144 times a day, and no margin forgives anything. At 5%, 5 are expected."""
    for margins in (dict.fromkeys(POLICY.margins, 0.0), {"errors": 0.0}):
        policy, random = RollbackConfig.model_validate({"margins": margins}), np.random.default_rng(18)
        assert sum(_rolled_back(random, policy, more=0.0) for _ in range(100)) <= 5
    assert sum(_rolled_back(random, POLICY, more=0.0) for _ in range(100)) == 0
    assert all(_rolled_back(random, POLICY, more=0.15) for _ in range(30))


def _rolled_back(random: np.random.Generator, policy: RollbackConfig, *, more: float) -> bool:
    """Whether one of 144 looks at a day of 60 requests an hour rolls back. more: by how much all shares are higher."""
    shares = {"errors": 0.01, "refused": 0.05, "unusable": 0.2}
    before = {name: int(random.binomial(1440, share)) for name, share in shares.items()}
    previous = ServedCounts(1, requests=1440, checked=1440, **before)
    failed = {name: random.binomial(10, share + more, 144).cumsum() for name, share in shares.items()}
    for look in range(144):
        n = 10 * (look + 1)
        counts = ServedCounts(2, requests=n, checked=n, **{name: int(found[look]) for name, found in failed.items()})
        if decide(counts, previous, policy).roll_back:
            return True
    return False


def journal(*moves: tuple[Kind, int, int | None, str]) -> Journal:
    """One entry an hour: kind, version, what it replaced, actor; by force if that one shouts."""
    stack: list[int] = []
    changes = []
    for hour, (kind, version, replaced, actor) in enumerate(moves):
        if kind == "rollback":
            stack.pop()
        elif version != replaced:
            stack.append(version)
        previous = stack[-2] if len(stack) > 1 else None
        at = datetime(2026, 11, 27, hour, tzinfo=UTC).isoformat(timespec="seconds")
        changes.append(Change(kind, version, previous, replaced, "because", actor, at, actor.isupper(), "0" * 64))
    return Journal(len(changes), changes)


FIRST, SECOND = ("promote", 1, None, GATE), ("promote", 2, 1, GATE)
BACK = ("rollback", 1, 2, AUTOMATIC)


@pytest.mark.parametrize(
    ("moves", "held"),
    [
        ([FIRST, SECOND], None),
        ([FIRST, ("promote", 2, 1, "Ann")], None),  # she promoted what the gate allowed, or approved it
        # What a person forced or confirmed is not undone, whether or not anything was rolled back before.
        ([FIRST, ("promote", 2, 1, "ANN")], "v2 was promoted by force by ANN on 2026-11-27T01:00"),
        ([FIRST, SECOND, ("promote", 2, 2, "Ann")], "v2 was confirmed by Ann on 2026-11-27T02:00"),
        ([FIRST, ("promote", 2, 1, "ANN"), ("promote", 3, 2, GATE)], None),
        ([FIRST, SECOND, BACK, ("promote", 2, 1, "ANN")], "v2 was promoted by force by ANN"),
        ([FIRST, SECOND, BACK, ("promote", 3, 1, GATE), ("promote", 3, 3, "Ann")], "v3 was confirmed by Ann"),
        ([FIRST, SECOND, BACK, ("promote", 3, 1, GATE), ("promote", 3, 3, "Ann"), ("promote", 4, 3, GATE)], None),
        ([FIRST, SECOND, BACK], "v1 came back by a rollback"),
        ([FIRST, SECOND, ("rollback", 1, 2, "Ann")], "v1 came back by a rollback"),
        # The gate promotes again after an automatic rollback, and nobody has looked.
        ([FIRST, SECOND, BACK, ("promote", 3, 1, GATE)], "v2 was rolled back automatically on 2026-11-27T02:00"),
        ([FIRST, SECOND, BACK, ("promote", 3, 1, GATE), ("promote", 4, 3, GATE)], "no person has promoted, rolled"),
        # A person did: promoted, approved, rolled back, moved an alias, or vouched for the journal.
        ([FIRST, SECOND, BACK, ("promote", 3, 1, "Ann")], None),
        ([FIRST, SECOND, BACK, ("promote", 3, 1, "mlflow"), ("promote", 4, 3, GATE)], None),
        ([FIRST, SECOND, BACK, ("promote", 3, 1, GATE), ("rollback", 1, 3, "Ann"), ("promote", 4, 1, GATE)], None),
        ([FIRST, SECOND, BACK, ("promote", 1, 1, "Ann"), ("promote", 3, 1, GATE)], None),
        ([FIRST, SECOND, BACK, ("promote", 1, 1, "Ann")], "v1 came back by a rollback"),
    ],
)  # fmt: skip
def test_never_against_a_person_and_never_twice_in_a_row_without_one(moves: list[Any], held: str | None) -> None:
    found = held_back(journal(*moves))
    assert found is None if held is None else found is not None and held in found


@pytest.mark.parametrize(
    ("moves", "watch"),
    [
        ([], "There is no champion yet."),
        ([FIRST], "v1 is the first champion: there is none to go back to."),
        ([FIRST, SECOND], (2, 1, 1, 1)),
        ([FIRST, SECOND, ("promote", 2, 2, "Ann")], (2, 1, 1, 1)),  # a signature of the journal changes nothing
        # v1 served last before v2 replaced it, not when v3 was rolled back.
        ([FIRST, SECOND, ("promote", 3, 2, GATE), ("rollback", 2, 3, "Ann")], (2, 1, 3, 1)),
    ],
)
def test_who_is_compared_with_whom(moves: list[Any], watch: Any) -> None:
    found = watch_of(journal(*moves), POLICY)
    if isinstance(found, Watch):
        assert (found.champion, found.previous, found.began.hour, found.ended.hour) == watch
        assert (found.over - found.began).total_seconds() == 24 * 3600
    else:
        assert found == watch


@pytest.mark.parametrize(
    ("times", "since"),
    [
        (["10:05"], "10:05"),
        (["10:05", "10:40", "10:50"], "11:00"),  # what it did until 10:40 is counted with what it did since 10:50
        (["09:05", "09:59", "10:50"], "10:50"),
        (["09:05", "10:00", "23:50"], "23:50"),
        (["23:05", "23:40", "23:50"], "00:00"),
    ],
)
def test_counts_from_before_it_became_champion_again_are_left_out(times: list[str], since: str) -> None:
    """v2 is promoted at the first time, rolled back at the second, and promoted again at the third."""
    moves: list[Any] = [FIRST, SECOND, BACK, ("promote", 2, 1, "Ann")]
    moved = journal(*moves[: len(times) + 1])
    changes = [
        replace(change, at=f"2026-11-27T{at}:00+00:00")
        for change, at in zip(moved.changes, ["08:00", *times], strict=True)
    ]
    watch = watch_of(Journal(moved.seq, changes), POLICY)
    assert isinstance(watch, Watch)
    assert f"{watch.since:%H:%M}" == since
    assert timedelta(0) <= watch.since - watch.began <= timedelta(hours=1)
    assert watch.began.isoformat() == changes[-1].at


def test_the_section_says_what_is_wrong_with_it() -> None:
    values = {
        "data": {"sources": [{"task": "mcq", "uri": "demo"}]},
        "watch": {"rollback": {"enabled": True, "margins": {"error": 0.1}, "hour": 3}},
    }
    with pytest.raises(ConfigError) as error:
        parse_config(values)
    assert "watch.rollback.hour: unknown key; did you mean 'hours'?" in str(error.value)
    assert "watch.rollback.margins.error" in str(error.value)
