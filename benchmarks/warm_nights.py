"""Ten warm nights against ten full nights: is the model as good, and how many tokens did each side train on?

    python benchmarks/warm_nights.py [--quick] [--all] [--seed N] [--state FOLDER]

Each night adds 1% of rows to the demo. Both sides begin with the same full run. Then one side starts every night from
the adapter of the night before, and the other side trains a new adapter every night. Neither gate nor policy
intervenes: no warm night is refused, and none is replaced by a full run. At the end, both models answer the same fresh
documents, and the gate's margins say whether the warm one is shown to be no worse.

A full night depends on no night before it, so only the last one is trained, unless --all is given. The tokens of the
others are counted all the same: the batches of a run are a function of its data and configuration.

What a night made is kept in FOLDER, and the script goes on from there. Prints one JSON object as its last line;
`ratio` is the tokens of the full nights over those of the warm ones. Progress goes to standard error.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mtl.config.retrain import RetrainConfig, load_config, parse_config
from mtl.data.dataset import open_dataset
from mtl.evaluation.report import CANDIDATE, CHAMPION, EvalReport
from mtl.pipeline.evaluate import measure
from mtl.pipeline.models import model_folder, task_names
from mtl.pipeline.prepare import prepare
from mtl.promotion import deciding, margin_of, policy_from
from mtl.settings import load_settings
from mtl.store.files import written_aside
from mtl.training.build import rank_batches
from mtl.training.dataset import TokenisedSplit
from mtl.training.launch import launch_training
from mtl.training.parent import Parent, as_trained
from mtl.training.result import TrainedModel
from mtl.training.warm import known_examples
from mtl.workspace import Workspace, open_workspace

CONF = Path(__file__).parents[1] / "conf" / "demo.yaml"
MODEL = "mtl-nights"
NEW_ROWS = 0.01
WARM, FULL = "warm", "full"


@dataclass(frozen=True)
class Size:
    """documents: of the first night's training split, by task. judged: documents of each task that judge."""

    nights: int
    documents: Mapping[str, int]
    judged: int
    train: Mapping[str, Any]


WHOLE = Size(10, {"summarize": 1500, "mcq": 2500}, 400, {})
"""Steps hold unequal numbers of tokens: with 80 of 400 steps, the warm nights train on 0.200001 of the tokens."""
QUICK = Size(2, {"summarize": 200, "mcq": 300}, 30, {"max_steps": 40, "save_steps": 20, "eval_steps": 20})


def main() -> None:
    """Train what is missing and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="two nights of a small demo")
    parser.add_argument("--all", action="store_true", help="train every full night, for its validation loss")
    parser.add_argument("--seed", type=int, help="seed of the trainings (default: that of the demo)")
    parser.add_argument("--state", type=Path, help="folder that keeps what is done (default: a temporary one)")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        state = arguments.state or Path(temporary)
        nights = Nights(QUICK if arguments.quick else WHOLE, state, arguments.seed)
        print(json.dumps(nights.compare(every_full_night=arguments.all)))


class Nights:
    """The nights of both sides, in a home of their own."""

    def __init__(self, size: Size, state: Path, seed: int | None) -> None:
        self._size, self._seed = size, seed
        self._workspace: Workspace = open_workspace(load_settings({"MTL_HOME": str(state.absolute() / "home")}))
        self._done = state / "nights.json"
        state.mkdir(parents=True, exist_ok=True)

    def compare(self, *, every_full_night: bool) -> dict[str, Any]:
        """Train both sides, and compare the last models."""
        last = self._size.nights
        numbers = range(1, last + 1)
        first = self._night(FULL, 0)
        warm = [self._night(WARM, number) for number in numbers]
        judged = self._judged(warm[-1], self._night(FULL, last))
        full = [self._night(FULL, number, train=every_full_night or number == last) for number in numbers]
        spent = {WARM: _sum(warm), FULL: _sum(full)}
        ratio = spent[FULL]["tokens"] / spent[WARM]["tokens"]
        return {
            "ratio": round(ratio, 3),
            "share_of_tokens": round(1 / ratio, 4),
            "nights": last,
            "seed": self.config(0).seed,
            "rows_added_each_night": NEW_ROWS,
            "first_full_run": _sum([first]),
            **spent,
            "validation_loss": {
                "first_full_run": first["validation"],
                WARM: [night["validation"] for night in warm],
                FULL: [night["validation"] for night in full],
            },
            "metrics": judged,
            "passed": {
                "at most a fifth of the tokens": ratio >= 5,
                **{f"{task}: {its['metric']} is no worse": its["no_worse"] for task, its in judged.items()},
            },
        }

    def config(self, night: int) -> RetrainConfig:
        """The demo as it is in a night, counted from 0: the documents of the nights before and 1% more."""
        values = load_config(CONF).model_dump(mode="json", by_alias=True)
        for source in values["data"]["sources"]:
            first = self._size.documents[source["task"]]
            grown = first + night * max(1, round(NEW_ROWS * first))
            source["rows"] = {"train": grown, "validation": 180, "test": self._size.judged}
        values["train"] |= self._size.train
        values["evaluate"] |= {"split": "test", "max_examples": self._size.judged}
        values["seed"] = values["seed"] if self._seed is None else self._seed
        return parse_config(values | {"name": "nights"})

    def _night(self, side: str, night: int, *, train: bool = True) -> dict[str, Any]:
        """What a night made, from the state if it is there. train: whether to train it, or to count its tokens only."""
        key = f"{side}-{night:02}"
        kept = json.loads(self._done.read_text()) if self._done.exists() else {}
        if key in kept:
            return dict(kept[key])
        found = self._train(side, night) if train else self._counted(night)
        if train:
            with written_aside(self._done) as out:
                out.write(json.dumps(kept | {key: found}, indent=1).encode())
        print(f"{key}: {json.dumps(found)}", file=sys.stderr, flush=True)
        return found

    def _counted(self, night: int) -> dict[str, Any]:
        """A full night that is not trained."""
        config = self.config(night)
        dataset = prepare(self._workspace, config).fingerprint
        tokens = self._tokens(config, dataset, None)
        return {"tokens": tokens, "steps": config.train.max_steps, "validation": None}

    def _train(self, side: str, night: int) -> dict[str, Any]:
        config = self.config(night)
        dataset = prepare(self._workspace, config).fingerprint
        parent = self._parent(night) if side == WARM else None
        before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
        trained = launch_training(config, dataset, self._workspace.settings, lambda event: None, parent=parent)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return {
            "trained": trained.to_json(),
            "dataset": dataset,
            "tokens": self._tokens(config, dataset, parent),
            "steps": trained.steps,
            "seconds": round(time.monotonic() - began, 1),
            "cpu_seconds": round(sum(after[:2]) - sum(before[:2]), 1),
            "validation": trained.validation,
        }

    def _parent(self, night: int) -> Parent:
        """The model of the night before, its adapter put where a release has it."""
        side = WARM if night > 1 else FULL
        made = self._night(side, night - 1)
        trained = TrainedModel.from_json(made["trained"], "nights.json")
        parent = Parent(
            model=MODEL,
            version=night,
            adapter_sha256=str(trained.adapter_sha256),
            dataset=made["dataset"],
            warm_starts=night,
        )
        folder = model_folder(self._workspace, self.config(night - 1), trained)
        self._workspace.store.put_file(parent.key, folder / "adapter_model.safetensors")
        return parent

    def _tokens(self, config: RetrainConfig, dataset: str, parent: Parent | None) -> int:
        return training_tokens(self._workspace, config, dataset, parent)

    def _judged(self, warm: dict[str, Any], full: dict[str, Any]) -> dict[str, Any]:
        """task -> the deciding metric of both, warm minus full with its interval, and the gate's margin."""
        config = self.config(self._size.nights)
        folders = {
            role: model_folder(self._workspace, config, TrainedModel.from_json(its["trained"], "nights.json"))
            for role, its in ((CANDIDATE, warm), (CHAMPION, full))
        }
        report = measure(self._workspace, config, warm["dataset"], folders)
        return dict(_compared(report, config))


def training_tokens(workspace: Workspace, config: RetrainConfig, dataset: str, parent: Parent | None) -> int:
    """Source and target tokens of all steps of a run, without padding."""
    store, cache, tasks = workspace.store, workspace.cache, task_names(config)
    data = open_dataset(store, dataset, cache)
    split = TokenisedSplit(data, "train", tasks)
    known = known_examples(data, open_dataset(store, parent.dataset, cache), tasks) if parent else None
    batches = rank_batches(as_trained(config, parent), split, known=known)
    return int(sum(split.sources[batch].sum() + split.targets[batch].sum() for batch in batches))


def _sum(nights: list[dict[str, Any]]) -> dict[str, Any]:
    """Tokens and steps of nights, and the seconds of those that were trained."""
    counts = {name: sum(night[name] for night in nights) for name in ("tokens", "steps")}
    times = {name: round(sum(night.get(name, 0) for night in nights), 1) for name in ("seconds", "cpu_seconds")}
    return {**counts, "trained": sum("trained" in night for night in nights), **times}


def _compared(report: EvalReport, config: RetrainConfig) -> Iterator[tuple[str, dict[str, Any]]]:
    policy = policy_from(config.gate)
    for task in report.metrics:
        name = deciding(report, policy, task)
        found = report.comparison(CHAMPION, task, name)
        assert found is not None
        margin = margin_of(report, policy, task, name)
        yield (
            task,
            {
                "metric": name,
                WARM: report.mean(CANDIDATE, task, name),
                FULL: report.mean(CHAMPION, task, name),
                "difference": round(found.difference, 5),
                "interval": [round(found.low, 5), round(found.high, 5)],
                "examples": found.n,
                "margin": margin,
                "no_worse": found.low >= -margin,
            },
        )


if __name__ == "__main__":
    main()
