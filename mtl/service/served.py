"""What is served: the server's word on itself, and the counts that all servers wrote to the object store."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from mtl.service.serve_api import serve_health
from mtl.store.base import ObjectStore
from mtl.traffic.store import read_counts

Document = dict[str, Any]
_LAG = timedelta(minutes=1)
"""So long after a promotion a server may answer with the version before it: it looks every few seconds, and loads."""


def server_state(url: str, *, timeout: float) -> Document:
    """`server` of `mtl status --json`. Errors: those of `serve_health`."""
    health = serve_health(url, timeout=timeout)
    return {name: health.get(name) for name in ("model", "version", "seq", "since", "fault", "log")}


def served_lately(store: ObjectStore, model: str) -> Document:
    """`served` of `mtl status --json`: by version, what all servers counted in this hour and the one before it."""
    since = (datetime.now(UTC) - timedelta(hours=1)).replace(minute=0, second=0, microsecond=0)
    found = read_counts(store, model, since=since)
    return {
        "since": since.isoformat(timespec="seconds"),
        "versions": [counts.to_dict() for _, counts in sorted(found.items(), reverse=True)],
    }


def server_warnings(server: Document | None, champion: Document | None, *, model: str) -> Iterator[str]:
    """What a person should look at. champion: `champion` of the document."""
    if server is None or (champion and champion["version"] is None):  # it waits for the first champion
        return
    fault = server["fault"]
    answers = "nothing" if server["version"] is None else f"v{server['version']}"
    if fault:
        of = f" v{fault['version']}" if fault.get("version") else ""
        yield f"the server cannot follow the champion{of}, and answers with {answers}: {fault['message']}"
    if server["model"] != model or not champion or champion["version"] == server["version"]:
        return
    late = datetime.now(UTC) - datetime.fromisoformat(champion["since"])
    if late > _LAG and not fault:
        yield (
            f"the server answers with {answers}, and v{champion['version']} has been champion for "
            f"{late.total_seconds() / 60:.0f} minutes: does it follow the champion (mtl serve champion)? Restart it"
        )
