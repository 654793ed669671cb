"""Evaluate: the run's model beside its base and the champion, on examples that none was trained on."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from mtl.chain.common import Document, champion_model, evaluation_prefix, model_folder, task_names
from mtl.config.retrain import RetrainConfig
from mtl.evaluation.report import EvalReport
from mtl.fingerprint import canonical_json
from mtl.settings import load_settings
from mtl.store.open import open_store


def evaluate(config: RetrainConfig, dataset: str, trained: Document) -> Document:
    """Measure the run's model beside its base and the champion: the report, which the store keeps too."""
    from mtl.evaluation.per_example import write_scores

    settings = load_settings()
    store = open_store(settings.store)
    champion, folder = champion_model(config, store, settings)
    folders = {"candidate": model_folder(config, trained)} | ({"champion": folder} if folder else {})
    report = measure(config, dataset, folders)
    document: Document = report.to_json() | {"champion_version": champion}
    prefix = evaluation_prefix(trained["identity"])
    scores = settings.cache / "scores" / f"{trained['identity']}.parquet"
    write_scores(scores, report.scores)
    store.put_file(f"{prefix}/scores.parquet", scores)
    store.put(f"{prefix}/report.json", canonical_json(document))
    return document


def measure(config: RetrainConfig, dataset: str, folders: Mapping[str, Path]) -> EvalReport:
    """The EvalReport of model folders (candidate, champion) on the configuration's held-out split."""
    from mtl.data.dataset import open_dataset
    from mtl.evaluation.run import measure as measure_models
    from mtl.evaluation.score import sample_examples
    from mtl.tasks.table import get_task

    settings = load_settings()
    data = open_dataset(open_store(settings.store), dataset, settings.cache)
    chosen = config.evaluate
    names = task_names(config)
    examples = [example for name in names for example in data.examples(name, chosen.split)]
    return measure_models(
        folders,
        sample_examples(examples, per_task=chosen.max_examples, seed=config.seed),
        tasks={name: get_task(name) for name in names},
        max_new_tokens={name: chosen.max_new_tokens.get(name, config.data.max_target_tokens) for name in names},
        max_input_tokens=config.data.max_input_tokens,
        batch_tokens=chosen.batch_tokens,
        precision=chosen.precision,
        seed=config.seed,
        confidence=config.gate.confidence,
    )


def report_markdown(report: Document, decision: Document | None = None) -> str:
    """The report for people, with the decision on top once there is one."""
    from mtl.evaluation.markdown import report_markdown as render

    measured = EvalReport.from_json(report)
    return (
        render(measured)
        if decision is None
        else render(measured, promoted=decision["promoted"], reasons=decision["reasons"])
    )
