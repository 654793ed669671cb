"""The logged texts that judge a run: drawn from the request log when it is first evaluated, and then kept.

So a step that is tried again, a flow that goes on after a crash and a report that was kept are about the same texts.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from mtl import layout
from mtl.config.retrain import RetrainConfig
from mtl.data.dataset import open_dataset
from mtl.document import check_record
from mtl.errors import DamageError, NotFoundError, PermanentError
from mtl.example import Example
from mtl.fingerprint import sha256_json
from mtl.pipeline.models import task_names
from mtl.seal import seal, unseal
from mtl.store.base import ObjectStore
from mtl.task import Task
from mtl.tasks.table import get_task
from mtl.traffic.sample import LeftOut, TrafficSample, draw_sample, examples_of
from mtl.traffic.store import read_answers
from mtl.workspace import Workspace

_log = logging.getLogger(__name__)


def traffic_sample(
    workspace: Workspace, config: RetrainConfig, dataset: str, folder: Path, *, now: datetime
) -> TrafficSample | None:
    """A sample of the texts logged in the days before `now`; None where the evaluation takes none.

    folder: a trained model, whose tokenizer tells how long a text is. A log that cannot be read is no reason to fail a
    retrain: the sample says why it is empty. Errors: TransientError of the store.
    """
    per_task, until = config.evaluate.traffic_examples, now.astimezone(UTC).replace(microsecond=0)
    if not per_task:
        return None
    since, damaged = until - timedelta(days=config.evaluate.traffic_days), list[str]()
    known, fits = _known(workspace, config, dataset), _fits(folder, config.data.max_input_tokens)
    model = config.register_.model
    try:
        sample = draw_sample(
            read_answers(workspace.store, model, since=since, until=until, on_damage=damaged.append),
            tasks=_tasks(config),
            per_task=per_task,
            seed=config.seed,
            since=since,
            until=until,
            known=known,
            fits=fits,
        )
    except PermanentError as error:
        _log.warning("the request log of %s cannot be read, and nothing is judged on it: %s", model, error.message)
        return TrafficSample(since.isoformat(), until.isoformat(), fault=error.message)
    return replace(sample, damaged=len(damaged))


def kept_sample(
    store: ObjectStore, config: RetrainConfig, identity: str, draw: Callable[[], TrafficSample | None]
) -> TrafficSample | None:
    """The sample that judges a run: the one that is written down for it or, the first time, a new one."""
    if not config.evaluate.traffic_examples:
        return None
    asked = [config.register_.model, config.evaluate.traffic_days, config.evaluate.traffic_examples]
    key = layout.traffic_sample_key(identity, sha256_json(asked)[:16])
    rotten = False
    try:
        return _read(store, key)
    except NotFoundError:
        pass
    except DamageError as error:
        _log.warning("%s; %s", error.message, error.hint)
        rotten = True
    ours = draw()
    if ours is None or ours.fault:
        return ours
    document = seal(ours.to_dict())
    if rotten:
        store.put(key, document)
    else:
        store.put_if_absent(key, document)
    return _read(store, key)


def traffic_examples(workspace: Workspace, config: RetrainConfig, sample: TrafficSample) -> list[Example]:
    """The texts of a sample, as far as the log still has them."""
    if not sample.ids:
        return []
    since, until = map(datetime.fromisoformat, (sample.since, sample.until))
    answers = read_answers(workspace.store, config.register_.model, since=since, until=until)
    try:
        return examples_of(answers, sample, _tasks(config))
    except PermanentError as error:
        _log.warning("the logged texts that judge the version cannot be read any more: %s", error.message)
        return []


def _read(store: ObjectStore, key: str) -> TrafficSample:
    return check_record(TrafficSample, unseal(store.get(key), key, hint="other logged texts judge it"), key)


def _tasks(config: RetrainConfig) -> Mapping[str, Task]:
    return {name: get_task(name) for name in task_names(config)}


def _known(workspace: Workspace, config: RetrainConfig, dataset: str) -> dict[str, LeftOut]:
    """The passages of a data set. The candidate has learned some of them, and is judged on the others already."""
    data, found = open_dataset(workspace.store, dataset, workspace.cache), dict[str, LeftOut]()
    for task in task_names(config):
        for split, counts in data.manifest.counts[task].items():
            keys = data.passages(task, split) if counts.examples else []
            found |= dict.fromkeys(keys, LeftOut.TRAINED if split == "train" else LeftOut.HELD_OUT)
    return found


def _fits(folder: Path, most: int) -> Callable[[str], bool]:
    """Whether a model reads inputs to their end."""
    from mtl.model.tokenizer import load_tokenizer  # transformers takes seconds to import

    tokenizer = load_tokenizer(folder, [])
    return lambda inputs: len(tokenizer(inputs)["input_ids"]) <= most
