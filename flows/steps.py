"""The steps of a retrain: each a few lines around a function of `mtl.chain`, with its own retry rule.

A step takes and gives ids and plain values, never models or tensors.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from prefect import get_run_logger, task
from prefect.cache_policies import NO_CACHE
from prefect.tasks import exponential_backoff

from flows import artifacts, origin, waiting
from flows.retrying import is_resumable, is_transient
from flows.timing import timed
from flows.watching import watched
from mtl.chain import batch, champion, common, data_watch, hand_over, judge, learn, outcome, pages
from mtl.config.retrain import RetrainConfig
from mtl.settings import device_limit, prefect_settings

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
def prepare(config: RetrainConfig) -> dict[str, Any]:
    """Make the data set, or find it unchanged: its manifest."""
    with watched("prepare"):
        manifest = learn.prepare(config)
    for line in learn.note_lines(note for note in manifest["notes"] if not note["usual"]):
        get_run_logger().warning("%s", line)
    for item in manifest["unpromotable"]:
        get_run_logger().warning("%s; %s", item["text"], item["do"])
    artifacts.dataset_table(manifest)
    return manifest


@task(name="train", **_RESUMING)
def train(config: RetrainConfig, dataset: str) -> dict[str, Any]:
    """Train in a process of its own, or resume: identity, steps, adapter hash. One at a time on a device.

    A run that has nothing to do does not wait for the device.
    """
    if prefect_settings().embedded:  # it has no limits, and nobody else's runs
        with watched("train"):
            return learn.train(config, dataset, origin=origin.tags())
    done = outcome.find_done(config, dataset) if waiting.is_taken(device_limit()) else None
    if done is not None:
        return done
    with waiting.slot(device_limit()), watched("train"):
        return learn.train(config, dataset, origin=origin.tags())


@task(name="evaluate", **_PATIENT)
def evaluate(config: RetrainConfig, dataset: str, trained: dict[str, Any]) -> dict[str, Any]:
    """Measure base, candidate and champion on the held-out split: the report."""
    with watched("evaluate"):
        report = judge.evaluate(config, dataset, trained)
    artifacts.metrics_table(report)
    return report


@task(name="register", **_PATIENT)
def register(
    config: RetrainConfig, dataset: dict[str, Any], trained: dict[str, Any], report: dict[str, Any], reason: str
) -> dict[str, Any]:
    """Record run, metrics and model; publish the version's release: version and where it is."""
    with timed("register"):
        return hand_over.register(config, dataset, trained, report, origin=origin.tags(), reason=reason)


@task(name="gate", **_PATIENT)
def gate(config: RetrainConfig, report: dict[str, Any], registered: dict[str, Any]) -> dict[str, Any]:
    """Decide from the report alone; the decision, with its reasons, is recorded."""
    with timed("gate"):
        decision = hand_over.decide(config, report, registered)
    passed = bool(decision["promoted"] or decision["awaits"])
    pages.record_gate(registered["model"], registered["version"], passed=passed)
    pages.refresh(registered["model"], registered["version"])
    artifacts.report_page(report, decision)
    return decision


@task(name="conclude", **_PATIENT)
def conclude(
    report: dict[str, Any],
    registered: dict[str, Any],
    decision: dict[str, Any],
    answer: dict[str, Any],
) -> dict[str, Any]:
    """Join the gate's decision and the person's answer; recorded with the person's name."""
    concluded = hand_over.conclude(registered, decision, answer)
    pages.refresh(registered["model"], registered["version"])
    artifacts.report_page(report, concluded)
    return concluded


@task(name="promote", **_PATIENT)
def promote(config: RetrainConfig, registered: dict[str, Any], decision: dict[str, Any]) -> dict[str, Any]:
    """Make the version champion if the gate said so: who is champion now."""
    with timed("promote"):
        promoted = hand_over.promote(config, registered, decision)
    pages.refresh(registered["model"], registered["version"], decision["against"] if promoted["changed"] else None)
    return promoted


@task(name="tidy", cache_policy=NO_CACHE)
def tidy() -> dict[str, Any]:
    """Delete what no checkpoint needs, a day after it was written; nothing hangs on its success."""
    with watched("tidy"):
        return common.tidy()


@task(name="follow-aliases", **_PATIENT)
def follow_aliases(model: str) -> dict[str, Any]:
    """Take up a champion alias that was moved in MLflow: what was found and done."""
    return pages.follow(model)


@task(name="plan-generation", **_PATIENT)
def plan_generation(
    source: str, task_name: str, request: dict[str, int], model: str, ref: str, shard_rows: int, truncate: bool
) -> dict[str, Any]:
    """Count the rows, fix the model's version: what all shards share."""
    return batch.plan(
        Path(source), task=task_name, request=request, model=model, ref=ref, shard_rows=shard_rows, truncate=truncate
    )


@task(name="generate-shard", task_run_name="generate-{number}", **_PATIENT)
def generate_shard(job: dict[str, Any], number: int, destination: str) -> dict[str, Any]:
    """Answer one shard, or find it written."""
    return batch.run_shard(job, number, Path(destination))


@task(name="examine-champion", **_PATIENT)
def examine_champion(config: RetrainConfig, dataset: str, max_drop: float) -> dict[str, Any]:
    """Measure the champion on a data set: scores now and at its release, and what got worse."""
    with watched("evaluate"):
        return champion.examine(config, dataset, max_drop=max_drop)


@task(name="promote-by-hand", **_PATIENT)
def promote_by_hand(model: str, version: str, force: str | None, actor: str | None) -> dict[str, Any]:
    """Make a version champion on a person's word."""
    return champion.promote_version(model, version, force=force, actor=actor)


@task(name="roll-back", **_PATIENT)
def roll_back(model: str, reason: str, actor: str | None) -> dict[str, Any]:
    """Make the previous champion champion again."""
    return champion.roll_back(model, reason=reason, actor=actor)


@task(name="compare-data", **_PATIENT)
def compare_data(config: RetrainConfig, dataset: str) -> dict[str, Any]:
    """How much of the training data differs from the champion's."""
    return data_watch.compare_data(config, dataset)


@task(name="prune-checkpoints", **_PATIENT)
def prune_checkpoints(delete: bool) -> dict[str, Any]:
    """Delete (or only find) what no commit needs any more."""
    return common.prune_checkpoints(delete=delete)
