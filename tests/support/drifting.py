"""A home whose champion was trained on documents of the demo; its sources can be given other rows the next day."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from mtl import layout
from mtl.config.retrain import RetrainConfig, parse_config
from mtl.pipeline.prepare import prepare
from mtl.release.aliases import MemoryAliases
from mtl.release.layout import ReleaseFacts
from mtl.release.promote import promote
from mtl.release.publish import publish
from mtl.settings import load_settings
from mtl.sources.demo.corpus import articles, passages
from mtl.traffic.records import ServedAnswer
from mtl.traffic.store import part_of
from mtl.workspace import Workspace, open_workspace
from tests.release.toy import toy_adapter
from tests.support.rows import write_jsonl

MODEL = "mtl-flan-t5"
NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)


@dataclass(frozen=True)
class Drifting:
    folder: Path
    config: RetrainConfig
    before: str

    @property
    def home(self) -> Path:
        return self.folder / "home"

    @property
    def workspace(self) -> Workspace:
        return open_workspace(load_settings({"MTL_HOME": str(self.home)}))

    def prepare(self, **rows: Iterable[Mapping[str, Any]]) -> str:
        """The data set with these rows added to those of the champion. rows: by task."""
        for task, its in rows.items():
            write_jsonl(self.folder / task / "train-more.jsonl", its)
        return prepare(self.workspace, self.config).fingerprint

    def log(self, task: str, texts: Sequence[str], *, at: datetime = NOW - timedelta(hours=1), **request: int) -> None:
        """A part of the request log with these texts."""
        answers = [
            ServedAnswer(f"{number:032x}", at.isoformat(timespec="seconds"), task, text, request, {}, False, "", 1, 1.0)
            for number, text in enumerate(texts)
        ]
        name = f"{layout.requests_prefix(MODEL)}/{at:%Y-%m-%d}/{task}-{at:%H%M}.parquet"
        self.workspace.store.put(name, part_of(answers))


def drifting(
    folder: Path, *, articles_of: int = 150, passages_of: int = 150, adapter: Path | None = None, **watch: Any
) -> Drifting:
    """adapter: folder of the champion's; None: one of names only. watch: fields of the section."""
    for task, rows in (("summarize", articles(1, articles_of)), ("mcq", passages(1, passages_of))):
        write_jsonl(folder / task / "train.jsonl", rows)
    config = parse_config(
        {
            "name": "drifting",
            "data": {
                "sources": [
                    {"task": "summarize", "uri": str(folder / "summarize")},
                    {"task": "mcq", "uri": str(folder / "mcq")},
                ],
                "holdout": {"validation": 0.05},
                "near_duplicates": None,
                "max_input_tokens": 448,
                "max_target_tokens": 400,
            },
            "model": {"base": "demo"},
            "evaluate": {"max_examples": 2, "max_new_tokens": {"summarize": 8, "mcq": 8}, "reader": "none"},
            "watch": watch,
        }
    )
    found = Drifting(
        folder, config, prepare(open_workspace(load_settings({"MTL_HOME": str(folder / "home")})), config).fingerprint
    )
    make_champion(found.workspace, adapter or toy_adapter(folder / "adapter"), found.before)
    return found


def make_champion(workspace: Workspace, adapter: Path, dataset: str) -> None:
    """Version 1, trained on a data set, as far as its release says."""
    facts = ReleaseFacts(identity="a" * 64, fingerprint=dataset, code_version="1")
    publish(workspace.store, adapter, model=MODEL, version=1, facts=facts, documents={})
    promote(workspace.store, 1, model=MODEL, expected=None, reason="first", actor="test", aliases=MemoryAliases())
