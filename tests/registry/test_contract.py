"""What every registry must do: one suite on the in-memory registry and on a real MLflow."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from mtl.decision import Decision, DecisionState
from mtl.errors import DamageError, NotFoundError
from mtl.mlflow_backend.registry import MlflowRegistry
from mtl.registry.base import ModelRegistry, Registered
from mtl.registry.memory import MemoryRegistry
from mtl.release.promote import promote
from mtl.store.memory import MemoryStore
from tests.release.toy import publish_toy
from tests.support.mlflow_db import fresh_tracking
from tests.support.trained import trained_model

Register = Callable[..., Registered]
MODEL = "toy"


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two trained adapters."""
    root = tmp_path_factory.mktemp("trained")
    return [trained_model(root / str(seed), base="demo", seed=seed) for seed in (0, 1)]


@pytest.fixture(params=["memory", "mlflow"])
def made(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[ModelRegistry, Callable[[str], str]]:
    """(an empty registry, run of an identity)."""
    if request.param == "memory":
        return MemoryRegistry(MODEL), lambda identity: f"run-{identity[:4]}"
    tracking = fresh_tracking(tmp_path / "mlflow")
    return MlflowRegistry(tracking, MODEL), lambda identity: tracking.run_for(identity, experiment="retrain")


@pytest.fixture
def registry(made: tuple[ModelRegistry, Callable[[str], str]]) -> ModelRegistry:
    return made[0]


@pytest.fixture
def register(made: tuple[ModelRegistry, Callable[[str], str]], folders: list[Path]) -> Register:
    registry, run_of = made

    def call(identity: str = "a" * 64, *, adapter: int = 0) -> Registered:
        return registry.register(
            run_of(identity), folders[adapter], identity=identity, fingerprint="f" * 64, code_version="1.0"
        )

    return call


def test_a_version_is_made_once_for_each_identity_and_adapter(registry: ModelRegistry, register: Register) -> None:
    assert register() == Registered(1, created=True)
    assert register() == Registered(1, created=False)
    assert register("b" * 64) == Registered(2, created=True)
    assert register(adapter=1) == Registered(3, created=True)
    assert [info.version for info in registry.versions()] == [3, 2, 1]
    assert registry.find("a" * 64) == 3 and registry.find("c" * 64) is None
    assert registry.version_of_run(registry.version(1).run_id) == 1
    assert registry.version_of_run("no such run") is None


def test_a_version_knows_where_it_came_from(registry: ModelRegistry, register: Register) -> None:
    register()
    info = registry.version(1)
    assert (info.identity, info.fingerprint, info.aliases) == ("a" * 64, "f" * 64, ("candidate",))
    assert info.tags["code_version"] == "1.0"
    assert info.decision == "" and registry.decision(1) is None


def test_the_newest_version_is_the_candidate(registry: ModelRegistry, register: Register) -> None:
    assert registry.aliases() == {}
    register()
    register("b" * 64)
    register()
    assert registry.aliases() == {"candidate": 2}


def test_aliases_are_set_moved_and_removed(registry: ModelRegistry, register: Register) -> None:
    register()
    register("b" * 64)
    for version in (1, 2, 2):
        registry.set_alias("champion", version)
        assert registry.aliases()["champion"] == version
    for _ in range(2):
        registry.set_alias("champion", None)
        assert "champion" not in registry.aliases()


def test_the_entry_that_the_aliases_followed_is_kept(registry: ModelRegistry, register: Register) -> None:
    assert registry.synced() is None
    register()
    registry.set_synced(4)
    assert registry.synced() == 4
    registry.set_synced(None)
    assert registry.synced() is None


def test_a_decision_is_read_as_it_was_recorded(registry: ModelRegistry, register: Register) -> None:
    register()
    for decision in (
        Decision(state=DecisionState.REJECT, reasons=("mcq is worse: -0.1", "summarize ties"), policy_version="3-a"),
        Decision(state=DecisionState.APPROVED, reasons=("better",), against=7, by="Ann", policy_version="3-a"),
    ):
        registry.record_decision(1, decision)
        assert registry.decision(1) == decision
        info = registry.version(1)
        assert (info.decision, info.decision_by, info.reasons) == (decision.state, decision.by, decision.reasons)


@pytest.mark.parametrize(("hours", "state"), [(1, DecisionState.WAITING), (-1, DecisionState.UNANSWERED)])
def test_the_wait_for_a_person_ends(
    registry: ModelRegistry, register: Register, hours: int, state: DecisionState
) -> None:
    register()
    waiting = Decision(state=DecisionState.WAITING, reasons=("better",))
    registry.record_decision(1, waiting, until=datetime.now(UTC) + timedelta(hours=hours))
    found = registry.decision(1)
    assert found is not None and found.state is state
    assert registry.version(1).decision == state


def test_tags_and_description(registry: ModelRegistry, register: Register) -> None:
    register()
    registry.set_tags(1, {"kept": "yes", "gone": "soon", "empty": ""})
    registry.set_tags(1, {"gone": ""})
    registry.describe(1, "**v1** passed the gate.")
    info = registry.version(1)
    assert info.tags["kept"] == "yes" and not {"gone", "empty"} & info.tags.keys()
    assert info.description == "**v1** passed the gate."


def test_a_version_that_there_is_not_is_named_with_those_there_are(registry: ModelRegistry, register: Register) -> None:
    register()
    for call in (registry.version, registry.decision):
        with pytest.raises(NotFoundError, match=r"toy has no v9 in .*\n.*known: v1"):
            call(9)


def test_a_folder_without_an_adapter_is_refused(
    made: tuple[ModelRegistry, Callable[[str], str]], tmp_path: Path
) -> None:
    registry, run_of = made
    (tmp_path / "empty").mkdir()
    with pytest.raises(DamageError, match="is not a trained model"):
        registry.register(run_of("a" * 64), tmp_path / "empty", identity="a" * 64, fingerprint="f", code_version="1")
    assert registry.versions() == []


def test_a_promotion_moves_its_aliases(registry: ModelRegistry, register: Register, tmp_path: Path) -> None:
    store = MemoryStore()
    for version, identity in ((1, "a" * 64), (2, "b" * 64)):
        register(identity)
        publish_toy(store, tmp_path / "made", version)
        promote(store, version, model=MODEL, expected=version - 1 or None, reason="r", actor="gate", aliases=registry)
    assert registry.aliases() == {"candidate": 2, "champion": 2, "previous": 1}
    assert registry.synced() == 2
