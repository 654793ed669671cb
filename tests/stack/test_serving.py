"""The stack's server: it waits for a champion, asks for the key, follows, and is in `mtl status`."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from mtl.config.register import RegisterConfig
from tests.support.stacks import Service

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
MODEL = RegisterConfig().model
BODY = {"task": "summarize", "text": "The ferry left the harbour at nine in the morning."}


def until(wanted: Callable[[], Any], *, seconds: float = 60) -> Any:
    """What `wanted` gives as soon as it is true."""
    deadline = time.monotonic() + seconds
    while not (found := wanted()):
        assert time.monotonic() < deadline, f"not within {seconds} s"
        time.sleep(0.2)
    return found


def test_it_waits_for_a_champion_follows_it_and_answers_who_has_the_key(service: Service) -> None:
    url, key = service.environment["MTL_SERVE_URL"], service.environment["MTL_SERVE_KEY"]
    if not service.versions(MODEL):
        assert httpx.get(f"{url}/health", timeout=10).json()["version"] is None
        service.wait(service.trigger("retrain/demo", {"config": service.config(MODEL, max_steps=6)}))
    service.mtl("promote", "v1", "--force", "a model of random weights will do")
    until(lambda: httpx.get(f"{url}/health", timeout=10).json()["version"] == 1)
    assert httpx.post(f"{url}/v1/generate", json=BODY, timeout=30).status_code == 401
    login = {"authorization": f"Bearer {key}"}
    answer = httpx.post(f"{url}/v1/generate", json=BODY, headers=login, timeout=60)
    assert (answer.status_code, answer.json()["version"]) == (200, 1)

    status = service.mtl("status")
    assert (status["services"]["server"], status["server"]["version"], status["server"]["fault"]) == ("ok", 1, None)
    assert not [line for line in status["warnings"] if "server" in line]
    found = {its["check"]: its["level"] for its in service.mtl("doctor")["findings"] if its["check"] == "server"}
    assert found == {"server": "ok"}


def test_a_killed_server_comes_back_with_the_champion(service: Service) -> None:
    url = service.environment["MTL_SERVE_URL"]
    service.kill("serve")

    def health() -> Any:
        try:
            return httpx.get(f"{url}/health", timeout=5).json()["version"] == 1
        except httpx.HTTPError:
            return False

    until(health, seconds=120)
