"""Drift: are new rows and logged requests still like the data that the champion was trained on?

Examples stand in the order of the hashes of their passages, so that the first ones of a data set are a sample of it.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from mtl import layout
from mtl.config.retrain import RetrainConfig
from mtl.data.dataset import Dataset, open_dataset
from mtl.data.kept_tokenizer import kept_encoder
from mtl.data.pieces import Pieces
from mtl.data.selection import passage_of
from mtl.data.tokens import length
from mtl.document import parse_json
from mtl.errors import PermanentError
from mtl.evaluation.drift.compare import FEWEST_TEXTS, compare_task, corrected, drifted, task_mix
from mtl.evaluation.drift.page import drift_page
from mtl.evaluation.drift.records import (
    ALL_ROWS,
    NEW_ROWS,
    REQUESTS,
    Alarm,
    Bars,
    Comparison,
    DriftReport,
    TaskDrift,
    Text,
)
from mtl.example import Example
from mtl.pipeline.models import task_names
from mtl.pipeline.monitor import champion_data
from mtl.pipeline.prepare import tokenizer_of
from mtl.seal import seal
from mtl.store.files import written_aside
from mtl.task import BadRequest
from mtl.tasks.table import get_task
from mtl.tasks.text import passage_key
from mtl.traffic.store import read_answers
from mtl.workspace import Workspace

_log = logging.getLogger(__name__)
_KEY = 16
"""Digits of a passage's hash by which examples name it."""


@dataclass(frozen=True, slots=True)
class _Texts:
    """Those of one task: all passages, and a sample of the texts."""

    keys: frozenset[str]
    sample: Sequence[Text]


def check_drift(workspace: Workspace, config: RetrainConfig, dataset: str, *, now: datetime) -> DriftReport | None:
    """Compare a data set's new rows and the logged requests of the last days with the champion's training data.

    The report and its page are kept in the store, one a day, and the page on this machine.
    None: there is no champion, its data are gone, or `watch.drift` is off.
    """
    champion = champion_data(workspace, config.register_.model)
    if champion is None or not config.watch.drift:
        return None
    version, since = champion
    comparing = _Comparing(workspace, config, since)
    found = comparing.comparisons(dataset, now)
    bars = Bars(config.watch.drift_auc, config.watch.drift_p)
    report = DriftReport(
        model=config.register_.model,
        version=version,
        at=now.astimezone(UTC).isoformat(timespec="seconds"),
        dataset=dataset,
        since=since,
        days=config.watch.drift_days,
        bars=bars,
        comparisons=corrected(found),
        fault=comparing.fault,
    )
    alarms = [_alarm(report, its, task, now) for its in found for task in its.tasks if drifted(task.domain, bars)]
    return _keep(workspace, replace(report, alarms=tuple(alarms)), now) if found or report.fault else report


class _Comparing:
    """What all comparisons with one data set share. fault: see `DriftReport`, once they are made."""

    def __init__(self, workspace: Workspace, config: RetrainConfig, since: str) -> None:
        self._workspace, self._config, self._since, self.fault = workspace, config, since, ""
        tokenizer = tokenizer_of(config)
        self._encoder = kept_encoder(tokenizer, tokenizer.stamp(), Pieces(workspace.cache / "pieces"))
        # Texts on both sides are left to one of them, so that twice as many are read as are compared.
        self._most, self._tasks = 2 * config.watch.drift_texts, task_names(config)
        then = open_dataset(workspace.store, since, workspace.cache)
        self._then = {task: self._read(then, task) for task in self._tasks}

    def comparisons(self, dataset: str, now: datetime) -> list[Comparison]:
        found = [*self._rows(dataset)] if dataset != self._since else []
        try:
            requests = self._requests(now - timedelta(days=self._config.watch.drift_days), now)
        except PermanentError as error:  # who prepares data need not be allowed to read what people sent
            model = self._config.register_.model
            _log.warning("the request log of %s cannot be read, and is not compared: %s", model, error.message)
            requests, self.fault = {}, error.message
        counts = {task: len(its.keys) for task, its in requests.items()}
        return [*found, self._compare(REQUESTS, requests, counts)] if any(counts.values()) else found

    def _rows(self, dataset: str) -> Iterator[Comparison]:
        """The new rows of each task that has enough of them, and all rows of each other task that changed."""
        today = open_dataset(self._workspace.store, dataset, self._workspace.cache)
        new, few = dict[str, _Texts](), dict[str, _Texts]()
        counts = dict[str, int](), dict[str, int]()
        for task in self._tasks:
            known = self._then[task].keys
            found = self._read(today, task, but=known)
            counts[0][task], counts[1][task] = len(found.keys - known), len(found.keys)
            if counts[0][task] >= FEWEST_TEXTS:
                new[task] = found
            elif found.keys != known:
                few[task] = self._read(today, task)
        for what, texts, its in ((NEW_ROWS, new, counts[0]), (ALL_ROWS, few, counts[1])):
            if texts:
                yield self._compare(what, texts, its)

    def _compare(self, what: str, fresh: Mapping[str, _Texts], counts: Mapping[str, int]) -> Comparison:
        """counts: texts of each task, for the mix."""
        most, seed = self._config.watch.drift_texts, self._config.seed
        tasks = []
        for task, its in fresh.items():
            kind = get_task(task).groups.kind
            tasks.append(compare_task(task, self._then[task].sample, its.sample, most=most, seed=seed, kind=kind))
        return Comparison(what, tuple(tasks), task_mix({task: len(self._then[task].keys) for task in counts}, counts))

    def _read(self, data: Dataset, task: str, *, but: frozenset[str] = frozenset()) -> _Texts:
        """All passages of a task, and the first texts of those that are not in `but`. Other texts are not read."""
        keys, sample = set[str](), list[Text]()
        for shard in data.shards(task, "train") if data.manifest.sizes("train").get(task) else ():
            rows = data.read(shard, ["uid", "meta"]).to_pylist()
            picked = dict[int, str]()
            for place, row in enumerate(rows):
                key = passage_of(parse_json(row["meta"].encode(), shard.path), row["uid"])
                if key not in keys and key not in but and len(sample) + len(picked) < self._most:
                    picked[place] = key
                keys.add(key)
            if picked:
                inputs = data.read(shard, ["inputs"]).column("inputs").take(list(picked)).to_pylist()
                sample += map(lambda text, key: self._text(task, text, key), inputs, picked.values())
        return _Texts(frozenset(keys), sample)

    def _requests(self, since: datetime, until: datetime) -> dict[str, _Texts]:
        """The texts that were asked about, each once, by rising hash."""
        keys: dict[str, set[str]] = {task: set() for task in self._tasks}
        first: dict[str, dict[str, str]] = {task: {} for task in self._tasks}
        for answer in read_answers(self._workspace.store, self._config.register_.model, since=since, until=until):
            if answer.task not in keys:
                continue
            with suppress(BadRequest):  # another version of the task took it
                task = get_task(answer.task)
                inputs = task.prompt(answer.text, answer.request)
                key = passage_key(task.text_in(inputs))[:_KEY]
                keys[task.name].add(key)
                first[task.name].setdefault(key, inputs)
                if len(first[task.name]) > 4 * self._most:
                    first[task.name] = dict(self._first(first[task.name]))
        return {
            task: _Texts(frozenset(its), [self._text(task, text, key) for key, text in self._first(first[task])])
            for task, its in keys.items()
        }

    def _first(self, inputs: Mapping[str, str]) -> list[tuple[str, str]]:
        return sorted(inputs.items())[: self._most]

    def _text(self, task: str, inputs: str, key: str) -> Text:
        its = get_task(task)
        text = its.text_in(inputs)
        ids = self._encoder.pack([text])
        asked = its.requested(Example(inputs, "", task, key))
        total = sum(asked.values())
        return Text(
            key,
            text,
            tokens=length(ids[0]),
            unknown=float(self._encoder.unknown(ids)[0]) / max(1, length(ids[0])),
            labels={label: number / total for label, number in asked.items()},
        )


def _alarm(report: DriftReport, comparison: Comparison, task: TaskDrift, now: datetime) -> Alarm:
    """Not of the data set of today: with feedback among its sources it is another one with every opinion."""
    what, domain = comparison.what, task.domain
    assert domain is not None, "it alarmed"
    week = now.astimezone(UTC).isocalendar()
    text = (
        f"{task.task}: the {what} differ from the data that v{report.version} was trained on. A classifier tells "
        f"{task.fresh} texts from {task.reference} of these with an area under the ROC curve of {domain.auc:.2f} "
        f"(alarm above {report.bars.auc:g}), p {domain.p:.3f}."
    )
    return Alarm(what, task.task, text, f"{report.since} {week.year}-W{week.week:02}")


def _keep(workspace: Workspace, report: DriftReport, now: datetime) -> DriftReport:
    """The report and its page in the store, and the page on this machine; the report is written last."""
    prefix = layout.drift_prefix(report.model, f"{now.astimezone(UTC):%Y-%m-%d}")
    report = replace(report, page=f"{prefix}/page.html")
    page = drift_page(report).encode()
    workspace.store.put(report.page, page)
    workspace.store.put(f"{prefix}/report.json", seal(report.to_json()))
    path = layout.home_drift(workspace.settings.home, report.model)
    path.parent.mkdir(parents=True, exist_ok=True)
    with written_aside(path) as out:
        out.write(page)
    return report
