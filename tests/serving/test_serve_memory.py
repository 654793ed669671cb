"""`mtl serve` as a process of its own: what callers send does not decide how much memory it takes."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from tests.support.trained import trained_model

MIB = 2**20
KIND = {"content-type": "application/json"}


@dataclass
class Server:
    """A running `mtl serve`."""

    url: str
    process: subprocess.Popen[bytes]

    def peak(self) -> int:
        """Most memory that it has ever had, in MiB."""
        lines = Path(f"/proc/{self.process.pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) // 1024 for line in lines if line.startswith("VmHWM"))

    def post(self, content: bytes | Iterator[bytes]) -> httpx.Response:
        return httpx.post(f"{self.url}/invocations", content=content, headers=KIND, timeout=120)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder, port = tmp_path_factory.mktemp("serve"), free_port()
    trained_model(folder / "model")
    command = [sys.executable, "-m", "mtl.cli", "serve", str(folder / "model"), "--port", str(port)]
    environment = {**os.environ, "MTL_HOME": str(folder / "home"), "OMP_NUM_THREADS": "1"}
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
    found = Server(f"http://127.0.0.1:{port}", process)
    try:
        wait(found, folder / "log")
        yield found
    finally:
        process.terminate()
        process.wait(30)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait(server: Server, log: Path) -> None:
    deadline = time.monotonic() + 200
    while time.monotonic() < deadline:
        assert server.process.poll() is None, log.read_text()
        try:
            httpx.get(f"{server.url}/ping")
            break
        except httpx.TransportError:
            time.sleep(0.2)
    assert server.post(json.dumps({"inputs": ["a text"]}).encode()).status_code == 200


def chunks(megabytes: int) -> Iterator[bytes]:
    for _ in range(megabytes):
        yield b"x" * MIB


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux's /proc to measure memory")
def test_bodies_that_are_too_large_cost_nothing(server: Server) -> None:
    before = server.peak()
    assert server.post(b"x" * (300 * MIB)).status_code == 413
    assert server.post(chunks(300)).status_code == 413
    assert server.peak() - before < 100
    with ThreadPoolExecutor(16) as pool:
        codes = list(pool.map(lambda _: server.post(chunks(60)).status_code, range(16)))
    assert codes == [413] * 16
    assert server.peak() - before < 200
    assert server.post(json.dumps({"inputs": ["a text"]}).encode()).status_code == 200


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux's /proc to measure memory")
def test_the_worst_bodies_within_the_limit_at_once(server: Server) -> None:
    """Eight callers with eight megabytes of the smallest rows each: not eight times the memory of one."""
    before = server.peak()
    rows = b'{"dataframe_records":[' + b'{"a":0},' * (MIB - 10) + b'{"a":0}]}'
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: server.post(rows), range(8)))
    # 408: while the rows of one body become a table, the interpreter may not get round to reading another in time.
    assert {answer.status_code for answer in answers} <= {400, 408, 503, 504}
    assert server.peak() - before < 1200
