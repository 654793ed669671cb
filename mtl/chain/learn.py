"""Prepare and train: from a configuration to a finished run."""

from __future__ import annotations

import importlib
import logging
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from functools import cache
from threading import Thread
from typing import TYPE_CHECKING, Any

from mtl import progress
from mtl.chain.common import Document, lineage_tags, task_names, tracking
from mtl.chain.foresight import unpromotable
from mtl.config.retrain import RetrainConfig
from mtl.errors import DataError, FencedError
from mtl.settings import Settings, load_settings
from mtl.store.files import disk_errors
from mtl.store.open import open_store

if TYPE_CHECKING:
    from mtl.config.data import SourceConfig
    from mtl.data.runner import Runner
    from mtl.sources.base import Note
    from mtl.tracking.client import Tracking
    from mtl.tracking.recorder import Recorder

_log = logging.getLogger(__name__)


def prepare(config: RetrainConfig, runner: Runner | None = None) -> Document:
    """The manifest of the data set, made unless it exists, and under `notes` what was left out of its sources.

    Under `unpromotable` is what keeps every version from being promoted, see `mtl.chain.foresight`.
    runner: does the work elsewhere than in this process.
    """
    from mtl.chain.reference import last_data
    from mtl.data.prepare import prepare as prepare_dataset
    from mtl.model.base import resolve_base
    from mtl.model.tokenizer import LazyTokenizer
    from mtl.tasks.table import get_task

    settings = load_settings()
    store = open_store(settings.store)
    ref = resolve_base(config.model.base, config.model.revision)
    tokens = tuple(get_task(name).token for name in task_names(config))
    tokenizer = LazyTokenizer(config.model.tokenizer or ref.location, tokens, ref.revision)
    counting, notes = _Counting(), list[Document]()

    def tell_note(source: SourceConfig, note: Note) -> None:
        notes.append({"task": source.task, "uri": source.uri, **asdict(note)})

    try:
        manifest = prepare_dataset(
            config.data,
            seed=config.seed,
            tokenizer=tokenizer,
            store=store,
            cache=settings.cache,
            progress=counting,
            runner=runner,
            reference=last_data(store, model=config.register_.model, configuration=config.name),
            tokenizer_stamp=tokenizer.stamp(),
            tell_note=tell_note,
        ).to_dict()
    except DataError as error:
        left_out = [note for note in notes if not note["usual"]]
        error.hint = "; ".join(filter(None, [error.hint, *note_lines(left_out)]))
        raise
    counting.finish(sum(split["rows"] for splits in manifest["counts"].values() for split in splits.values()))
    return manifest | {"notes": notes, "unpromotable": unpromotable(config, manifest["counts"])}


def find_prepared(config: RetrainConfig) -> Document | None:
    """The manifest of the data set if it was prepared and nothing changed since; found without reading any row."""
    from mtl.data.prepare import find_prepared as find
    from mtl.model.base import resolve_base
    from mtl.model.tokenizer import LazyTokenizer
    from mtl.tasks.table import get_task

    settings = load_settings()
    ref = resolve_base(config.model.base, config.model.revision)
    tokens = tuple(get_task(name).token for name in task_names(config))
    tokenizer = LazyTokenizer(config.model.tokenizer or ref.location, tokens, ref.revision)
    found = find(
        config.data,
        seed=config.seed,
        store=open_store(settings.store),
        cache=settings.cache,
        tokenizer_stamp=tokenizer.stamp(),
    )
    return found.to_dict() if found else None


def note_lines(notes: Iterable[Document]) -> list[str]:
    """The notes of `prepare` for a person: what was left out of each source, and how its splits were told apart."""
    from mtl.sources.base import Note
    from mtl.sources.listing import sentences

    sources: dict[str, list[Note]] = {}
    for note in notes:
        its = sources.setdefault(f"{note['uri']} of {note['task']}", [])
        its.append(Note(note["name"], note["text"], note["usual"]))
    return [f"{source}: {line}" for source, its in sources.items() for line in sentences(its)]


def explain(fingerprint: str) -> str:
    """A summary of a stored data set with real examples; its fingerprint may be shortened."""
    from mtl.data.dataset import open_dataset, resolve_fingerprint
    from mtl.data.explain import explain as explained

    settings = load_settings()
    store = open_store(settings.store)
    return explained(open_dataset(store, resolve_fingerprint(store, fingerprint), settings.cache))


def refused_rows(fingerprint: str) -> list[Document]:
    """The first quarantined row of a stored data set for each reason: reason, field, origin, detail."""
    from mtl.data.dataset import open_dataset

    settings = load_settings()
    data = open_dataset(open_store(settings.store), fingerprint, settings.cache)
    return [asdict(row) for row in data.refused()]


_UNITS = {"read": "rows read", "render": "passages rendered", "put": "files stored"}


class _Counting:
    """Turns what the preparation tells into progress; how much there is to do is known only at the end."""

    def __init__(self) -> None:
        self._done: dict[str, int] = {}

    def __call__(self, stage: str, count: int) -> None:
        self._done[stage] = self._done.get(stage, 0) + count
        progress.report("prepare", self._done.get("read", 0), 0, self._note())

    def finish(self, rows: int) -> None:
        """All `rows` are accounted for."""
        progress.report("prepare", rows, rows, self._note())

    def _note(self) -> str:
        if "found" in self._done:
            return "the data set is there already"
        return ", ".join(f"{number} {_UNITS.get(stage, stage)}" for stage, number in self._done.items() if number)


def train(
    config: RetrainConfig, dataset: str, *, resume: str | None = None, origin: Mapping[str, str] | None = None
) -> Document:
    """Train in a process of its own, resume, or find the run finished; recorded in MLflow as it goes.

    origin: tags of the MLflow run that say who started it and where.
    resume: identity of a run that must be the one gone on from. Errors: MismatchError, naming the fields, if it cannot.
    """
    from mtl.training.launch import launch_training

    settings = load_settings()
    recording = Thread(target=importlib.import_module, args=["mtl.tracking.recorder"])
    recording.start()  # MLflow takes seconds to import; the trainer starts meanwhile

    @cache
    def recorder() -> Recorder:
        recording.join()
        return _recorder(config, settings)

    def on_event(event: Mapping[str, Any]) -> None:
        if event["event"] == "start":
            recorder().check()
            recorder().start(event["identity"], tags={**lineage_tags(event), **(origin or {})})
            progress.report("train", event["step"], event["max_steps"], _start_note(event))
        elif event["event"] == "step":
            recorder().step(event["step"], _metrics(event))
            progress.report("train", event["step"], event["max_steps"], _step_note(event))
        elif event["event"] == "validation":
            losses = event["loss_by_task"]
            recorder().step(event["step"], {f"validation/loss/{task}": loss for task, loss in losses.items()})
            progress.report("validate", event["step"], event["max_steps"], _validation_note(event))
        elif event["event"] == "done":
            recorder().start(event["identity"])  # found finished: what MLflow did not take then is sent now
        elif event["event"] == "log":
            _log.log(event["level"], "%s", event["message"])

    try:
        result = launch_training(config, dataset, settings, on_event, resume=resume)
    except FencedError:  # the run is another's now, here and in MLflow
        raise
    except BaseException:
        recorder().close(status="KILLED")
        raise
    recorder().close(status="FINISHED")
    return result


def _recorder(config: RetrainConfig, settings: Settings) -> Recorder:
    """What is measured goes to MLflow, with the learning curve at the end; that picture stays here too."""
    from mtl.tracking.recorder import Recorder
    from mtl.training.curve import draw_curve

    def log_curve(mlflow: Tracking, run: str) -> None:
        path = settings.home / "curves" / config.name / "learning-curve.png"
        with disk_errors("write", path):
            draw_curve(mlflow.history(run), path, title=f"{config.name}: learning curve")
        mlflow.log_folder(run, path.parent, "curves")

    return Recorder(
        lambda: tracking(settings),
        settings.home / "metrics",
        experiment=config.register_.experiment,
        params=config.model_dump(mode="json", by_alias=True),
        at_end=log_curve,
    )


def _start_note(event: Mapping[str, Any]) -> str:
    share = event["trainable"] / event["parameters"]
    resumed = f", resumed from step {event['resumed_from']}" if event["resumed_from"] else ""
    resumed += "" if event["bit_exact"] else ", NO LONGER BIT-EXACT"
    return (
        f"{event['trainable']:,} trainable parameters ({share:.1%}), {event['precision']} on {event['device']}{resumed}"
    )


def _step_note(event: Mapping[str, Any]) -> str:
    losses = "  ".join(f"{task} {loss:.3f}" for task, loss in event["loss_by_task"].items())
    return f"loss {losses}  {event['tokens_per_second']:,.0f} tok/s  {event['eta']:.0f}s left"


def _validation_note(event: Mapping[str, Any]) -> str:
    losses = "  ".join(f"{task} {loss:.3f}" for task, loss in event["loss_by_task"].items())
    return f"loss {losses}, " + ("the best so far" if event["best"] == event["step"] else f"best at {event['best']}")


def _metrics(event: Mapping[str, Any]) -> dict[str, float]:
    names = ("loss", "learning_rate", "grad_norm", "tokens_per_second")
    losses = {f"train/loss/{task}": loss for task, loss in event["loss_by_task"].items()}
    system = {f"system/{name}": value for name, value in event["system"].items()}
    return {f"train/{name}": event[name] for name in names} | losses | system
