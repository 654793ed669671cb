"""The examples that judge a version: those of `evaluate.split` that did not choose its checkpoint."""

from __future__ import annotations

from mtl.config.retrain import RetrainConfig
from mtl.data.dataset import Dataset
from mtl.data.manifest import DatasetManifest, SplitCounts
from mtl.data.selection import chooses, passage_of
from mtl.errors import NotFoundError
from mtl.example import Example
from mtl.pipeline.models import task_names
from mtl.workspace import Workspace

Counts = dict[str, dict[str, SplitCounts]]
"""task -> split -> what it holds."""


def set_aside(config: RetrainConfig) -> float:
    """The share of the passages of `evaluate.split` that choose the checkpoint, and so judge nothing.

    None of them where nothing is chosen, or where another split is judged by: splits share no passage.
    """
    chosen_on_it = config.train.eval_steps is not None and config.evaluate.split == "validation"
    return config.train.eval_share if chosen_on_it else 0.0


def judging_examples(data: Dataset, config: RetrainConfig) -> list[Example]:
    """All examples that may judge a version, task by task. Errors: NotFoundError for a task that has none."""
    share, split = set_aside(config), config.evaluate.split
    found: list[Example] = []
    for name in task_names(config):
        examples = data.examples(name, split)
        own = [example for example in examples if not chooses(passage_of(example.meta, example.uid), share)]
        if not own:
            raise NotFoundError(
                f"every {split} passage of {name} is among the {share:.0%} that choose the checkpoint",
                field="train.eval_share",
                hint=f"more {split} rows, a smaller train.eval_share, or evaluate: {{split: test}}",
            )
        found += own
    return found


def judging_counts(workspace: Workspace, config: RetrainConfig, manifest: DatasetManifest) -> Counts:
    """The manifest's counts, with the examples of `evaluate.split` that may judge a version in place of all of it."""
    share, split = set_aside(config), str(config.evaluate.split)
    if not share:
        return manifest.counts
    data = Dataset(manifest, workspace.store, workspace.cache)
    found: Counts = {}
    for task, splits in manifest.counts.items():
        has = split in splits and splits[split].examples
        keys = data.passages(task, split) if has else []
        found[task] = {split: SplitCounts(examples=sum(not chooses(key, share) for key in keys))}
    return found


def judged_by(config: RetrainConfig, week: str | None) -> str:
    """Which examples those are, for the report."""
    split = config.evaluate.split
    part = f"the {split} passages that choose no checkpoint" if set_aside(config) else f"the {split} split"
    return part + (f", part of {week}" if week else "")
