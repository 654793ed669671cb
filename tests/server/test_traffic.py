"""What the app does with what it answered, over real HTTP: the log, the counts, feedback, and none of it waited for."""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx

from mtl.server.app import make_app
from mtl.server.traffic import open_traffic
from mtl.settings import load_settings
from mtl.settings.traffic import TrafficSettings
from mtl.store.memory import MemoryStore
from mtl.traffic.records import ServedCounts
from mtl.traffic.store import read_answers, read_counts, read_feedback
from mtl.workspace import Workspace, open_workspace
from tests.server.toy import Writer, served
from tests.support.serving import serving_app
from tests.support.stores import held


def workspace(folder: Path, store: MemoryStore) -> Workspace:
    return open_workspace(load_settings({"MTL_HOME": str(folder)}), store=store)


def ask(url: str, text: str) -> dict[str, Any]:
    answer = httpx.post(f"{url}/v1/generate", json={"task": "summarize", "texts": [text]}, timeout=60).json()
    return dict(answer["answers"][0])


def test_an_answer_is_counted_logged_and_learned_from(tmp_path: Path) -> None:
    store, began = MemoryStore(), datetime.now(UTC)
    with open_traffic(workspace(tmp_path, store), "toy", TrafficSettings(log=1)) as traffic:
        app = make_app(served(Writer()), hooks=traffic.hooks, routers=[traffic.router], collectors=[traffic])
        with serving_app(app) as url:
            answer = ask(url, "the ferry of anna@example.org left")
            ask(url, "")
            assert httpx.post(f"{url}/invocations", json={"inputs": ["the ferry left"]}, timeout=60).is_success
            said = {"id": answer["id"], "verdict": "corrected", "correction": "Anna's ferry left; password=hunter2"}
            assert httpx.post(f"{url}/v1/feedback", json=said).status_code == 201
            assert httpx.post(f"{url}/v1/feedback", json=said).status_code == 200
            unknown = httpx.post(f"{url}/v1/feedback", json=said | {"id": "0" * 32})
            assert (unknown.status_code, unknown.json()["error"]["field"]) == (404, "id")
            other = httpx.post(f"{url}/v1/feedback", json={"id": answer["id"], "verdict": "good"})
            assert (other.status_code, other.json()["error"]["kind"]) == (409, "conflict")
            metrics = httpx.get(f"{url}/metrics").text
            assert "mtl_serve_log_lost_total 0.0" in metrics
            paths = httpx.get(f"{url}/openapi.json").json()["paths"]
            assert set(paths["/v1/feedback"]["post"]["responses"]) >= {"200", "201", "404", "409", "422", "503"}
    (logged,) = read_answers(store, "toy")
    assert (logged.id, logged.text, logged.answer) == (answer["id"], "the ferry of [email] left", "Summary: left")
    (kept,) = read_feedback(store, "toy")
    assert (kept.text, kept.correction) == (logged.text, "Anna's ferry left; password=[secret]")
    counts = read_counts(store, "toy", since=began - timedelta(hours=1))[7]
    assert counts.milliseconds >= logged.milliseconds
    assert replace(counts, milliseconds=0.0) == ServedCounts(7, requests=3, refused=1, bad=1)


def test_nothing_is_logged_unless_it_is_asked_for(tmp_path: Path) -> None:
    store = MemoryStore()
    with open_traffic(workspace(tmp_path, store), "toy", TrafficSettings()) as traffic:
        app = make_app(served(Writer()), hooks=traffic.hooks, routers=[traffic.router])
        with serving_app(app) as url:
            ask(url, "the ferry left")
    assert list(store.list("traffic/toy/requests/")) == []
    assert len(list(store.list("traffic/toy/served/"))) == 1


def test_a_store_that_hangs_holds_up_no_answer(tmp_path: Path) -> None:
    store, healed = MemoryStore(), threading.Event()
    store.before = held(healed)
    with open_traffic(workspace(tmp_path, store), "toy", TrafficSettings(log=1)) as traffic:
        with serving_app(make_app(served(Writer()), hooks=traffic.hooks, routers=[traffic.router])) as url:
            began = time.monotonic()
            answers = [ask(url, f"the ferry {n} left") for n in range(20)]
            assert time.monotonic() - began < 20
            assert all(answer["output"] == "left" for answer in answers)
        healed.set()
    assert len(list(read_answers(store, "toy"))) == 20
