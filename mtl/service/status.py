"""status: one place to look. Each part that cannot be had says so and leaves the others alone."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from mtl import layout
from mtl.errors import MtlError
from mtl.redact import clean
from mtl.release.journal import read_journal
from mtl.release.layout import published_versions
from mtl.service.runs import Runs, embedded_runs, served_runs
from mtl.service.served import served_lately, server_state, server_warnings
from mtl.settings import PrefectSettings, Settings
from mtl.settings.service import serve_url
from mtl.stack.environment import client_environment
from mtl.stack.state import open_stack
from mtl.store.open import open_store
from mtl.store.searched import searched

Document = dict[str, Any]
_PATIENCE = 3.0  # seconds for any one server
_QUIET = 600  # seconds: a run that is alive writes more often
_LITTLE_DISK = 10e9
_BAD = ("Failed", "Crashed", "TimedOut")  # what a person cancelled needs nobody
_ENDS_AFTER = timedelta(days=1)
_METRICS_OLD = 7 * 86400  # seconds: a run that nobody tried again for so long was given up


def status(settings: Settings, prefect: PrefectSettings, model: str) -> Document:
    """The document of `mtl status --json`, in a few seconds at most, whatever answers.

    services: name -> "ok" or what is wrong. champion, runs and served are None where nobody could be asked, server too
    where MTL_SERVE_URL names none. stack: up, down,
    unused (it runs, and this shell does not lead to it), or None where MTL_HOME has none or another server is used.
    """
    with ThreadPoolExecutor(max_workers=6) as pool:
        stack = pool.submit(stack_state, settings, prefect)
        asked = {
            "store": pool.submit(_try, lambda: _champion(settings, model)),
            "prefect": pool.submit(_try, lambda: _runs(prefect)),
            "mlflow": pool.submit(_try, lambda: _mlflow(settings.tracking_uri)),
        }
        served = pool.submit(_try, lambda: served_lately(open_store(settings.store, patience=_PATIENCE), model))
        if url := serve_url():
            asked["server"] = pool.submit(_try, lambda: server_state(url, timeout=_PATIENCE))
        answers = {name: future.result() for name, future in asked.items()}
    runs: Runs | None = answers["prefect"][0]
    document = {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "model": model,
        "stack": stack.result(),
        "champion": answers["store"][0],
        "server": answers["server"][0] if url else None,
        "served": served.result()[0],
        "runs": None if runs is None else runs.last,
        "next": None if runs is None else runs.next,
        "schedules": None if runs is None else runs.schedules,
        "faults": None if runs is None else runs.faults,
        "queue": None if runs is None else runs.queue,
        "pools": None if runs is None else runs.pools,
        "disk": _disk(settings.home),
        "services": {name: error or "ok" for name, (_, error) in answers.items()},
        "addresses": {"store": settings.store, "mlflow": settings.tracking_uri, "prefect": prefect.url or "embedded"},
    }
    document["addresses"] |= {"server": url} if url else {}
    document["addresses"] = {name: clean(value) for name, value in document["addresses"].items()}
    return document | {"warnings": _warnings(document, served=prefect.url is not None)}


def stack_state(settings: Settings, prefect: PrefectSettings) -> str | None:
    """How the stack of MTL_HOME is, see `status`."""
    try:
        stack = open_stack(settings.home)
    except MtlError:
        return None
    if prefect.url not in (None, client_environment(stack)["PREFECT_API_URL"]):
        return None
    from mtl.stack import supervisor  # psutil; where there is no stack, nobody waits for it

    if not supervisor.processes(stack):
        return "down"
    return "up" if prefect.url else "unused"


def _try(ask: Callable[[], Any]) -> tuple[Any, str | None]:
    """(answer, None), or (None, what is wrong)."""
    try:
        return ask(), None
    except MtlError as error:
        return None, clean(f"{error.message}; {error.hint}" if error.hint else error.message)
    except (OSError, ValueError, KeyError, TypeError) as error:
        return None, clean(f"{type(error).__name__}: {error}")


def _champion(settings: Settings, model: str) -> Document:
    store = open_store(settings.store, patience=_PATIENCE)
    journal = read_journal(store, model)
    newest = max(published_versions(store, model), default=None)
    head = journal.head
    if head is None:
        return {"version": None, "newest": newest, "rolled_back": False, "searched": searched(store)}
    return {
        "version": head.version,
        "newest": newest,
        "rolled_back": newest is not None and journal.given_up(newest) is not None,
        "previous": head.previous,
        "since": head.at,
        "by": head.actor,
        "kind": head.kind,
        "reason": head.reason,
        "changes": journal.seq,
    }


def _runs(prefect: PrefectSettings) -> Runs:
    if prefect.url is None:
        return embedded_runs(prefect.home)
    from mtl.service.prefect_api import PrefectApi

    with PrefectApi(prefect, timeout=_PATIENCE) as api:
        return served_runs(api)


def _mlflow(uri: str) -> None:
    if uri.startswith(("http://", "https://")):
        from mtl.service.mlflow_api import check_mlflow

        check_mlflow(uri.rstrip("/"), timeout=_PATIENCE)


def _disk(home: Path) -> Document:
    """Bytes where state is kept, and how many are metrics that MLflow did not take and nobody writes any more.

    Those of a run that nobody tried again for a week do not count: it was given up.
    """
    folder = next(place for place in (home, *home.parents) if place.is_dir())
    usage = shutil.disk_usage(folder)
    files = [file.stat() for file in layout.home_metrics(home).glob("*.jsonl")]
    waiting = sum(file.st_size for file in files if _QUIET < time.time() - file.st_mtime < _METRICS_OLD)
    return {"path": str(home), "free": usage.free, "total": usage.total, "metrics_waiting": waiting}


def _warnings(found: Document, *, served: bool) -> list[str]:
    """What a person should look at, most urgent first."""
    if found["stack"] in _STACK:
        return [_STACK[found["stack"]], *_disk_warnings(found["disk"])]
    lines = [f"{name}: {state}" for name, state in found["services"].items() if state != "ok"]
    lines += found["faults"] or []
    lines += run_warnings(found)
    champion = found["champion"]
    lines += server_warnings(found["server"], champion, model=found["model"])
    if champion and champion["version"] is None and champion["newest"]:
        lines.append(f"no version is champion, the newest (v{champion['newest']}) neither: mtl models says why")
    if served and found["pools"] is not None:
        lines += _pool_warnings(found["pools"])
        if not found["schedules"]:
            lines.append("nothing is scheduled: mtl deploy registers the schedules")
    return [*lines, *_disk_warnings(found["disk"])]


_STACK = {
    "down": "the stack is down: mtl stack up starts it, and runs that were interrupted go on",
    "unused": 'the stack runs, but this shell does not lead to it: eval "$(mtl stack env)"',
}
"""State of the stack in which nothing else that can be asked says anything -> what to do first."""


def _disk_warnings(disk: Document) -> list[str]:
    lines = []
    if disk["free"] < _LITTLE_DISK:
        lines.append(f"{disk['free'] / 1e9:.1f} GB of disk left: mtl checkpoints prune --yes")
    if disk["metrics_waiting"]:
        lines.append("metrics of an unfinished run wait to be sent to MLflow: the next try of that run sends them")
    return lines


def run_warnings(found: Document) -> list[str]:
    """The newest run of each deployment, if it went wrong: until the next one, or a day where none is planned."""
    lines = []
    queue, planned = found["queue"] or {}, {item["deployment"] for item in found["next"] or []}
    newest: dict[str, Document] = {}
    for run in found["runs"] or []:
        newest.setdefault(run["flow"], run)
    for flow, run in newest.items():
        if run["state"] in _BAD and (flow in planned or _is_recent(run)):
            reason = f": {run['message'][:200]}" if run["message"] else ""
            lines.append(f"the last run of {flow} ({run['name']}) is {run['state']}{reason}")
    if queue.get("late"):
        lines.append(f"{queue['late']} runs are late: is a worker online, and has it room?")
    if queue.get("paused"):
        lines.append(f"{queue['paused']} runs wait for a person: open them in the Prefect UI")
    return lines


def _is_recent(run: Document) -> bool:
    """Whether a run ended within a day; one of which nobody knows counts."""
    if not run["started"]:
        return True
    ended = datetime.fromisoformat(run["started"]) + timedelta(seconds=run["seconds"] or 0.0)
    return datetime.now(UTC) - ended < _ENDS_AFTER


def _pool_warnings(pools: list[Document]) -> list[str]:
    if not pools:
        return ["there is no work pool: mtl deploy makes one"]
    paused = [
        f"work pool {pool['name']} is paused: prefect work-pool resume {pool['name']}"
        for pool in pools
        if pool["paused"]
    ]
    idle = [
        f"work pool {pool['name']} has no worker online: mtl stack up, or prefect worker start --pool {pool['name']}"
        for pool in pools
        if not pool["paused"] and not pool["workers"]
    ]
    return [*paused, *idle]
