"""What a server does with what it answered: it remembers, counts and logs it, and takes feedback about it.

    with open_traffic(workspace, "mtl-flan-t5", traffic_settings()) as traffic:
        app = make_app(models, hooks=traffic.hooks, routers=[traffic.router], collectors=[traffic])

Nothing here waits for the store but the threads that write to it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

from fastapi import APIRouter
from prometheus_client.core import CounterMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from mtl.layout import home_serving
from mtl.server.feedback import feedback_router
from mtl.server.recent import RecentAnswers
from mtl.server.telling import Hooks
from mtl.settings import secrets
from mtl.settings.traffic import TrafficSettings
from mtl.store.base import ObjectStore
from mtl.traffic.background import Every
from mtl.traffic.counting import Counting
from mtl.traffic.records import ServedAnswer
from mtl.traffic.redaction import Redaction
from mtl.traffic.retention import expired, remove
from mtl.traffic.writer import LogState, RequestLog, new_server_name
from mtl.workspace import Workspace

_DAY = 86400.0


@dataclass(frozen=True, eq=False)  # a collector is known by what it is
class Traffic(Collector):
    """log: None if nothing is logged."""

    recent: RecentAnswers
    counting: Counting
    log: RequestLog | None
    router: APIRouter

    @property
    def hooks(self) -> Hooks:
        return Hooks(
            on_answered=self._answered,
            on_scored=self.counting.answered,
            on_refused=partial(self.counting.count, refused=True),
            on_failed=partial(self.counting.count, error=True),
        )

    def _answered(self, answer: ServedAnswer) -> None:
        self.recent.add(answer)
        self.counting.answered(answer)
        if self.log:
            self.log.offer(answer)

    def collect(self) -> Iterable[Metric]:
        """For Prometheus."""
        state = self.log.state() if self.log else LogState(0, 0, 0, 0)
        for name, value, meaning in (
            ("written", state.written, "answers written to the request log"),
            ("dropped", state.dropped, "answers of the sample that the request log dropped"),
            ("lost", state.lost, "answers that killed servers had not written, as found at the start"),
        ):
            yield CounterMetricFamily(f"mtl_serve_log_{name}", meaning, value=value)


@contextmanager
def open_traffic(workspace: Workspace, model: str, settings: TrafficSettings) -> Iterator[Traffic]:
    """Until the block ends, when what is not written yet is written. Errors: InputError for a pattern of the user's."""
    store, server = workspace.store, new_server_name()
    redaction = Redaction(settings.redact, hidden=secrets())
    recent, log = RecentAnswers(), None
    counting = Counting(store, model, server=server)
    if settings.log > 0:
        folder = home_serving(workspace.settings.home)
        log = RequestLog(store, model, redaction, share=settings.log, server=server, folder=folder)
    tidying = Every(_DAY, partial(_tidy, store, model, settings), what="removing old parts of the request log")

    router = feedback_router(store, model, recent=recent, redaction=redaction, on_kept=counting.feedback)
    try:
        yield Traffic(recent, counting, log, router)
    finally:
        tidying.close(0)  # what it leaves, the next server removes
        for part in (log, counting):
            if part:
                part.close()


def _tidy(store: ObjectStore, model: str, settings: TrafficSettings) -> None:
    remove(store, expired(store, days=settings.days, max_bytes=settings.max_bytes, model=model))
