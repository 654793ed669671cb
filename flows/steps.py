"""The steps of a retrain: each a few lines around a function of `mtl.pipeline`, with its own retry rule.

A step opens the workspace, takes the records of the steps before it, and gives one; never models or tensors.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from prefect import get_run_logger, task
from prefect.cache_policies import NO_CACHE
from prefect.tasks import exponential_backoff

from flows import artifacts, events, origin, waiting
from flows.retrying import is_resumable, is_transient
from flows.timing import timed
from flows.watching import watched
from mtl.config.retrain import RetrainConfig
from mtl.decision import ApprovalResponse, Decision
from mtl.decoding import Decoding
from mtl.evaluation.drift.records import DriftReport
from mtl.pipeline import drift, generate, generate_on_ray, monitor, outcome, pages, prune, report, warm_start
from mtl.pipeline import gate as gates
from mtl.pipeline import promote as promotions
from mtl.pipeline import watch_served as serving_watch
from mtl.pipeline.evaluate import evaluate as evaluate_model
from mtl.pipeline.prepare import note_lines
from mtl.pipeline.prepare import prepare as prepare_dataset
from mtl.pipeline.records import FULL, Evaluation, PreparedDataset, PromotionResult, RegisteredVersion, Start
from mtl.pipeline.register import register as register_version
from mtl.pipeline.train import train as train_model
from mtl.settings import device_limit, prefect_settings
from mtl.training.result import TrainedModel
from mtl.workspace import Workspace, open_workspace

# Transient faults of stores and registries pass within seconds to minutes; permanent ones fail at once.
_PATIENT: dict[str, Any] = {
    "retries": 3,
    "retry_delay_seconds": exponential_backoff(backoff_factor=4),
    "retry_jitter_factor": 0.5,
    "retry_condition_fn": is_transient,
    "cache_policy": NO_CACHE,
}
# A killed trainer resumes from its checkpoint, so trying again is cheap.
_RESUMING: dict[str, Any] = _PATIENT | {"retries": 5, "retry_condition_fn": is_resumable}


@task(name="prepare", **_PATIENT)
def prepare(config: RetrainConfig) -> PreparedDataset:
    """Make the data set, or find it unchanged."""
    with watched("prepare"):
        dataset = prepare_dataset(open_workspace(), config)
    for line in note_lines(note for note in dataset.notes if not note.usual):
        get_run_logger().warning("%s", line)
    for item in dataset.unpromotable:
        get_run_logger().warning("%s; %s", item.text, item.do)
    artifacts.dataset_table(dataset)
    return dataset


@task(name="start", **_PATIENT)
def choose_start(config: RetrainConfig, dataset: str) -> Start:
    """Choose whether to start from a released adapter, or find what was chosen for this retrain."""
    with timed("start"):
        start = warm_start.choose_start(open_workspace(), config, dataset)
    get_run_logger().info("%s", start)
    artifacts.start_note(start)
    return start


@task(name="train", **_RESUMING)
def train(config: RetrainConfig, dataset: str, start: Start = FULL) -> TrainedModel:
    """Train in a process of its own, or resume. One at a time on a device.

    A run that has nothing to do does not wait for the device.
    """
    workspace = open_workspace()
    if prefect_settings().embedded:  # it has no limits, and nobody else's runs
        with watched("train"):
            return train_model(workspace, config, dataset, start=start, origin=origin.tags())
    taken = waiting.is_taken(device_limit())
    done = outcome.find_done(workspace, config, dataset, parent=start.parent) if taken else None
    if done is not None:
        return done
    with waiting.slot(device_limit()), watched("train"):
        return train_model(workspace, config, dataset, start=start, origin=origin.tags())


@task(name="evaluate", **_PATIENT)
def evaluate(config: RetrainConfig, dataset: str, trained: TrainedModel) -> Evaluation:
    """Measure base, candidate and champion on the held-out split."""
    with watched("evaluate"):
        evaluation = evaluate_model(open_workspace(), config, dataset, trained)
    artifacts.metrics_table(evaluation.report)
    return evaluation


@task(name="register", **_PATIENT)
def register(
    config: RetrainConfig,
    dataset: PreparedDataset,
    trained: TrainedModel,
    evaluation: Evaluation,
    reason: str,
    start: Start = FULL,
) -> RegisteredVersion:
    """Record run, metrics and model; publish the version's release."""
    with timed("register"):
        return register_version(
            open_workspace(),
            config,
            dataset,
            trained,
            evaluation,
            start=start,
            origin=origin.tags(),
            reason=reason,
        )


@task(name="gate", **_PATIENT)
def gate(
    config: RetrainConfig, dataset: PreparedDataset, evaluation: Evaluation, registered: RegisteredVersion
) -> Decision:
    """Decide from the report alone, and show it."""
    workspace = open_workspace()
    with timed("gate"):
        decision = gates.decide(workspace, config, evaluation, registered)
    _show(workspace, config, dataset, evaluation, registered, decision)
    return decision


@task(name="conclude", **_PATIENT)
def conclude(
    config: RetrainConfig,
    dataset: PreparedDataset,
    evaluation: Evaluation,
    registered: RegisteredVersion,
    decision: Decision,
    answer: ApprovalResponse,
) -> Decision:
    """Join the gate's decision and the person's answer, and show it."""
    workspace = open_workspace()
    concluded = gates.conclude(workspace, config, evaluation, registered, decision, answer)
    _show(workspace, config, dataset, evaluation, registered, concluded)
    return concluded


def _show(
    workspace: Workspace,
    config: RetrainConfig,
    dataset: PreparedDataset,
    evaluation: Evaluation,
    registered: RegisteredVersion,
    decision: Decision,
) -> None:
    """The decision on the pages that people read, in MLflow and Prefect."""
    report.show_decision(workspace, config, dataset, evaluation, registered, decision)
    pages.refresh(workspace, registered.model, registered.version)
    artifacts.report_page(config, evaluation.report, decision)


@task(name="promote", **_PATIENT)
def promote(config: RetrainConfig, registered: RegisteredVersion, decision: Decision) -> PromotionResult:
    """Make the version champion if the decision allows it."""
    workspace = open_workspace()
    with timed("promote"):
        required = config.register_.require_signature
        promotion = promotions.promote(workspace, registered, decision, require_signature=required)
    replaced = decision.against if promotion.changed else None
    pages.refresh(workspace, registered.model, registered.version, replaced)
    return promotion


@task(name="tidy", cache_policy=NO_CACHE)
def tidy() -> None:
    """Delete what no checkpoint needs, a day after it was written; nothing hangs on its success."""
    with watched("tidy"):
        prune.prune_afterwards(open_workspace())


@task(name="follow-aliases", **_PATIENT)
def follow_aliases(model: str) -> promotions.FollowedAliases:
    """Take up a champion alias that was moved in MLflow: what was found and done."""
    return promotions.follow_aliases(open_workspace(), model, describe=True)


@task(name="plan-generation", **_PATIENT)
def plan_generation(
    source: str,
    task_name: str,
    request: dict[str, Any],
    model: str,
    ref: str,
    shard_rows: int,
    truncate: bool,
    decoding: Decoding,
) -> generate.BatchJob:
    """Count the rows, fix the model's version: what all shards share."""
    return generate.plan(
        open_workspace(),
        Path(source),
        task=task_name,
        request=request,
        model=model,
        ref=ref,
        shard_rows=shard_rows,
        truncate=truncate,
        decoding=decoding,
    )


@task(name="generate-shard", task_run_name="generate-{number}", **_PATIENT)
def generate_shard(job: generate.BatchJob, number: int, destination: str) -> generate.Part:
    """Answer one shard, or find it written."""
    return generate.run_shard(job, number, Path(destination))


@task(name="generate-shards", **_PATIENT)
def generate_shards_on_ray(job: generate.BatchJob, destination: str, gpu: bool) -> list[generate.Part]:
    """Answer all shards on the Ray cluster, or find them written."""
    with watched("generate"):
        return generate_on_ray.run_shards(job, Path(destination), gpu=gpu)


@task(name="check-champion", **_PATIENT)
def check_champion(config: RetrainConfig, dataset: str, max_drop: float) -> monitor.ChampionCheck:
    """Measure the champion on a data set: scores now and at its release, and what got worse."""
    with watched("evaluate"):
        return monitor.check_champion(open_workspace(), config, dataset, max_drop=max_drop)


@task(name="promote-by-hand", **_PATIENT)
def promote_by_hand(model: str, version: str, force: str | None, actor: str | None) -> promotions.ChampionChange:
    """Make a version champion on a person's word."""
    return promotions.promote_by_hand(open_workspace(), model, version, force=force, actor=actor)


@task(name="roll-back", **_PATIENT)
def roll_back(model: str, reason: str, actor: str | None) -> promotions.ChampionChange:
    """Make the previous champion champion again."""
    return promotions.roll_back(open_workspace(), model, reason=reason, actor=actor)


@task(name="watch-served", **_PATIENT)
def watch_served(config: RetrainConfig) -> serving_watch.ServedCheck:
    """Compare what the champion and the version before it served, and roll back where the policy says so."""
    return serving_watch.watch_served(open_workspace(), config.register_.model, config.watch.rollback)


@task(name="compare-data", **_PATIENT)
def compare_data(config: RetrainConfig, dataset: str) -> monitor.DataChange:
    """How much of the training data differs from the champion's."""
    return monitor.compare_data(open_workspace(), config, dataset)


@task(name="check-drift", **_PATIENT)
def check_drift(config: RetrainConfig, dataset: str) -> DriftReport | None:
    """Compare new rows and logged requests with the champion's training data: tell of drift, and show what was found.

    None where there is nothing to show.
    """
    found = drift.check_drift(open_workspace(), config, dataset, now=datetime.now(UTC))
    if found is None or not found.page:
        return None
    artifacts.drift_text(found)
    events.data_drifted(found)
    return found


@task(name="prune-checkpoints", **_PATIENT)
def prune_checkpoints(delete: bool) -> prune.Pruned:
    """Delete (or only find) what no commit needs any more."""
    return prune.prune_checkpoints(open_workspace(), delete=delete)
