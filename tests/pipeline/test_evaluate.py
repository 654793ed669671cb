"""What a real candidate is measured on, and beside which models: in a store with three champions, the second of which
was the best."""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file, save_file

from mtl import layout
from mtl.config.retrain import RetrainConfig, parse_config
from mtl.data.dataset import open_dataset
from mtl.data.selection import chooses
from mtl.decision import DecisionState
from mtl.evaluation.logged import SAMPLE
from mtl.evaluation.per_example import read_scores
from mtl.evaluation.report import BASE, BEST, CANDIDATE, CHAMPION, EvalReport
from mtl.fingerprint import sha256_bytes
from mtl.pipeline import gate
from mtl.pipeline.evaluate import evaluate
from mtl.pipeline.models import model_folder
from mtl.pipeline.monitor import check_champion
from mtl.pipeline.prepare import prepare
from mtl.pipeline.prune import prune_checkpoints
from mtl.pipeline.records import Evaluation
from mtl.pipeline.report import version_text
from mtl.registry.memory import MemoryRegistry
from mtl.release.aliases import MemoryAliases
from mtl.release.layout import ReleaseFacts
from mtl.release.promote import promote, rollback
from mtl.release.publish import publish
from mtl.release.pull import pull
from mtl.seal import seal
from mtl.traffic.records import ServedAnswer
from mtl.traffic.store import part_of
from mtl.training.result import TrainedModel
from mtl.workspace import Workspace, open_workspace
from tests.pipeline.test_rot import train_here
from tests.support.retrains import small_config

GAINS = {1: 0.0, 2: 0.3, 3: -0.1}
"""In the deciding metrics, over the champion of that time."""

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


@dataclass
class House:
    workspace: Workspace
    config: RetrainConfig
    dataset: str
    trained: TrainedModel
    aliases: MemoryAliases

    def evaluate(self, **sections: Mapping[str, Any]) -> Evaluation:
        """sections: fields that are changed in the configuration."""
        return evaluate(self.workspace, changed(self.config, sections), self.dataset, self.trained)

    def examples(self) -> set[str]:
        """The uids of those that the last report is about."""
        key = layout.scores_key(self.trained.identity)
        return {row.uid for row in read_scores(self.workspace.settings.home / "store" / key)}

    @property
    def model(self) -> str:
        return self.config.register_.model

    def file(self, version: int, name: str) -> Path:
        return self.workspace.settings.home / "store" / "releases" / self.model / f"v{version}" / name


def changed(config: RetrainConfig, sections: Mapping[str, Mapping[str, Any]]) -> RetrainConfig:
    values = config.model_dump(mode="json", by_alias=True)
    return parse_config(values | {name: values[name] | fields for name, fields in sections.items()})


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, RetrainConfig, str, TrainedModel]]:
    """A home with a trained model, and three releases of models near to it, each of which was champion."""
    folder = tmp_path_factory.mktemp("drifting")
    config = small_config(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MTL_HOME", str(folder / "home"))
        for name in ("MTL_STORE", "MLFLOW_TRACKING_URI"):
            patch.delenv(name, raising=False)
        workspace = memory_workspace(config)
        dataset = prepare(workspace, config).fingerprint
        trained = train_here(config, dataset, folder / "home" / "train" / "work")
        first = evaluate(workspace, config, dataset, trained)
        adapter, aliases = model_folder(workspace, config, trained), MemoryAliases()
        for version, gain in GAINS.items():
            model = weakened(adapter, folder / f"v{version}", 1 - 0.1 * version)
            said = first if version == 1 else beside_champion(first, gain, over=version - 1)
            facts = ReleaseFacts(identity=f"{version:064}", fingerprint=dataset, code_version="1")
            documents = {"report.json": json.dumps(said.to_json())}
            publish(workspace.store, model, model="mtl-flan-t5", version=version, facts=facts, documents=documents)
            promote(
                workspace.store,
                version,
                model="mtl-flan-t5",
                expected=version - 1 or None,
                reason="better",
                actor="gate",
                aliases=aliases,
            )
        yield folder / "home", config, dataset, trained


def memory_workspace(config: RetrainConfig) -> Workspace:
    opened = open_workspace()
    return replace(opened, open_registry=lambda workspace, model: MemoryRegistry(model))


def weakened(adapter: Path, folder: Path, share: float) -> Path:
    shutil.copytree(adapter, folder, ignore=shutil.ignore_patterns("hashes.json"))
    weights = {name: value * share for name, value in load_file(folder / "adapter_model.safetensors").items()}
    save_file(weights, folder / "adapter_model.safetensors", metadata={"format": "pt"})
    return folder


def beside_champion(first: Evaluation, gain: float, *, over: int) -> Evaluation:
    """As if there had been a champion in the report that the candidate is better than by `gain`."""
    report = first.report
    compared = tuple(
        replace(item, against=CHAMPION, difference=gain, low=gain - 0.01, high=gain + 0.01)
        for item in report.comparisons
        if item.against == BASE
    )
    results = {**report.results, CHAMPION: report.results[BASE]}
    return replace(first, report=replace(report, results=results, comparisons=compared), champion_version=over)


@pytest.fixture
def house(
    made: tuple[Path, RetrainConfig, str, TrainedModel], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> House:
    """A copy of that home, to spoil."""
    home, config, dataset, trained = made
    shutil.copytree(home, tmp_path / "home")
    monkeypatch.setenv("MTL_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("MTL_STORE", raising=False)
    return House(memory_workspace(config), config, dataset, trained, MemoryAliases())


def compared(report: EvalReport) -> set[str]:
    return {item.against for item in report.comparisons}


def test_the_second_of_three_champions_is_in_the_report(house: House) -> None:
    found = house.evaluate()
    assert found.report.models == (BASE, BEST, CHAMPION, CANDIDATE)
    assert (found.champion_version, found.best_version, found.left_out) == (3, 2, ())
    assert compared(found.report) == {BASE, BEST, CHAMPION}
    assert found.report.settings[BEST] == "v2"
    assert Evaluation.from_json(json.loads(json.dumps(found.to_json()))).to_json() == found.to_json()
    again = house.evaluate()
    assert again.rules == found.rules and again.report.seconds == found.report.seconds, "it was kept"


def test_without_the_option_it_is_not(house: House) -> None:
    found = house.evaluate(gate={"best_earlier": False})
    assert found.report.models == (BASE, CHAMPION, CANDIDATE)
    assert found.best_version is None


def test_one_that_was_given_up_is_not(house: House) -> None:
    store, model = house.workspace.store, house.model
    for _ in range(2):
        rollback(store, model=model, reason="odd letters", actor="Ann", aliases=house.aliases)
    promote(store, 3, model=model, expected=1, reason="x", actor="Ann", aliases=house.aliases, forced=True)
    found = house.evaluate()
    assert (found.champion_version, found.best_version) == (3, None), "the third still stands above the first"


@pytest.mark.parametrize(
    ("name", "said", "best"),
    [
        ("adapter_model.safetensors", "adapter_model.safetensors is damaged", None),
        ("manifest.json", "manifest.json is damaged", 1),
        (None, "no release v2 of mtl-flan-t5", 1),
    ],
    ids=["a damaged file", "a damaged manifest", "gone"],
)
def test_one_that_cannot_be_had_is_left_out_and_said(
    house: House, name: str | None, said: str, best: int | None, caplog: pytest.LogCaptureFixture
) -> None:
    """Without its report, nobody knows what it gained. Then the first one stands above the third."""
    if name is None:
        shutil.rmtree(house.file(2, "manifest.json").parent)
    else:
        house.file(2, name).write_bytes(b"rot")
    with caplog.at_level(logging.WARNING, logger="mtl"):
        found = house.evaluate()
    (sentence,) = found.left_out
    assert sentence.startswith("v2 was the best earlier champion, and is not compared with: ")
    assert said in sentence and sentence in caplog.text
    assert sentence in gate.gate_decision(house.config, found).reasons
    assert found.best_version == best
    assert ("what v2 gained when it became champion counts as 0" in caplog.text) == (best == 1)


def test_the_gate_refuses_what_may_be_worse_than_it(house: House) -> None:
    found = house.evaluate()
    worse = tuple(
        replace(item, difference=-0.2, low=-0.3, high=-0.1) if item.against == BEST else item
        for item in found.report.comparisons
    )
    decision = gate.gate_decision(house.config, replace(found, report=replace(found.report, comparisons=worse)))
    assert decision.state is DecisionState.REJECT
    assert any("worse than the best earlier champion's" in reason for reason in decision.reasons), decision.reasons


def test_prune_leaves_it_whole(house: House, tmp_path: Path) -> None:
    prune_checkpoints(house.workspace, delete=True)
    assert pull(house.workspace.store, "v2", tmp_path / "v2", model=house.model).version == 2
    assert house.evaluate().best_version == 2


def test_what_chose_the_checkpoint_is_not_in_the_report(house: House) -> None:
    whole = house.evaluate()
    assert whole.report.settings["judged_by"] == "the validation split" and len(house.examples()) == 8
    choosing_too: dict[str, Any] = {"train": {"eval_steps": 2, "eval_share": 0.5}, "gate": {"best_earlier": False}}
    found = house.evaluate(**choosing_too)
    assert found.report.settings["judged_by"] == "the validation passages that choose no checkpoint"
    data = open_dataset(house.workspace.store, house.dataset, house.workspace.cache)
    choosing = {
        uid
        for task in ("summarize", "mcq")
        for uid, key in zip(
            data.table(task, "validation")["uid"].to_pylist(), data.passages(task, "validation"), strict=True
        )
        if chooses(key, 0.5)
    }
    assert choosing and house.examples() and not choosing & house.examples()
    assert found.rules != whole.rules
    check = check_champion(house.workspace, changed(house.config, choosing_too), house.dataset, max_drop=1.0)
    now = {name: value for name, value in check.now["summarize"].items() if name != "consistent"}
    assert now == {name: found.report.mean(CHAMPION, "summarize", name) for name in now}, "the monitor sees the same"


def test_a_run_is_judged_by_the_examples_of_its_week_whenever_that_is_done_again(house: House) -> None:
    weekly: dict[str, Any] = {
        "gate": {"rotate": "weekly", "best_earlier": False},
        "evaluate": {"max_examples": 2, "reader": "none"},
    }
    key = layout.rotation_key(house.trained.identity)

    def in_week(week: str) -> tuple[Evaluation, set[str]]:
        house.workspace.store.put(key, seal({"week": week}))
        return house.evaluate(**weekly), house.examples()

    (first, some), (second, others) = in_week("2026-W01"), in_week("2026-W02")
    assert len(some) == len(others) == 4 and some != others
    assert first.rules != second.rules
    assert first.report.settings["judged_by"] == "the validation split, part of 2026-W01"
    assert house.evaluate(**weekly).report.seconds == second.report.seconds, "the report was kept"
    again, same = in_week("2026-W01")
    assert (again.rules, same) == (first.rules, some)
    house.workspace.store.put(layout.rotation_key(f"{first.champion_version:064}"), seal({"week": "2026-W01"}))
    check = check_champion(house.workspace, changed(house.config, weekly), house.dataset, max_drop=1.0)
    now = dict(check.now["summarize"])
    assert now == {name: first.report.mean(CHAMPION, "summarize", name) for name in now}, "the week of its release"


def test_the_monitor_and_the_next_evaluation_take_the_answers_that_are_kept(house: House) -> None:
    """Of base, best and champion; those of the candidate too, so that tomorrow's champion has answered already."""
    first = house.evaluate()
    predictions = house.workspace.settings.home / "store" / "predictions"
    kept = sorted(predictions.rglob("*.json"))
    check_champion(house.workspace, house.config, house.dataset, max_drop=1.0)
    assert sorted(predictions.rglob("*.json")) == kept, "nothing was answered again"
    house.workspace.store.delete(layout.report_key(house.trained.identity))
    second = house.evaluate()
    assert all(its.kept == its.answers > 0 for its in second.report.origin.values()), second.report.origin
    shutil.rmtree(predictions)
    house.workspace.store.delete(layout.report_key(house.trained.identity))
    third = house.evaluate()
    assert all(its.kept == 0 for its in third.report.origin.values())
    assert first.report.measured() == second.report.measured() == third.report.measured()


def log_requests(house: House, name: str, texts: list[str]) -> str:
    """Texts that were sent an hour ago; the key of their part of the log."""
    at = datetime.now(UTC) - timedelta(hours=1)
    answers = [
        ServedAnswer(
            id=sha256_bytes(f"{name}{text}".encode())[:32],
            at=at.isoformat(timespec="seconds"),
            task="summarize",
            text=text,
            request={},
            decoding={},
            truncated=False,
            answer="Summary: x.",
            version=3,
            milliseconds=1.0,
        )
        for text in texts
    ]
    key = f"{layout.requests_prefix(house.model)}/{at:%Y-%m-%d}/{name}.parquet"
    house.workspace.store.put(key, part_of(answers))
    return key


LOGGED: dict[str, Any] = {
    "gate": {"best_earlier": False},
    "evaluate": {"reader": "none", "max_examples": 2, "traffic_examples": 3},
}


def test_logged_texts_judge_a_run_and_are_the_same_when_it_goes_on(house: House) -> None:
    key = log_requests(house, "a", [f"Boat {n} came home." for n in range(5)] + ["Boat 1 came home.", "z" * 500])
    found = house.evaluate(**LOGGED)
    traffic = found.report.traffic
    assert traffic is not None and traffic.models == (CHAMPION, CANDIDATE) and traffic.examples == {"summarize": 3}
    assert traffic.settings[SAMPLE]["left_out"] == {"repeated": 1, "too_long": 1, "not_drawn": 2}
    log_requests(house, "b", [f"Ship {n} left." for n in range(50)])
    again = house.evaluate(**LOGGED)
    assert (again.rules, again.report.seconds) == (found.rules, found.report.seconds), "the report was kept"
    house.workspace.store.delete(layout.report_key(house.trained.identity))
    resumed = house.evaluate(**LOGGED)
    assert resumed.rules == found.rules and resumed.report.measured() == found.report.measured()
    assert resumed.report.traffic is not None
    assert all(its.kept == its.answers > 0 for its in resumed.report.traffic.origin.values()), "answered once"
    house.workspace.store.delete(layout.report_key(house.trained.identity))
    house.workspace.store.delete(key)
    without = house.evaluate(**LOGGED)
    assert without.report.traffic is not None, "the log's retention ended meanwhile"
    assert without.report.traffic.settings[SAMPLE]["expired"] == 3


def test_texts_of_the_data_set_are_not_among_the_logged_texts(house: House) -> None:
    data = open_dataset(house.workspace.store, house.dataset, house.workspace.cache)
    learned, held = (next(iter(data.examples("summarize", split))).inputs for split in ("train", "validation"))
    article = [inputs.partition("article: ")[2] or inputs.partition("> ")[2] for inputs in (learned, held)]
    log_requests(house, "a", [*article, "Boat 1 came home."])
    traffic = house.evaluate(**LOGGED).report.traffic
    assert traffic is not None and traffic.examples == {"summarize": 1}
    assert traffic.settings[SAMPLE]["left_out"] == {"trained": 1, "held_out": 1}


@pytest.mark.parametrize("rot", [b"", b"rot", b"PAR1 and nothing more PAR1"])
def test_a_log_that_is_damaged_or_missing_fails_no_evaluation(house: House, rot: bytes) -> None:
    key = log_requests(house, "a", ["Boat 1 came home."])
    log_requests(house, "b", ["Boat 2 came home."])
    house.workspace.store.put(key, rot)
    traffic = house.evaluate(**LOGGED).report.traffic
    assert traffic is not None and traffic.examples == {"summarize": 1} and traffic.settings[SAMPLE]["damaged"] == 1


def test_without_a_log_the_report_says_so(house: House) -> None:
    guarded = {**LOGGED, "gate": {"best_earlier": False, "traffic_guard": {"summarize": ["kind_obeyed"]}}}
    found = house.evaluate(**guarded)
    assert found.report.traffic is not None and found.report.traffic.examples == {}
    decision = gate.gate_decision(changed(house.config, guarded), found)
    assert "summarize: kind_obeyed was not guarded on logged texts: none is of summarize." in decision.reasons
    assert "No request was logged" in version_text(house.config, found.report)
