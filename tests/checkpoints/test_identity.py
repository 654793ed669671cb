"""RunIdentity: one hash for one run, and a mismatch that names the field."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mtl.checkpoints.identity import RunIdentity, check_resume, refused_fields
from mtl.errors import DamageError, MismatchError
from tests.support.checkpoints import identity

VALUES = st.one_of(st.integers(), st.text(), st.booleans(), st.none(), st.lists(st.integers(), max_size=3))
FIELDS = st.dictionaries(st.text(st.characters(codec="ascii", exclude_characters="."), min_size=1), VALUES, max_size=6)


@settings(suppress_health_check=[HealthCheck.too_slow])  # a busy machine is slow
@given(FIELDS)
def test_the_hash_is_of_the_content_not_of_the_order(fields: dict[str, object]) -> None:
    shuffled = dict(reversed(fields.items()))
    assert RunIdentity.of("x", fields) == RunIdentity.of("x", shuffled)
    assert RunIdentity.of("x", fields).sha256 == RunIdentity.of("x", shuffled).sha256


@settings(suppress_health_check=[HealthCheck.too_slow])  # a busy machine is slow
@given(FIELDS)
def test_json_round_trip(fields: dict[str, object]) -> None:
    run = RunIdentity.of("x", fields)
    assert RunIdentity.from_json(run.to_json()) == run


@given(FIELDS, FIELDS)
def test_equal_hash_means_no_difference(one: dict[str, object], other: dict[str, object]) -> None:
    a, b = RunIdentity.of("x", one), RunIdentity.of("x", other)
    assert (a.sha256 == b.sha256) == (a.difference(b) == [])
    assert a.difference(b) == b.difference(a)


@pytest.mark.parametrize("data", [b"", b"{}", b"[]", b'{"identity": "0", "name": "x", "fields": {}}'])
def test_damage_is_noticed(data: bytes) -> None:
    with pytest.raises(DamageError, match=r"identity\.json is damaged"):
        RunIdentity.from_json(data)


def test_a_mismatch_names_field_and_both_values() -> None:
    old = identity()
    new = identity(config={"seed": 2, "train": {"accumulation": 4}}, threads=8)
    assert new.difference(old) == ["config.seed", "config.train.accumulation", "threads"]
    with pytest.raises(MismatchError) as caught:
        check_resume(old, new, mode="exact")
    text = str(caught.value)
    assert "  config.seed: was 1, is now 2\n  config.train.accumulation: was 1, is now 4\n  threads: was 2, is" in text
    assert caught.value.field == "config.seed"
    assert caught.value.exit_code == 2
    assert "leave out --resume" in text
    assert "compatible" not in text


def test_compatible_mode_lets_the_machine_differ_and_says_in_what() -> None:
    old, new = identity(device="cpu"), identity(threads=8, device="cuda", world_size=2)
    assert check_resume(old, new, mode="compatible") == ["device", "threads", "world_size"]
    with pytest.raises(MismatchError, match=r"world_size: was \(not there\), is now 2") as caught:
        check_resume(old, new, mode="exact")
    assert "train.resume: compatible" in (caught.value.hint or "")


@pytest.mark.parametrize(
    ("fields", "exact", "compatible"),
    [
        ([], [], []),
        (["threads", "device", "world_size"], ["threads", "device", "world_size"], []),
        (["device.kind"], ["device.kind"], []),
        (["versions.torch", "threads"], ["versions.torch", "threads"], ["versions.torch"]),
        (["threadsafe", "config.threads"], ["threadsafe", "config.threads"], ["threadsafe", "config.threads"]),
        (["something.new"], ["something.new"], ["something.new"]),
    ],
)
def test_rule_per_field(fields: list[str], exact: list[str], compatible: list[str]) -> None:
    assert refused_fields(fields, "exact") == exact
    assert refused_fields(fields, "compatible") == compatible
