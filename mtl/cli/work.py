"""What `prepare`, `train`, `evaluate` and `retrain` do, and how their results read."""

from __future__ import annotations

import logging
import shlex
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from mtl.cli.embedding import prefect_server
from mtl.cli.requests import command_line
from mtl.cli.terminal import progress_bars, stoppable
from mtl.config.retrain import load_config
from mtl.decision import Decision
from mtl.errors import MtlError, PermanentError, TransientError
from mtl.settings import prefect_settings
from mtl.tasks.table import get_task
from mtl.workspace import open_workspace

Document = dict[str, Any]
_MANY = 0.2  # of the inputs of a task
_UNKNOWN = 0.05  # of the tokens of a task


def prepare(config: Path) -> Document:
    """The manifest of the configuration's data set, and under `refused` its first quarantined row for each reason."""
    from mtl.pipeline.prepare import prepare as prepare_dataset
    from mtl.pipeline.prepare import refused_rows

    loaded, workspace = load_config(config), open_workspace()
    with progress_bars():
        dataset = prepare_dataset(workspace, loaded)
    refused = refused_rows(workspace, dataset.fingerprint) if dataset.manifest.quarantine else []
    return dataset.to_json() | {"refused": [asdict(row) for row in refused]}


def explain(fingerprint: str) -> Document:
    """A data set in words, under `text`."""
    from mtl.pipeline.prepare import explain as explain_dataset

    return {"text": explain_dataset(open_workspace(), fingerprint)}


def explain_text(explained: Document) -> str:
    """The words."""
    return str(explained["text"])


def train(config: Path, dataset: str | None, resume: str | None = None) -> Document:
    """The result of the training run; `resume` names the run that it must go on from."""
    from mtl.pipeline.prepare import prepare as prepare_dataset
    from mtl.pipeline.train import train as train_model
    from mtl.pipeline.warm_start import choose_start

    loaded, workspace = load_config(config), open_workspace()
    with progress_bars():
        fingerprint = dataset or prepare_dataset(workspace, loaded).fingerprint
        start = choose_start(workspace, loaded, fingerprint)
        trained = train_model(workspace, loaded, fingerprint, start=start, resume=resume)
    return {**trained.to_json(), "start": start.to_json()}


def evaluate(config: Path, model: str, against: str | None) -> Document:
    """The report of `model` beside its base and, if given, `against`."""
    from mtl.pipeline.evaluate import measure
    from mtl.pipeline.prepare import prepare as prepare_dataset
    from mtl.pipeline.traffic import traffic_sample
    from mtl.release.refs import resolve_ref

    loaded, workspace = load_config(config), open_workspace()
    name = loaded.register_.model
    refs = {"candidate": model} | ({"champion": against} if against else {})
    with progress_bars():
        versions = workspace.registry(name)
        folders = {
            side: resolve_ref(ref, store=workspace.store, model=name, cache=workspace.cache, versions=versions).folder
            for side, ref in refs.items()
        }
        dataset = prepare_dataset(workspace, loaded).fingerprint
        traffic = traffic_sample(workspace, loaded, dataset, folders["candidate"], now=datetime.now(UTC))
        report = measure(workspace, loaded, dataset, folders, traffic=traffic)
    return report.to_json() | {"refs": refs}


def retrain(config: Path) -> Document:
    """The whole chain as the Prefect flow, in this process: embedded, or on the server of PREFECT_API_URL."""
    loaded = load_config(config)
    import httpx

    with progress_bars(), stoppable(), prefect_server():
        from prefect.exceptions import ObjectNotFound

        from flows.retrain import retrain as flow

        for handler in logging.getLogger().handlers:  # Prefect's console
            handler.addFilter(_worth_showing)
        try:
            return flow(loaded)
        except httpx.TransportError as error:
            embedded = prefect_settings().embedded
            again = "run the same command again"
            again += "" if embedded else " when the server is up, or unset PREFECT_API_URL"
            raise TransientError(
                f"Prefect's server stopped answering in mid-run: {error}",
                field="MTL_HOME" if embedded else "PREFECT_API_URL",
                hint=f"finished work is kept: {again}",
            ) from None
        except ObjectNotFound as error:
            raise _deleted(error) from None


def _deleted(error: BaseException) -> MtlError:
    """What a step said of the run that was deleted, of which the engine could not record the end."""
    item: BaseException | None = error
    while item is not None and not isinstance(item, MtlError):
        item = item.__cause__ or item.__context__
    hint = "run the same command again: it resumes from the last checkpoint"
    return item or PermanentError("this run was deleted in Prefect", field="PREFECT_API_URL", hint=hint)


def _worth_showing(record: logging.LogRecord) -> bool:
    """Not the errors of a run: they end the command, which says them once and without a traceback."""
    return record.levelno < logging.ERROR or not record.name.startswith(("prefect.flow_runs", "prefect.task_runs"))


def prepare_text(manifest: Document, *, config: Path) -> str:
    """Counts of each task and split, a line each, and what a person may not expect."""
    from mtl.pipeline.prepare import note_lines
    from mtl.pipeline.records import SourceNote

    lines = [f"data set {manifest['fingerprint']}"]
    for task, splits in manifest["counts"].items():
        for split, counts in splits.items():
            by = ", ".join(f"{label} {number}" for label, number in counts["by_difficulty"].items())
            more = f" ({by})" if by else ""
            people = counts["feedback"]
            more += f", {people} row{'s' * (people != 1)} from people" if people else ""
            lines.append(
                f"  {task:<10} {split:<11} {counts['rows']:>7} rows: {counts['kept']} kept, {counts['merged']} merged, "
                f"{counts['quarantined']} quarantined -> {counts['examples']} examples{more}"
            )
    lines += [
        f"warning: {task} has no validation examples, which a retrain needs; to use a tenth of train for them, set\n"
        "  data: {holdout: {validation: 0.1}}"
        for task, splits in manifest["counts"].items()
        if not splits.get("validation", {}).get("examples")
    ]
    lines += [f"WARNING: {item['text']}\n  {item['do']}" for item in manifest["unpromotable"]]
    lines += [
        f"note: {share:.0%} of the inputs of {task} are longer than data.max_input_tokens and are truncated"
        for task, share in manifest["truncated"].items()
        if share > _MANY
    ]
    lines += [
        f"note: {share:.0%} of the tokens of {task} are <unk>: the vocabulary of the base lacks these characters"
        for task, share in manifest["unknown"].items()
        if share > _UNKNOWN
    ]
    if manifest["quarantine"]:
        reasons = sorted(manifest["quarantine"].items(), key=lambda item: -item[1])
        lines.append("  quarantined: " + ", ".join(f"{reason} {number}" for reason, number in reasons))
        lines += [f"    {_refused(row)}" for row in manifest.get("refused", ())]
        lines.append(f"  with examples: mtl prepare --explain {manifest['fingerprint'][:12]}")
    lines += [f"note: {line}" for line in note_lines(SourceNote(**note) for note in manifest["notes"])]
    named = shlex.quote(str(config))
    return "\n".join([*lines, f"next: mtl retrain -c {named}, or mtl deploy --config {named}"])


def _refused(row: Document) -> str:
    from mtl.data.quarantine import Refused

    return str(Refused(**row))


def _start_lines(result: Document) -> list[str]:
    """What the training started from, and why, where the configuration asks for more than a new adapter."""
    from mtl.pipeline.records import FULL, Start
    from mtl.training.parent import parse_parent

    start = Start(parse_parent(result["start"]["parent"], "parent"), result["start"]["reason"])
    return [str(start)] if start != FULL else []


def train_text(result: Document) -> str:
    """Identity, steps, losses, adapter."""
    resumed = f", resumed from step {result['resumed_from']}" if result["resumed_from"] else ""
    losses = ", ".join(f"{task} {loss:.3f}" for task, loss in result["loss"].items())
    lines = [f"run {result['identity']}"]
    lines += [f"  {line}" for line in _start_lines(result)]
    lines += [
        f"  {result['steps']} of {result['max_steps']} steps{resumed}; last loss {losses}",
        f"  adapter sha256 {result['adapter_sha256']}",
        "next: mtl retrain -c CONF, which evaluates it, registers it and applies the gate",
    ]
    return "\n".join(lines)


def evaluate_text(report: Document) -> str:
    """The means, a line a task and metric, a column a model."""
    from mtl.evaluation.markdown import report_markdown
    from mtl.evaluation.report import EvalReport
    from mtl.tasks.table import TASKS

    return report_markdown(EvalReport.from_json(report), tasks=TASKS)


def retrain_text(result: Document) -> str:
    """What came out: version, decision and reasons, and the next command."""
    decision = Decision.from_json(result["decision"])
    words = decision.headline
    lines = ["nothing has changed since this version was trained and evaluated:"] if result["unchanged"] else []
    lines.append(f"version {result['version']}: {words[0].lower()}{words[1:]}")
    lines += [f"  - {reason}" for reason in decision.reasons]
    lines += [f"  {line}" for line in _start_lines(result)]
    champion = f"champion v{result['champion']}" if result["champion"] else "no champion yet"
    lines.append(f"  release {result['release']}, {champion}")
    lines += [f"  report {_from_here(Path(result['report']))}"] if result.get("report") else []
    lines += ["", *_means(result["evaluate"]), ""]
    task = get_task([*result["evaluate"]["examples"]][-1])
    return "\n".join(
        [*lines, f"next: mtl generate {command_line(task.name, task.default_request)} FILE, or mtl models"]
    )


def _from_here(path: Path) -> Path:
    """As a person in this folder would write it."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


def _means(report: Document) -> list[str]:
    models = report["models"]
    lines = [f"{'':<26}" + "".join(f"{model:>12}" for model in models)]
    for task in report["examples"]:
        for metric in report[models[-1]][task]:
            cells = (report[model][task].get(metric) for model in models)
            values = "".join(f"{'-' if cell is None else format(cell, '.3f'):>12}" for cell in cells)
            lines.append(f"{task + ' ' + metric:<26}{values}")
    return lines
