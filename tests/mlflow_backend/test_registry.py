"""Versions in a real MLflow on SQLite: one for each identity and adapter, whatever happens."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from mtl.decision import Decision, DecisionState
from mtl.errors import DamageError, NotFoundError, TransientError
from mtl.fingerprint import sha256_file
from mtl.mlflow_backend.registry import MlflowRegistry
from mtl.mlflow_backend.tracker import MlflowTracker
from mtl.registry.base import Registered
from mtl.release.promote import follow, promote
from mtl.store.memory import MemoryStore
from tests.release.toy import facts, publish_toy
from tests.support.mlflow_db import fresh_tracking
from tests.support.trained import trained_model


@pytest.fixture
def tracking(tmp_path: Path) -> MlflowTracker:
    return fresh_tracking(tmp_path / "mlflow")


@pytest.fixture
def registry(tracking: MlflowTracker) -> MlflowRegistry:
    return MlflowRegistry(tracking, "toy")


def register(
    registry: MlflowRegistry, tracking: MlflowTracker, folder: Path, *, identity: str = "a" * 64, seed: int = 0
) -> Registered:
    model = trained_model(folder / f"seed-{seed}", base="demo", seed=seed)
    run = tracking.run_for(identity, experiment="retrain")
    return registry.register(run, model, identity=identity, fingerprint="f" * 64, code_version="1.0")


def test_a_version_with_its_tags_and_alias(registry: MlflowRegistry, tracking: MlflowTracker, tmp_path: Path) -> None:
    assert register(registry, tracking, tmp_path) == Registered(1, created=True)
    (info,) = registry.versions()
    assert (info.version, info.aliases, info.identity, info.fingerprint) == (1, ("candidate",), "a" * 64, "f" * 64)
    assert info.tags["code_version"] == "1.0"
    assert info.tags["adapter_sha256"] == sha256_file(tmp_path / "seed-0" / "adapter_model.safetensors")
    assert registry.version_of_run(info.run_id) == registry.find("a" * 64) == 1


def test_registering_again_finds_it(registry: MlflowRegistry, tracking: MlflowTracker, tmp_path: Path) -> None:
    register(registry, tracking, tmp_path)
    assert register(registry, tracking, tmp_path) == Registered(1, created=False)
    assert len(registry.versions()) == 1


def test_another_identity_or_adapter_is_another_version(
    registry: MlflowRegistry, tracking: MlflowTracker, tmp_path: Path
) -> None:
    register(registry, tracking, tmp_path)
    assert register(registry, tracking, tmp_path, identity="b" * 64).version == 2
    assert register(registry, tracking, tmp_path, seed=1).version == 3
    assert registry.aliases() == {"candidate": 3}
    assert not register(registry, tracking, tmp_path).created
    assert registry.aliases() == {"candidate": 3}


def test_a_create_that_was_answered_twice_is_one_version(
    registry: MlflowRegistry, tracking: MlflowTracker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    create = tracking.client.create_model_version

    def lost_answer(*args: object, **kwargs: object) -> object:
        create(*args, **kwargs)
        return create(*args, **kwargs)

    monkeypatch.setattr(tracking.client, "create_model_version", lost_answer)
    assert register(registry, tracking, tmp_path) == Registered(1, created=True, removed=(2,))
    assert [info.version for info in registry.versions()] == [1]


def test_two_at_once_agree_on_the_lowest(
    registry: MlflowRegistry, tracking: MlflowTracker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload = tracking.client.log_artifacts
    other: list[Registered] = []

    def interleave(*args: object) -> None:
        upload(*args)
        if not other:
            other.append(Registered(0, created=False))
            other[0] = register(registry, tracking, tmp_path)

    monkeypatch.setattr(tracking.client, "log_artifacts", interleave)
    mine = register(registry, tracking, tmp_path)
    assert mine.version == other[0].version == 1
    assert [info.version for info in registry.versions()] == [1]
    assert registry.aliases() == {"candidate": 1}


def test_a_double_that_is_champion_stays(registry: MlflowRegistry, tracking: MlflowTracker, tmp_path: Path) -> None:
    register(registry, tracking, tmp_path)
    source = tracking.client.get_model_version("toy", "1")
    tracking.client.create_model_version("toy", source.source, source.run_id, tags=source.tags)
    registry.set_alias("champion", 2)
    assert register(registry, tracking, tmp_path) == Registered(1, created=False)
    assert registry.aliases()["champion"] == 2


def test_aliases(registry: MlflowRegistry, tracking: MlflowTracker, tmp_path: Path) -> None:
    assert registry.aliases() == {}
    register(registry, tracking, tmp_path)
    registry.set_alias("champion", 1)
    registry.set_alias("champion", 1)
    assert registry.aliases() == {"candidate": 1, "champion": 1}
    registry.set_alias("champion", None)
    registry.set_alias("champion", None)
    assert registry.aliases() == {"candidate": 1}
    with pytest.raises(NotFoundError, match="could not set alias champion of toy"):
        registry.set_alias("champion", 9)


def test_the_registry_follows_the_journal(registry: MlflowRegistry, tracking: MlflowTracker, tmp_path: Path) -> None:
    from mtl.release.publish import publish

    store = MemoryStore()
    for seed in (0, 1):
        version = register(registry, tracking, tmp_path, seed=seed).version
        publish(store, tmp_path / f"seed-{seed}", model="toy", version=version, facts=facts())
    promote(store, 1, model="toy", expected=None, reason="first", actor="gate", aliases=registry)
    promote(store, 2, model="toy", expected=1, reason="better", actor="gate", aliases=registry)
    assert registry.aliases() == {"candidate": 2, "champion": 2, "previous": 1}


def test_decisions(registry: MlflowRegistry, tracking: MlflowTracker, tmp_path: Path) -> None:
    register(registry, tracking, tmp_path)
    assert registry.decision(1) is None
    rejected = Decision(
        state=DecisionState.REJECT,
        reasons=("mcq is worse: -0.10 [-0.15, -0.05]", "summarize ties"),
        policy_version="1",
    )
    registry.record_decision(1, rejected)
    assert registry.decision(1) == rejected
    promoted = Decision(
        state=DecisionState.APPROVED, reasons=("better on mcq",), against=7, by="Ann", policy_version="1"
    )
    registry.record_decision(1, promoted)
    assert registry.decision(1) == promoted
    (info,) = registry.versions()
    assert (info.decision, info.decision_by) == ("approved", "Ann")
    with pytest.raises(NotFoundError, match=r"toy has no v9 in .*\n  known: v1"):
        registry.decision(9)


@pytest.mark.parametrize(
    ("decision", "approval_by", "found"),
    [
        ("promote", "Ann", (DecisionState.APPROVED, "Ann")),
        ("reject", "Ann", (DecisionState.REFUSED, "Ann")),
        ("reject", "nobody", (DecisionState.UNANSWERED, "nobody")),
        ("reject", "", (DecisionState.REJECT, "gate")),
    ],
)
def test_answers_of_people_that_an_earlier_release_recorded_are_told_from_the_gates(
    registry: MlflowRegistry,
    tracking: MlflowTracker,
    tmp_path: Path,
    decision: str,
    approval_by: str,
    found: tuple[str, str],
) -> None:
    register(registry, tracking, tmp_path)
    registry.set_tags(1, {"decision": decision} | ({"approval_by": approval_by} if approval_by else {}))
    told = registry.decision(1)
    assert told is not None
    assert (told.state, told.by) == found


@pytest.mark.parametrize(("hours", "state"), [(1, DecisionState.WAITING), (-1, DecisionState.UNANSWERED)])
def test_a_version_that_nobody_answered_for_in_time_waits_no_more(
    registry: MlflowRegistry, tracking: MlflowTracker, tmp_path: Path, hours: int, state: DecisionState
) -> None:
    """The run that asks is ended by Prefect's server then, and cannot say so itself."""
    register(registry, tracking, tmp_path)
    until = datetime.now(UTC) + timedelta(hours=hours)
    registry.record_decision(1, Decision(state=DecisionState.WAITING, reasons=("better",)), until=until)
    decision = registry.decision(1)
    assert decision is not None
    assert (decision.state, registry.versions()[0].decision) == (state, state)


def test_very_long_reasons_are_kept_as_far_as_a_tag_goes(
    registry: MlflowRegistry, tracking: MlflowTracker, tmp_path: Path
) -> None:
    register(registry, tracking, tmp_path)
    registry.record_decision(1, Decision(state=DecisionState.REJECT, reasons=("x" * 20_000,)))
    decision = registry.decision(1)
    assert decision is not None
    assert len(decision.reasons[0]) == 4900


def test_metrics_of_the_run_are_listed(registry: MlflowRegistry, tracking: MlflowTracker, tmp_path: Path) -> None:
    register(registry, tracking, tmp_path)
    run = tracking.run_for("a" * 64, experiment="retrain")
    tracking.log_metrics(run, {"candidate/mcq/parsed": 0.9})
    assert registry.versions()[0].metrics == {"candidate/mcq/parsed": 0.9}


def test_no_version_from_a_folder_that_is_no_adapter(
    registry: MlflowRegistry, tracking: MlflowTracker, tmp_path: Path
) -> None:
    run = tracking.run_for("a", experiment="retrain")
    with pytest.raises(DamageError, match="is not a trained model"):
        registry.register(run, tmp_path, identity="a", fingerprint="f", code_version="1")
    assert registry.versions() == []


def test_a_dead_server_is_transient(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with pytest.raises(TransientError, match="could not read the aliases of toy"):
        MlflowRegistry(MlflowTracker("http://127.0.0.1:9"), "toy").aliases()


def test_nothing_of_this_machine_in_the_tags(registry: MlflowRegistry, tracking: MlflowTracker, tmp_path: Path) -> None:
    register(registry, tracking, tmp_path)
    assert str(tmp_path) not in json.dumps(dict(registry.versions()[0].tags))


def test_an_alias_moved_in_mlflow_is_taken_up(
    registry: MlflowRegistry, tracking: MlflowTracker, tmp_path: Path
) -> None:
    store = MemoryStore()
    for seed in (0, 1):
        register(registry, tracking, tmp_path, seed=seed)
        publish_toy(store, tmp_path / "toys", seed + 1)
    assert registry.synced() is None
    promote(store, 1, model="toy", expected=None, reason="first", actor="gate", aliases=registry)
    assert registry.synced() == 1
    tracking.client.set_registered_model_alias("toy", "champion", "2")
    followed = follow(store, model="toy", aliases=registry)
    assert followed.adopted is not None and followed.adopted.actor == "mlflow"
    assert registry.aliases() == {"candidate": 2, "champion": 2, "previous": 1}
    assert registry.synced() == 2
