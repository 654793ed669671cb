"""Nights of a small service: the rows of each, and what a retrain of them is asked to start from."""

from __future__ import annotations

import shutil
import signal
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mtl.checkpoints.related import find_identity
from mtl.config.retrain import RetrainConfig, parse_config
from mtl.data.dataset import open_dataset
from mtl.pipeline.models import model_folder
from mtl.pipeline.prepare import prepare
from mtl.pipeline.records import Start
from mtl.pipeline.warm_start import choose_start
from mtl.registry.code_version import code_version
from mtl.registry.memory import MemoryRegistry
from mtl.release.layout import ReleaseFacts
from mtl.release.promote import promote
from mtl.release.provenance import provenance_files
from mtl.release.publish import publish
from mtl.settings import load_settings
from mtl.store.open import open_store
from mtl.tracking.memory import MemoryTracker
from mtl.training.events import EventWriter
from mtl.training.plan import TrainPlan
from mtl.training.recipe import run
from mtl.training.record import read_record
from mtl.training.result import TrainedModel
from mtl.workspace import Workspace
from tests.support.bases import save_base
from tests.support.retrains import small_values
from tests.support.rows import article, write_jsonl

MODEL = "mtl-flan-t5"
ROWS = 40
"""Articles to train on in the first night; each later night has one more."""


def write_night(folder: Path, night: int, *, rows: int | None = None) -> None:
    """The articles of a night, counted from 1, in place of those of the night before."""
    write_jsonl(folder / "train.jsonl", (article(number) for number in range(rows or ROWS + night - 1)))
    write_jsonl(folder / "validation.jsonl", (article(1000 + number) for number in range(4)))


def night_config(folder: Path, **train: Any) -> RetrainConfig:
    """The configuration of all nights. train: replaces what its section says."""
    base = folder / "base"
    if not base.exists():
        save_base(base)
    values = small_values(base, **{"from": "champion", "warm_steps": 4} | train)
    values["data"]["sources"] = [
        {"task": "summarize", "uri": str(folder / "news")},
        {"task": "mcq", "uri": "demo", "rows": {"train": 20, "validation": 4}},
    ]
    return parse_config(values)


def night_workspace(home: Path) -> Workspace:
    """A workspace whose registry and tracker are those of one process."""
    settings = load_settings({"MTL_HOME": str(home)})
    registry = MemoryRegistry(MODEL)
    return Workspace(settings, open_store(settings.store), MemoryTracker, lambda workspace, model: registry)


def train_night(home: Path, config: RetrainConfig, dataset: str) -> TrainedModel:
    """The steps `start` and `train` in this process."""
    workspace = night_workspace(home)
    start = choose_start(workspace, config, dataset)
    work = home / "train" / "work"
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    plan = TrainPlan(
        config.model_dump(mode="json", by_alias=True),
        dataset,
        workspace.settings.store,
        cache=str(workspace.cache),
        work=str(work),
        owner="test",
        parent=start.parent.to_dict() if start.parent else None,
    )
    before = signal.getsignal(signal.SIGTERM)
    try:
        result = run(plan, EventWriter(quiet=True))
    finally:
        signal.signal(signal.SIGTERM, before)
    assert result is not None, "one process leads itself"
    return result


def publish_night(home: Path, config: RetrainConfig, trained: TrainedModel, dataset: str, *, version: int) -> None:
    """The release of a trained night."""
    workspace = night_workspace(home)
    facts = ReleaseFacts(trained.identity, dataset, code_version(), parent=trained.parent)
    files = provenance_files(
        model=MODEL,
        version=version,
        config=config,
        identity=find_identity(workspace.store, trained.identity),
        trained=trained,
        record=read_record(workspace.store, trained.identity),
        dataset=open_dataset(workspace.store, dataset, workspace.cache).manifest,
        code_version=facts.code_version,
    )
    publish(
        workspace.store,
        model_folder(workspace, config, trained),
        model=MODEL,
        version=version,
        facts=facts,
        documents=files,
    )


def promote_night(home: Path, version: int, *, expected: int | None = None) -> None:
    """Make a version champion, by force."""
    promote(
        night_workspace(home).store,
        version,
        model=MODEL,
        expected=expected,
        reason="a test",
        actor="test",
        aliases=MemoryRegistry(MODEL),
        forced=True,
    )


@dataclass(frozen=True)
class SecondNight:
    """A home whose champion v1 was trained in the first night. now: the data set of the second one."""

    home: Path
    config: RetrainConfig
    before: str
    now: str

    def at(self, home: Path) -> SecondNight:
        """The same in a copy of the store, where nothing was chosen yet, and on a machine that has cached nothing."""
        shutil.copytree(self.home / "store", home / "store", ignore=shutil.ignore_patterns("starts"))
        return replace(self, home=home)

    def choose(self, **train: Any) -> Start:
        """What the second night starts from. train: replaces what the section says."""
        section = self.config.train.model_copy(update=train)
        config = self.config.model_copy(update={"train": section})
        return choose_start(night_workspace(self.home), config, self.now)

    def train(self) -> TrainedModel:
        return train_night(self.home, self.config, self.now)


def second_night(folder: Path) -> SecondNight:
    """Train and promote the first night, and prepare the second one."""
    config, home = night_config(folder), folder / "home"
    write_night(folder / "news", 1)
    before = prepare(night_workspace(home), config).fingerprint
    publish_night(home, config, train_night(home, config, before), before, version=1)
    promote_night(home, 1)
    write_night(folder / "news", 2)
    return SecondNight(home, config, before, prepare(night_workspace(home), config).fingerprint)
