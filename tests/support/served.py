"""`mtl serve champion` as a process of its own, on a store with releases of the tests' tiny model."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from mtl.release.aliases import MemoryAliases
from mtl.release.journal import read_journal
from mtl.release.promote import promote, rollback
from mtl.release.publish import publish
from mtl.serving.generate import load_generator
from mtl.store.base import ObjectStore
from tests.release.toy import MODEL, facts
from tests.support.trained import trained_model

TEXT = "Anna missed the ferry."


class Releases:
    """A store with releases of the tests' tiny model, each of which answers differently; `folder` is what they are
    made of."""

    def __init__(self, folder: Path, store: ObjectStore) -> None:
        self.folder, self.store = folder, store

    def publish(self, version: int) -> None:
        adapter = trained_model(self.folder / f"v{version}", seed=version)
        publish(self.store, adapter, model=MODEL, version=version, facts=facts(f"{version:064}"))

    def promote(self, version: int) -> None:
        expected = read_journal(self.store, MODEL).champion
        aliases = MemoryAliases()
        options: Any = {"reason": "better", "actor": "gate", "aliases": aliases, "forced": True}
        promote(self.store, version, model=MODEL, expected=expected, **options)

    def roll_back(self) -> None:
        rollback(self.store, model=MODEL, reason="worse", actor="anna", aliases=MemoryAliases())

    def answers(self, version: int, texts: Sequence[str]) -> list[str]:
        """What the version answers to summarize each text, one at a time, as `load_generator` has it."""
        generator = load_generator(self.folder / f"v{version}")
        return [generator.generate([text])[0].text for text in texts]

    def answer(self, version: int) -> str:
        return self.answers(version, [TEXT])[0]


@dataclass
class Server:
    """A running `mtl serve`. http: for all threads; making a client takes longer than an answer."""

    process: subprocess.Popen[bytes]
    log: Path
    http: httpx.Client

    def ask(self, text: str = TEXT, **more: Any) -> httpx.Response:
        return self.http.post("/v1/generate", json={"task": "summarize", "text": text, **more})

    def version(self) -> int | None:
        """Of an answer."""
        answer = self.ask()
        assert answer.status_code == 200, answer.text
        return int(answer.json()["version"])

    def health(self) -> dict[str, Any]:
        found: dict[str, Any] = self.http.get("/health").json()
        return found

    def fault(self) -> dict[str, Any] | None:
        found: dict[str, Any] | None = self.health()["fault"]
        return found

    def memory(self) -> int:
        """Resident, in KiB."""
        lines = Path(f"/proc/{self.process.pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS"))

    @contextmanager
    def stopped(self) -> Iterator[None]:
        self.process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self.process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(30)


@contextmanager
def serving(
    home: Path, *options: str, environment: Mapping[str, str] | None = None, ready: int = 200
) -> Iterator[Server]:
    """`mtl serve champion` until the block ends. home: its MTL_HOME, in which the store is unless MTL_STORE says else.

    ready: the status of /health that is waited for.
    """
    port = _free_port()
    command = [sys.executable, "-m", "mtl.cli", "serve", "champion", "--name", MODEL, "--port", str(port), *options]
    own = {"MTL_HOME": str(home), "OMP_NUM_THREADS": "1", **(environment or {})}
    home.mkdir(exist_ok=True)
    log = home / "serve.log"
    with log.open("ab") as out:
        process = subprocess.Popen(command, env={**os.environ, **own}, stdout=out, stderr=out)
    client = httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=120, trust_env=False)
    server = Server(process, log, client)
    try:
        until(lambda: _answers(server, ready), seconds=200)
        yield server
    finally:
        process.terminate()
        process.wait(60)
        client.close()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _answers(server: Server, status: int) -> bool:
    assert server.process.poll() is None, server.log.read_text()
    try:
        return server.http.get("/health").status_code == status
    except httpx.TransportError:
        return False


def until(holds: Callable[[], Any], *, seconds: float) -> float:
    """Wait until it holds; the seconds that took."""
    begun = time.monotonic()
    while not holds():
        assert time.monotonic() - begun < seconds, f"not within {seconds} s"
        time.sleep(0.1)
    return time.monotonic() - begun
