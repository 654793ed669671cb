"""`mtl serve champion` as a process under load, with faults: a promotion arrives, and whatever goes wrong, it answers.

Seconds of the switches and memory are printed: pytest -s -m slow tests/server/test_follow_processes.py
"""

from __future__ import annotations

import json
import shutil
import sys
import threading
import time
from itertools import count
from pathlib import Path

import httpx
import pytest

from mtl.layout import release_prefix
from mtl.store.folder import FolderStore
from mtl.store.s3 import S3Store, make_client
from tests.release.toy import MODEL
from tests.support import http
from tests.support.proxy import FaultProxy
from tests.support.s3 import moto
from tests.support.served import Releases, Server, serving, until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
TEXTS = [f"Anna missed ferry number {number}." for number in range(20)]
SWAPS = 10
CALLERS = 8
SECONDS = 10.0
"""Within which a promotion answers."""


@pytest.fixture
def releases(tmp_path: Path) -> Releases:
    """v1, v2 and v3, of which v1 is champion."""
    made = Releases(tmp_path, FolderStore(tmp_path / "home" / "store"))
    for version in (1, 2, 3):
        made.publish(version)
    made.promote(1)
    return made


class Callers:
    """Callers at once, each of which asks until the block ends; `answers` is (version, text asked, text answered)."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._ended = threading.Event()
        self._numbers = count()
        self.answers: list[tuple[int, str, str]] = []
        self.failed: list[str] = []

    def __enter__(self) -> Callers:
        self._threads = [threading.Thread(target=self._call) for _ in range(CALLERS)]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join()

    def _call(self) -> None:
        while not self._ended.wait(0.1):
            text = TEXTS[next(self._numbers) % len(TEXTS)]
            try:
                answer = self._server.ask(text)
            except httpx.HTTPError as error:
                self.failed.append(repr(error))
                continue
            if answer.status_code != 200:
                self.failed.append(answer.text)
                continue
            document = answer.json()
            self.answers.append((document["version"], text, document["answers"][0]["text"]))


def test_ten_swaps_under_load(releases: Releases) -> None:
    """No request fails, no answer is of two versions, and the memory stays what it is after the first swap."""
    expected = {version: dict(zip(TEXTS, releases.answers(version, TEXTS), strict=True)) for version in (1, 2)}
    assert all(expected[1][text] != expected[2][text] for text in TEXTS)
    seconds, memory = [], []
    with serving(releases.folder / "home") as server, Callers(server) as callers:
        until(lambda: len(callers.answers) > 20, seconds=200)
        for swap in range(SWAPS):
            version = 1 if swap % 2 else 2
            releases.roll_back() if swap % 2 else releases.promote(version)
            seconds.append(until(lambda wanted=version: server.version() == wanted, seconds=200))  # type: ignore[misc]
            enough = len(callers.answers) + 20
            until(lambda wanted=enough: len(callers.answers) > wanted, seconds=200)  # type: ignore[misc]
            memory.append(server.memory())
        scored = server.http.post("/invocations", json={"inputs": TEXTS[:1]}).json()
        health = server.health()
    sys.stderr.write(json.dumps({"answers": len(callers.answers), "seconds": seconds, "KiB": memory}) + "\n")
    assert callers.failed == []
    assert {version for version, _, _ in callers.answers} == {1, 2}
    assert [answer for answer in callers.answers if expected[answer[0]][answer[1]] != answer[2]] == []
    assert scored["predictions"][0]["text"] == expected[1][TEXTS[0]]
    assert (health["version"], health["seq"], health["fault"]) == (1, 1 + SWAPS, None)
    assert max(memory[1:]) <= 1.05 * memory[0]
    assert max(seconds) < SECONDS


def test_faults_one_after_the_other(releases: Releases) -> None:
    """A flipped bit, a store that is away, SIGKILL: each is reported, and over when its cause is."""
    home = releases.folder / "home"
    adapter = home / "store" / release_prefix(MODEL, 2) / "adapter_model.safetensors"
    intact = adapter.read_bytes()
    with http.serving() as people:
        told = {"MTL_NOTIFY_URL": people.url, "MTL_NOTIFY_SECRET": "a secret of the receiver"}
        with serving(home, environment=told) as server:
            with server.stopped():  # a promotion reads every file, so that damage must come between it and the server
                releases.promote(2)
                adapter.write_bytes(intact[:-1] + bytes([intact[-1] ^ 1]))
            until(server.fault, seconds=60)
            assert server.version() == 1
            assert server.health()["fault"]["version"] == 2
            until(lambda: people.asked, seconds=30)
            assert json.loads(people.asked[0].body)["event"] == "server.failed"
            assert "mtl_serve_fault 1.0" in server.http.get("/metrics").text
            adapter.write_bytes(intact)  # as from a backup
            until(lambda: server.version() == 2, seconds=200)
            assert server.fault() is None

            shutil.move(home / "store", home / "away")
            until(server.fault, seconds=60)
            assert server.version() == 2
            shutil.move(home / "away", home / "store")
            until(lambda: server.fault() is None, seconds=60)

            releases.promote(3)
            server.kill()
        said = server.log.read_text()
        assert said.count("the champion of toy cannot be served") < 8  # at growing intervals
        assert "adapter_model.safetensors" in said
    with serving(home) as server:
        assert server.version() == 3


def test_a_store_that_is_cut_off(tmp_path: Path) -> None:
    """It begins without a champion, gets one, and goes on with it while S3 cannot be reached."""
    with moto() as environment, pytest.MonkeyPatch.context() as patch:
        for name, value in environment.items():
            patch.setenv(name, value)
        host = environment["AWS_ENDPOINT_URL_S3"].removeprefix("http://").partition(":")
        client = make_client()
        client.create_bucket(Bucket="bucket")
        releases = Releases(tmp_path, S3Store("bucket", "prefix", client))
        for version in (1, 2):
            releases.publish(version)
        with FaultProxy(host[0], int(host[2])) as proxy:
            own = {**environment, "AWS_ENDPOINT_URL_S3": proxy.url, "MTL_STORE": "s3://bucket/prefix"}
            with serving(tmp_path / "home", "--wait", environment=own, ready=503) as server:
                answer = server.ask()
                assert (answer.status_code, answer.json()["error"]["kind"]) == (503, "transient")
                assert "toy has no champion yet" in answer.json()["error"]["message"]
                releases.promote(1)
                until(lambda: server.health()["version"] == 1, seconds=60)
                proxy.fail("refuse", times=None)
                proxy.cut_all()
                until(server.fault, seconds=90)
                assert server.version() == 1
                releases.promote(2)
                time.sleep(3)
                assert server.version() == 1
                proxy.heal()
                until(lambda: server.version() == 2, seconds=90)
                assert server.fault() is None


def test_without_following_the_version_stays(releases: Releases) -> None:
    with serving(releases.folder / "home", "--no-follow") as server:
        releases.promote(2)
        time.sleep(6)
        assert server.version() == 1
