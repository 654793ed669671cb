"""Evaluate: the run's model beside its base, the champion and the best earlier one, on examples that none was trained
on."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import asdict, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from mtl import layout
from mtl.config.retrain import RetrainConfig
from mtl.data.dataset import open_dataset
from mtl.errors import DamageError, NotFoundError
from mtl.evaluation.per_example import write_scores
from mtl.evaluation.report import BEST, CANDIDATE, CHAMPION, EvalReport
from mtl.evaluation.samples import sample_examples
from mtl.fingerprint import sha256_json
from mtl.pipeline.best_earlier import BestEarlier, find_best_earlier
from mtl.pipeline.judging import judged_by, judging_examples, set_aside
from mtl.pipeline.models import champion_model, model_folder, task_names
from mtl.pipeline.records import Evaluation
from mtl.pipeline.rotation import rotation_week
from mtl.pipeline.traffic import kept_sample, traffic_examples, traffic_sample
from mtl.registry.code_version import code_version
from mtl.release.refs import check_model_folder
from mtl.seal import seal, unseal
from mtl.serving.folder import travelling_files
from mtl.store.base import ObjectStore
from mtl.tasks.table import get_task
from mtl.traffic.sample import TrafficSample
from mtl.training.result import TrainedModel
from mtl.workspace import Workspace

_log = logging.getLogger(__name__)


def evaluate(workspace: Workspace, config: RetrainConfig, dataset: str, trained: TrainedModel) -> Evaluation:
    """Measure the run's model beside its base and the champion, and the best earlier champion where that one stands
    higher; the store keeps the report too.

    A report of the same run, champions and rules is not measured again: a flow that was killed or suspended after its
    evaluation goes on from there.
    """
    champion = champion_model(workspace, config.register_.model)
    version = champion[0] if champion else None
    best = find_best_earlier(workspace, config)
    week = rotation_week(workspace.store, config, trained.identity, now=datetime.now(UTC))
    traffic = kept_sample(
        workspace.store, config, trained.identity, partial(_drawn, workspace, config, dataset, trained)
    )
    rules = _rules(config, dataset, version, best=best, week=week, traffic=traffic)
    kept = _kept_report(workspace.store, layout.report_key(trained.identity), rules)
    if kept is not None:
        return kept
    folders = {CANDIDATE: model_folder(workspace, config, trained)} | ({CHAMPION: champion[1]} if champion else {})
    folders |= {BEST: best.folder} if best.folder else {}
    report = measure(workspace, config, dataset, folders, week=week, traffic=traffic)
    if best.version is not None:
        report = replace(report, settings={**report.settings, BEST: f"v{best.version}"})
    evaluation = Evaluation(report, version, rules, best_version=best.version, left_out=best.left_out)
    scores = workspace.cache / "scores" / f"{trained.identity}.parquet"
    write_scores(scores, report.scores)
    workspace.store.put_file(layout.scores_key(trained.identity), scores)
    workspace.store.put(layout.report_key(trained.identity), seal(evaluation.to_json()))
    return evaluation


def _drawn(workspace: Workspace, config: RetrainConfig, dataset: str, trained: TrainedModel) -> TrafficSample | None:
    folder = model_folder(workspace, config, trained)
    return traffic_sample(workspace, config, dataset, folder, now=datetime.now(UTC))


def _rules(
    config: RetrainConfig,
    dataset: str,
    champion: int | None,
    *,
    best: BestEarlier,
    week: str | None,
    traffic: TrafficSample | None,
) -> str:
    """Hash of all that a report of one run depends on, versions of the tasks and their metrics included."""
    tasks = [get_task(name) for name in task_names(config)]
    asked = config.evaluate.model_dump(mode="json")
    metrics = {task.name: [task.version, [asdict(metric) for metric in task.metrics]] for task in tasks}
    judged_on = [asked, config.seed, set_aside(config), week, traffic and traffic.sha256]
    beside = [champion, best.version, *best.left_out]
    return sha256_json([judged_on, config.gate.confidence, dataset, beside, metrics, code_version()])


def _kept_report(store: ObjectStore, key: str, rules: str) -> Evaluation | None:
    try:
        found = unseal(store.get(key), key, hint="it is measured again")
    except NotFoundError:
        return None
    except DamageError as error:
        _log.warning("%s; measuring again", error.message)
        return None
    return Evaluation.from_json(found) if found.get("rules") == rules else None


def measure(
    workspace: Workspace,
    config: RetrainConfig,
    dataset: str,
    folders: Mapping[str, Path],
    *,
    week: str | None = None,
    traffic: TrafficSample | None = None,
) -> EvalReport:
    """The EvalReport of model folders (candidate, champion, best) on the examples that may judge a version.

    `mtl evaluate` and the monitor measure on them too: on the others a checkpoint looks as good as it was chosen to,
    and only on these does a score compare with that of the version's release. week: of the rotation; None
    measures on the same examples whenever it is called. traffic: the logged texts that they are measured on too.
    """
    from mtl.evaluation.kept_reader import open_reader  # torch takes seconds to import
    from mtl.evaluation.run import Reading
    from mtl.evaluation.run import measure as measure_models
    from mtl.evaluation.traffic import measure_traffic
    from mtl.evaluation.writing import write_all
    from mtl.evaluation.writing_on_ray import write_all as write_all_on_ray

    data = open_dataset(workspace.store, dataset, workspace.cache)
    chosen = config.evaluate
    names = task_names(config)
    if Path(chosen.reader).is_dir():
        check_model_folder(Path(chosen.reader))
    load = partial(
        open_reader,
        chosen.reader,
        chosen.reader_revision,
        candidate=folders[CANDIDATE],
        max_input_tokens=config.data.max_input_tokens,
        batch_tokens=chosen.batch_tokens,
        store=workspace.store,
    )
    tasks = {name: get_task(name) for name in names}
    measure_all = partial(
        measure_models,
        max_new_tokens={name: chosen.max_new_tokens.get(name, config.data.max_target_tokens) for name in names},
        max_input_tokens=config.data.max_input_tokens,
        batch_tokens=chosen.batch_tokens,
        precision=chosen.precision,
        engine=chosen.engine,
        decoding=chosen.decoding(),
        reading=None if chosen.reader == "none" else Reading(load, chosen.reader_examples),
        store=workspace.store,
        write=partial(write_all_on_ray, files=travelling_files, gpu=config.run.gpu)
        if config.run.engine == "ray"
        else write_all,
    )
    how: Any = {"tasks": tasks, "seed": config.seed, "confidence": config.gate.confidence}
    judging = judging_examples(data, config)
    examples = sample_examples(judging, per_task=chosen.max_examples, seed=config.seed, week=week)
    report = measure_all(folders, examples, **how)
    if traffic is not None:
        logged = traffic_examples(workspace, config, traffic)
        report = replace(report, traffic=measure_traffic(measure_all, folders, traffic, logged, **how))
    return replace(report, settings={**report.settings, "judged_by": judged_by(config, week)})
