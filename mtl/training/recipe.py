"""One training run, from its plan to the finished checkpoint. This is all that the trainer process does:

run        threads, data set, base; the run's identity; its lease on the checkpoints
_begin     found finished, or restored from its newest good commit, or a compatible run's, or begun: with a new
           adapter, or with that of the parent
_train     the model with its adapter (`build`), the batches, and the callbacks beside transformers' loop:
           Progress (losses as events), StepLosses (of every step, for `mtl reproduce`), Validation (held-out loss,
           best step, early stop), Checkpoints (every save_steps, carried to the store by Uploads meanwhile)
finish     the last commit is marked, and the result is kept
"""

from __future__ import annotations

import logging
import shutil
import statistics
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import torch
from transformers import set_seed

from mtl.checkpoints.checkpoint_store import CheckpointStore
from mtl.checkpoints.identity import RunIdentity
from mtl.checkpoints.related import resume_source
from mtl.config.retrain import RetrainConfig
from mtl.data.dataset import Dataset, open_dataset
from mtl.errors import DamageError, NotFoundError, TransientError
from mtl.fingerprint import sha256_file
from mtl.model.adapter import copy_weights, trainable_parameters
from mtl.model.base import BaseRef, base_sha256, resolve_base
from mtl.model.precision import device_kind
from mtl.store.base import ObjectStore
from mtl.store.open import open_store
from mtl.tasks.table import in_order
from mtl.training import ranks
from mtl.training.build import build_model, build_trainer
from mtl.training.callbacks import Checkpoints, Progress, StopRequest
from mtl.training.dataset import TokenisedSplit
from mtl.training.events import EventWriter
from mtl.training.history import read_log, result_adapter
from mtl.training.losses import StepLosses
from mtl.training.machine import compute_repeatably, keep_freed_memory
from mtl.training.packages import installed_versions
from mtl.training.parent import Parent, fetch_parent
from mtl.training.parts import people_examples
from mtl.training.plan import TrainPlan, check_equal, identity_fields, thread_count
from mtl.training.record import TrainingRecord, hardware, keep_record, read_record
from mtl.training.result import TrainedModel, keep_result, read_result
from mtl.training.resume import Start, start_run
from mtl.training.trainer import LoraTrainer
from mtl.training.uploads import Uploads
from mtl.training.validation import Validation, held_out_batches
from mtl.training.warm import known_examples

_log = logging.getLogger(__name__)


def run(plan: TrainPlan, events: EventWriter) -> TrainedModel | None:
    """Train, resume or find finished: the result, on the leading process alone. Errors: of mtl.errors."""
    stop = StopRequest()
    config, work = plan.parsed(), Path(plan.work)
    torch.set_num_threads(thread_count(config.train.threads))
    keep_freed_memory()
    if device_kind() == "cuda":
        compute_repeatably()
    store = open_store(plan.store)
    data = open_dataset(store, plan.dataset, Path(plan.cache))
    ref = resolve_base(config.model.base, config.model.revision)
    identity = _identity(config, plan, ref)
    checkpoints = CheckpointStore(store, identity, plan.owner)
    ranks.join(device_kind())
    check_equal(ranks.gather(identity))
    begin: Start | Literal["done"] = ranks.told(_begin(plan, config, store, checkpoints) if ranks.is_leader() else None)
    if begin != "done":
        begin = _bring(begin, checkpoints, work)
        result, losses = _train(
            config, data, ref, checkpoints, start=begin, warm=_warm(plan, store), events=events, stop=stop, work=work
        )
        if ranks.is_leader():
            checkpoints.finish(result.steps)
            keep_record(store, _record(plan, identity, losses))
            keep_result(store, result)
    return read_result(store, identity.sha256) if ranks.is_leader() else None


@dataclass(frozen=True)
class _WarmStart:
    """parent: whose adapter is started from. data: what it was trained on. fetch: gives its adapter."""

    parent: Parent
    data: Dataset
    fetch: Callable[[], Path]


def _warm(plan: TrainPlan, store: ObjectStore) -> _WarmStart | None:
    parent, cache = plan.parent_version(), Path(plan.cache)
    if parent is None:
        return None
    return _WarmStart(parent, open_dataset(store, parent.dataset, cache), lambda: fetch_parent(store, parent, cache))


def _record(plan: TrainPlan, identity: RunIdentity, losses: tuple[float | None, ...]) -> TrainingRecord:
    return TrainingRecord(identity.sha256, plan.config, losses, installed_versions(), hardware(device_kind()))


def _begin(
    plan: TrainPlan, config: RetrainConfig, store: ObjectStore, checkpoints: CheckpointStore
) -> Start | Literal["done"]:
    """Own the run and find where it goes on from, unless it is done."""
    source = resume_source(store, checkpoints.identity, mode=config.train.resume, demanded=plan.resume)
    work = Path(plan.work)
    if _is_done(checkpoints, store, work):
        checkpoints.publish_identity()
        return "done"
    checkpoints.acquire()
    return start_run(store, checkpoints, source, work / "restored")


def _bring(start: Start, checkpoints: CheckpointStore, work: Path) -> Start:
    """The leader's start in the folder of this process, which may be on another machine."""
    folder = work / "restored" if start.folder else None
    if folder is not None and not folder.exists():
        restored = checkpoints.restore(folder)
        if restored is None or restored.commit.step != start.step:
            raise TransientError(f"rank {ranks.rank()} finds another commit than step {start.step}")
    ranks.gather(True)
    return replace(start, folder=folder)


def _is_done(checkpoints: CheckpointStore, store: ObjectStore, work: Path) -> bool:
    """Whether the run is finished, its last commit good to the last byte, and its result known and of that commit.

    A result or record that is lost or damaged is made again from the last commit, as if the run had been killed before.
    """
    last = checkpoints.finished()
    if last is None:
        return False
    try:
        result = read_result(store, checkpoints.identity.sha256)
        read_record(store, checkpoints.identity.sha256)
    except NotFoundError:
        return False
    except DamageError as error:
        _log.warning("%s; it is made again from the last commit", error.message)
        return False
    restored = checkpoints.restore(work / "finished")
    if restored is None or restored.commit.step != last.step:
        return False
    told = (result.steps, result.adapter_sha256)
    return told == (last.step, sha256_file(result_adapter(restored.folder)))


def _identity(config: RetrainConfig, plan: TrainPlan, ref: BaseRef) -> RunIdentity:
    fields = identity_fields(
        config,
        dataset=plan.dataset,
        base_sha256=base_sha256(ref),
        device=device_kind(),
        world_size=ranks.world_size(),
        parent=plan.parent_version(),
    )
    return RunIdentity.of(config.name, fields)


def _train(
    config: RetrainConfig,
    data: Dataset,
    ref: BaseRef,
    checkpoints: CheckpointStore,
    *,
    start: Start,
    warm: _WarmStart | None,
    events: EventWriter,
    stop: StopRequest,
    work: Path,
) -> tuple[TrainedModel, tuple[float | None, ...]]:
    """From `start` to the last step, which is committed; the result and the loss of each step (the leader's count)."""
    tasks = in_order(data.manifest.counts)
    split = TokenisedSplit(data, "train", tasks)
    set_seed(config.seed)
    model = build_model(config, ref, tasks, tokenizer_sha256=data.manifest.tokenizer["sha256"])
    if warm and start.folder is None:
        copy_weights(model, warm.fetch())
    known = known_examples(data, warm.data, tasks) if warm else None
    taught = config.data.mixture.feedback is not None and data.manifest.from_people("train") > 0
    people = people_examples(data, tasks) if taught else None
    trainer = build_trainer(config, model, split, work, known=known, people=people)
    progress = Progress(events.emit)
    progress.loss, speeds_before = read_log(start.folder)  # of tasks that none of the steps to come may show
    validation = _validation(config, data, tasks, trainer=trainer, resumed=start.folder, events=events, work=work)
    adapter = [sha256_file(result_adapter(start.folder))] if start.folder else []

    def commit(step: int, folder: Path) -> None:
        checkpoints.commit(step, folder, metric=validation.metric_at(step) if validation else None)
        adapter.append(sha256_file(result_adapter(folder)))
        shutil.rmtree(folder)
        events.emit("commit", step=step)

    uploads = Uploads(commit)
    losses = StepLosses(trainer.meter.take_steps, resumed=start.folder, step=start.step)
    trainer.add_callback(progress)
    trainer.add_callback(losses)
    if validation:
        trainer.add_callback(validation)  # before the checkpoints, whose files it adds to
    trainer.add_callback(Checkpoints(uploads, stop, work / "uploads"))
    events.emit("start", **_start_event(checkpoints, start, config, tasks=tasks, split=split, trainer=trainer))
    try:
        if start.step < config.train.max_steps and not (validation and validation.over):
            trainer.train(resume_from_checkpoint=str(start.folder) if start.folder else None)
        uploads.wait()
    finally:
        trainer.stop_reading()
        uploads.close()
    speeds = progress.speeds or speeds_before
    result = TrainedModel(
        identity=checkpoints.identity.sha256,
        steps=max(start.step, trainer.state.global_step),
        max_steps=config.train.max_steps,
        adapter_sha256=adapter[-1] if adapter else None,
        resumed_from=start.step or None,
        bit_exact=start.lineage is None,
        continued_from=start.lineage,
        tokens_per_second=round(statistics.median(speeds), 1) if speeds else None,
        loss=progress.loss,
        parent=warm.parent if warm else None,
        **(validation.summary() if validation else {}),
    )
    return result, tuple(losses.values)


def _validation(
    config: RetrainConfig,
    data: Dataset,
    tasks: list[str],
    *,
    trainer: LoraTrainer,
    resumed: Path | None,
    events: EventWriter,
    work: Path,
) -> Validation | None:
    """What measures the run while it trains, if the configuration asks for it."""
    train = config.train
    if train.eval_steps is None:
        return None
    batches = held_out_batches(
        data,
        tasks,
        share=train.eval_share,
        per_task=train.eval_examples,
        seed=config.seed,
        max_tokens=train.max_tokens_per_batch,
        rank=trainer.args.process_index,
        world=trainer.args.world_size,
    )
    return Validation(
        lambda: trainer.validate(batches),
        events.emit,
        every=train.eval_steps,
        metric=train.metric_for_best_model,
        patience=train.early_stopping_patience,
        keep_best=train.load_best_model_at_end,
        resumed=resumed,
        work=work,
    )


def _start_event(
    checkpoints: CheckpointStore,
    start: Start,
    config: RetrainConfig,
    *,
    tasks: list[str],
    split: TokenisedSplit,
    trainer: LoraTrainer,
) -> dict[str, Any]:
    trainable, total = trainable_parameters(trainer.model)
    return {
        "identity": checkpoints.identity.sha256,
        "step": start.step,
        "max_steps": config.train.max_steps,
        **start.to_dict(),
        "tasks": tasks,
        "examples": dict(zip(tasks, split.sizes, strict=True)),
        "trainable": trainable,
        "parameters": total,
        "precision": "bf16" if trainer.compute.bf16 else "fp32",
        "choices": trainer.compute.to_dict(),
        "device": trainer.args.device.type,
    }
