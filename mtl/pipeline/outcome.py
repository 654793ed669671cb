"""The outcome of a retrain: kept last, and found when the same retrain is asked for again."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from mtl import layout
from mtl.checkpoints.identity import RunIdentity
from mtl.config.retrain import RetrainConfig
from mtl.decision import Decision
from mtl.errors import DamageError, MtlError, NotFoundError
from mtl.fingerprint import sha256_json
from mtl.model.base import base_sha256, resolve_base
from mtl.pipeline.records import Evaluation, Outcome, PromotionResult, RegisteredVersion
from mtl.store.documents import copy_key, put_document, read_document
from mtl.training.parent import Parent
from mtl.training.result import TrainedModel, read_result
from mtl.workspace import Workspace

_log = logging.getLogger(__name__)
_KEYS = {"evaluate", "decision", "version", "release", "champion"}


def run_identity(config: RetrainConfig, dataset: str, parent: Parent | None = None) -> RunIdentity:
    """The identity of a run that is started here, as its trainer has it. parent: whose adapter it starts from."""
    from mtl.model.precision import device_kind  # torch takes seconds to import
    from mtl.training.plan import identity_fields, pinned, world_size

    on_cluster = "cuda" if config.run.gpu else "cpu"
    fields = identity_fields(
        pinned(config),
        dataset=dataset,
        base_sha256=base_sha256(resolve_base(config.model.base, config.model.revision)),
        device=on_cluster if config.run.engine == "ray" else device_kind(),
        world_size=world_size(config),
        parent=parent,
    )
    return RunIdentity.of(config.name, fields)


def find_done(
    workspace: Workspace, config: RetrainConfig, dataset: str, *, parent: Parent | None = None
) -> TrainedModel | None:
    """The result of training a data set, if all of its retrain is done; None if there is anything to do.

    Found without the trainer, and so without the device.
    """
    identity = run_identity(config, dataset, parent).sha256
    try:
        return read_result(workspace.store, identity) if _find(workspace, config, identity) else None
    except (DamageError, NotFoundError) as error:
        _log.info("what this retrain once made is not whole, so that it waits for the device: %s", error.message)
        return None


def find_outcome(workspace: Workspace, config: RetrainConfig, trained: TrainedModel) -> Outcome | None:
    """The kept outcome of this run under the same evaluation and gate; None if it was not decided about yet."""
    return _find(workspace, config, trained.identity)


def _find(workspace: Workspace, config: RetrainConfig, identity: str) -> Outcome | None:
    key = _key(config, identity)
    hint = f"delete {key} and {copy_key(key)}: the version is then judged again"
    try:
        found = read_document(workspace.store, key, hint=hint)
    except NotFoundError:
        return None
    if missing := _KEYS - found.keys():
        raise DamageError(f"{key} is no outcome of a retrain: it has no {min(missing)}", field=key, hint=hint)
    return Outcome.from_json(found)


def keep_outcome(
    workspace: Workspace,
    config: RetrainConfig,
    trained: TrainedModel,
    evaluation: Evaluation,
    registered: RegisteredVersion,
    decision: Decision,
    promotion: PromotionResult,
) -> Outcome:
    """Keep the outcome as the last write of a retrain, so that repeating it finds everything done.

    A promotion that was refused after the decision is not kept, nor one that nobody answered for: the next retrain
    decides about the version again.
    """
    outcome = Outcome.of(evaluation, registered, decision, promotion)
    if decision.final and not promotion.refused:
        put_document(workspace.store, _key(config, trained.identity), outcome.to_json())
    return outcome


def _key(config: RetrainConfig, identity: str) -> str:
    rules = config.model_dump(mode="json", by_alias=True, include={"evaluate", "gate", "register_"})
    del rules["gate"]["too_few_examples"]  # whether to judge, not how
    return layout.outcome_key(identity, sha256_json(rules))


def record_times(workspace: Workspace, registered: RegisteredVersion, spent: Mapping[str, Mapping[str, Any]]) -> None:
    """Keep with the MLflow run how long each step took and what it cost; where MLflow is away, only the log has it."""
    values = {f"seconds/{step}": found["seconds"] for step, found in spent.items()}
    values |= {f"cost/{step}": found["cost"] for step, found in spent.items() if found["cost"] is not None}
    for kind in ("seconds", "cost"):
        parts = [value for name, value in values.items() if name.startswith(f"{kind}/")]
        if parts:
            values[f"{kind}/total"] = round(sum(parts), 6)
    try:
        workspace.tracker.log_metrics(registered.run_id, values)
    except MtlError as error:
        _log.warning("MLflow did not take the times of the steps (%s): %s", values, error.message)
