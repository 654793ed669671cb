"""The Prefect server inside a command: whom it answers, what it leaves behind, and how it says why it cannot start."""

from __future__ import annotations

import json
import os
import resource
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from mtl.service.runs import embedded_runs
from tests.support.disks import mounted
from tests.support.paths import ALL

COMMAND = """
import json, os, sys, time
from mtl.cli import private
from mtl.cli.embedding import prefect_server
private.begin()
with prefect_server():
    wanted = ("PREFECT_API_URL", "PREFECT_API_AUTH_STRING")
    print(json.dumps({name: os.environ[name] for name in wanted}), flush=True)
    sys.stdin.read()
"""


def environment(home: Path) -> dict[str, str]:
    plain = {name: value for name, value in os.environ.items() if not name.startswith(("PREFECT_", "MTL_"))}
    return {**plain, "MTL_HOME": str(home), "OMP_NUM_THREADS": "1"}


@dataclass
class Command:
    process: subprocess.Popen[str]
    home: Path
    url: str
    login: str

    @property
    def origin(self) -> str:
        return self.url.removesuffix("/api")

    def ask(self, login: bool = True, **headers: str) -> httpx.Response:
        user, _, password = self.login.partition(":")
        auth = (user, password) if login else None
        return httpx.post(f"{self.url}/flow_runs/count", json={}, auth=auth, headers=headers, timeout=20)

    def children(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children(recursive=True)


@pytest.fixture(scope="module")
def command(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Command]:
    """A command that does nothing but keep its server."""
    home = tmp_path_factory.mktemp("embedding") / ALL
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    process = subprocess.Popen([sys.executable, "-c", COMMAND], env=environment(home), **pipes)  # type: ignore[call-overload]
    assert process.stdout is not None
    said = json.loads(process.stdout.readline())
    yield Command(process, home, said["PREFECT_API_URL"], said["PREFECT_API_AUTH_STRING"])
    process.kill()
    process.wait()


def test_its_state_is_in_its_home_alone_whatever_that_is_called(command: Command) -> None:
    assert (command.home / "prefect" / "prefect.db").is_file()
    assert [found.name for found in command.home.parent.iterdir()] == [ALL]


def test_it_answers_the_login_of_this_run_alone(command: Command) -> None:
    assert command.ask().status_code == 200
    assert command.ask(login=False).status_code == 401
    assert httpx.post(f"{command.url}/flow_runs/count", json={}, auth=("admin", "admin")).status_code == 401
    assert len(command.login.partition(":")[2]) >= 32


def test_its_runs_are_kept_for_status_as_soon_as_their_state_changes(command: Command) -> None:
    """Another shell has neither its address nor its login."""
    user, _, password = command.login.partition(":")
    with httpx.Client(base_url=command.url, auth=(user, password), timeout=20) as client:
        flow = client.post("/flows/", json={"name": "retrain"}).json()["id"]
        made = client.post("/flow_runs/", json={"flow_id": flow, "name": "happy", "state": {"type": "PENDING"}}).json()
        client.post(f"/flow_runs/{made['id']}/set_state", json={"state": {"type": "RUNNING"}, "force": True})
        assert kept(command)[0] == {"flow": "retrain", "name": "happy", "state": "Running", "seconds": None}
        ended = {"type": "FAILED", "name": "Failed", "message": "the disk is full"}
        client.post(f"/flow_runs/{made['id']}/set_state", json={"state": ended, "force": True})
    (run,) = kept(command, state="Failed")
    assert run["seconds"] is not None


def kept(command: Command, state: str = "Running") -> list[dict[str, object]]:
    deadline = time.monotonic() + 20
    last: list[dict[str, object]] = []
    while time.monotonic() < deadline and (not last or last[0]["state"] != state):
        time.sleep(0.05)
        last = embedded_runs(command.home / "prefect").last
    return [{name: run[name] for name in ("flow", "name", "state", "seconds")} for run in last]


def test_a_page_of_another_origin_reads_nothing(command: Command) -> None:
    for origin in ("https://evil.example", "null", "http://localhost:3000"):
        assert "access-control-allow-origin" not in command.ask(origin=origin).headers
        preflight = {"origin": origin, "access-control-request-method": "POST"}
        answer = httpx.options(f"{command.url}/flow_runs/count", headers=preflight)
        assert answer.status_code >= 400
        assert "access-control-allow-origin" not in answer.headers
    assert command.ask(origin=command.origin).headers["access-control-allow-origin"] == command.origin


def test_a_name_that_was_pointed_at_loopback_is_refused(command: Command) -> None:
    assert command.ask(host="evil.example").status_code == 400
    assert command.ask(host="evil.example:80").status_code == 400


def test_events_and_logs_need_the_login_too(command: Command) -> None:
    for path in ("/events/in", "/events/out", "/logs/out"):
        address = f"{command.url.replace('http', 'ws')}{path}"
        with pytest.raises((InvalidStatus, ConnectionClosed)), connect(address) as socket:
            socket.send("{}")
            socket.recv(timeout=10)


def test_what_it_keeps_is_for_its_user_alone(command: Command) -> None:
    assert (command.home / "prefect" / "server.log").is_file()
    for path in (command.home, *command.home.rglob("*")):
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600), path


def test_killed_the_command_leaves_nothing_and_no_pipe_of_its_caller_open(command: Command) -> None:
    (server,) = command.children()
    command.process.kill()
    assert command.process.stdout is not None
    assert command.process.stdout.read() == ""  # waits until nobody holds the pipe any more
    psutil.wait_procs([server], timeout=10)
    assert not server.is_running()


def refused(home: Path, *, limit: int | None = None) -> tuple[dict[str, str], float]:
    """The error of a retrain that cannot start, and its seconds."""

    def limited() -> None:
        if limit is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    started = time.monotonic()
    command = [sys.executable, "-m", "mtl.cli", "retrain", "-c", "conf/demo.yaml", "--json"]
    done = subprocess.run(
        command, env=environment(home), preexec_fn=limited, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr
    return json.loads(done.stdout.splitlines()[-1])["error"], time.monotonic() - started


def test_a_full_disk_is_named_within_seconds(tmp_path: Path) -> None:
    with mounted(tmp_path / "disk", "size=300k") as disk:
        error, seconds = refused(disk / "home")
    assert error["message"] == f"the disk is full: {disk / 'home' / 'prefect'}"
    assert error["hint"].startswith("free space, then run the same command again")
    assert seconds < 30


def test_a_read_only_home_is_named_within_seconds(tmp_path: Path) -> None:
    with mounted(tmp_path / "disk", "size=1m,ro") as disk:
        error, seconds = refused(disk / "home")
    assert error["message"] == f"the file system is read-only: {disk / 'home'}"
    assert seconds < 30


def test_a_small_limit_of_file_sizes_is_named_within_seconds(tmp_path: Path) -> None:
    error, seconds = refused(tmp_path / "home", limit=100 << 10)
    assert error["message"] == f"a file would be larger than this process may write: {tmp_path / 'home' / 'prefect'}"
    assert "ulimit -f unlimited" in error["hint"]
    assert seconds < 30


@pytest.mark.slow
def test_a_server_that_dies_while_it_makes_its_tables_says_why(tmp_path: Path) -> None:
    """Enough for the trial, too little for Prefect's database."""
    with mounted(tmp_path / "disk", "size=1100k") as disk:
        error, _ = refused(disk / "home")
    assert "the disk is full" in error["message"]
    error, _ = refused(tmp_path / "home", limit=1 << 20)
    assert "a file would be larger than this process may write" in error["message"]


@pytest.mark.slow
def test_two_first_servers_of_a_home_make_its_tables_one_after_the_other_even_if_one_is_killed(tmp_path: Path) -> None:
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    start = [sys.executable, "-c", COMMAND]
    all_of_them = [subprocess.Popen(start, env=environment(tmp_path), **pipes) for _ in range(3)]  # type: ignore[call-overload]
    database = tmp_path / "prefect" / "prefect.db"
    deadline = time.monotonic() + 120
    while not database.exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    all_of_them[0].send_signal(signal.SIGKILL)
    for process in all_of_them[1:]:
        said = process.stdout.readline()
        assert "PREFECT_API_URL" in said, (tmp_path / "prefect" / "server.log").read_text()
        process.stdin.close()
        assert process.wait(60) == 0
    assert "Error" not in (tmp_path / "prefect" / "server.log").read_text()
