"""Evaluate: the run's model beside its base and the champion, on examples that none was trained on."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import asdict
from functools import partial
from pathlib import Path

from mtl.chain.common import Document, champion_model, evaluation_prefix, model_folder, task_names
from mtl.config.retrain import RetrainConfig
from mtl.decision import headline
from mtl.errors import DamageError, NotFoundError
from mtl.evaluation.report import EvalReport
from mtl.fingerprint import sha256_json
from mtl.registry.code_version import code_version
from mtl.seal import seal, unseal
from mtl.settings import load_settings
from mtl.store.base import ObjectStore
from mtl.store.open import open_store

_log = logging.getLogger(__name__)


def evaluate(config: RetrainConfig, dataset: str, trained: Document) -> Document:
    """Measure the run's model beside its base and the champion: the report, which the store keeps too.

    A report of the same run, champion and rules is not measured again: a flow that was killed or suspended after its
    evaluation goes on from there.
    """
    from mtl.evaluation.per_example import write_scores

    settings = load_settings()
    store = open_store(settings.store)
    champion, folder = champion_model(config, store, settings)
    rules = _rules(config, dataset, champion)
    prefix = evaluation_prefix(trained["identity"])
    kept = _kept_report(store, f"{prefix}/report.json", rules)
    if kept is not None:
        return kept
    folders = {"candidate": model_folder(config, trained)} | ({"champion": folder} if folder else {})
    report = measure(config, dataset, folders)
    document: Document = report.to_json() | {"champion_version": champion, "rules": rules}
    scores = settings.cache / "scores" / f"{trained['identity']}.parquet"
    write_scores(scores, report.scores)
    store.put_file(f"{prefix}/scores.parquet", scores)
    store.put(f"{prefix}/report.json", seal(document))
    return document


def _rules(config: RetrainConfig, dataset: str, champion: int | None) -> str:
    """Hash of all that a report of one run depends on, versions of the tasks and their metrics included."""
    from mtl.tasks.table import get_task

    tasks = [get_task(name) for name in task_names(config)]
    asked = config.evaluate.model_dump(mode="json")
    metrics = {task.name: [task.version, [asdict(metric) for metric in task.metrics]] for task in tasks}
    return sha256_json([asked, config.seed, config.gate.confidence, dataset, champion, metrics, code_version()])


def _kept_report(store: ObjectStore, key: str, rules: str) -> Document | None:
    try:
        found: Document = unseal(store.get(key), key, hint="it is measured again")
    except NotFoundError:
        return None
    except DamageError as error:
        _log.warning("%s; measuring again", error.message)
        return None
    return found if found.get("rules") == rules else None


def measure(config: RetrainConfig, dataset: str, folders: Mapping[str, Path]) -> EvalReport:
    """The EvalReport of model folders (candidate, champion) on the configuration's held-out split."""
    from mtl.data.dataset import open_dataset
    from mtl.evaluation.reader import load_reader
    from mtl.evaluation.run import Reading
    from mtl.evaluation.run import measure as measure_models
    from mtl.evaluation.samples import sample_examples
    from mtl.release.refs import check_model_folder
    from mtl.tasks.table import get_task

    settings = load_settings()
    data = open_dataset(open_store(settings.store), dataset, settings.cache)
    chosen = config.evaluate
    names = task_names(config)
    if Path(chosen.reader).is_dir():
        check_model_folder(Path(chosen.reader))
    load = partial(
        load_reader,
        chosen.reader,
        chosen.reader_revision,
        candidate=folders["candidate"],
        max_input_tokens=config.data.max_input_tokens,
        batch_tokens=chosen.batch_tokens,
    )
    examples = [example for name in names for example in data.examples(name, chosen.split)]
    return measure_models(
        folders,
        sample_examples(examples, per_task=chosen.max_examples, seed=config.seed),
        tasks={name: get_task(name) for name in names},
        max_new_tokens={name: chosen.max_new_tokens.get(name, config.data.max_target_tokens) for name in names},
        max_input_tokens=config.data.max_input_tokens,
        batch_tokens=chosen.batch_tokens,
        precision=chosen.precision,
        engine=chosen.engine,
        seed=config.seed,
        confidence=config.gate.confidence,
        reading=None if chosen.reader == "none" else Reading(load, chosen.reader_examples),
    )


def report_markdown(report: Document, decision: Document | None = None) -> str:
    """The report for people, with the decision on top once there is one."""
    from mtl.evaluation.markdown import report_markdown as render

    measured = EvalReport.from_json(report)
    return (
        render(measured)
        if decision is None
        else render(
            measured,
            promoted=decision["promoted"],
            reasons=decision["reasons"],
            title=headline(decision["state"], decision["by"]),
        )
    )


def report_html(
    config: RetrainConfig,
    dataset: Document,
    report: Document,
    decision: Document | None = None,
    *,
    version: int,
    facts: Mapping[str, str],
) -> str:
    """The report as a page of its own, with what changed in the data since the champion."""
    from mtl.evaluation.dataset_changes import dataset_changes
    from mtl.evaluation.page import report_page
    from mtl.tasks.table import TASKS

    name = config.register_.model
    before = _dataset_of(name, report["champion_version"])
    return report_page(
        EvalReport.from_json(report),
        title=f"{name} v{version}",
        tasks=TASKS,
        promoted=None if decision is None else decision["promoted"],
        reasons=() if decision is None else decision["reasons"],
        changes=dataset_changes(before, dataset) if before else (),
        facts=facts,
    )


def _dataset_of(model: str, version: int | None) -> Document | None:
    """The manifest of the data that a version was trained on; None where there is none any more."""
    from mtl.data.dataset import look_for_manifest
    from mtl.release.layout import read_manifest

    if version is None:
        return None
    store = open_store(load_settings().store)
    try:
        found = look_for_manifest(store, read_manifest(store, model, version).facts.fingerprint)
    except NotFoundError:
        return None
    return found.to_dict() if found else None
