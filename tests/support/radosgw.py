"""A real S3 server for tests: Ceph's radosgw from Debian's packages, on loopback, in memory, in about 15 seconds.

    apt-get install --no-install-recommends radosgw ceph-mon ceph-osd ceph-common

It checks signatures and conditions as production stores do. `python -m tests.support.radosgw` starts one and prints
the environment that leads to it.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.support.s3 import moto

_BINARIES = ("radosgw", "radosgw-admin", "ceph-mon", "ceph-osd", "ceph", "ceph-authtool", "monmaptool")
_CONFIG = """
[global]
fsid = {fsid}
keyring = {folder}/admin.keyring
mon host = v2:127.0.0.1:{v2},v1:127.0.0.1:{v1}
mon initial members = a
auth cluster required = cephx
auth service required = cephx
auth client required = cephx
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 4
osd crush chooseleaf type = 0
mon allow pool size one = true
public addr = 127.0.0.1
cluster addr = 127.0.0.1
run dir = {folder}/run
admin socket = {folder}/run/$name.asok
log file = {folder}/log/$name.log
[mon.a]
mon data = {folder}/mon
[osd.0]
keyring = {folder}/osd0/keyring
osd data = {folder}/osd0
osd objectstore = memstore
memstore device bytes = 1073741824
[client.rgw.a]
rgw data = {folder}/rgw
keyring = {folder}/rgw/keyring
rgw frontends = beast endpoint=127.0.0.1:{port}
"""


@dataclass(frozen=True)
class Server:
    """A running server and the one user it knows."""

    endpoint: str
    access_key: str
    secret_key: str

    def environment(self) -> dict[str, str]:
        """What a user would set."""
        return {
            "AWS_ENDPOINT_URL_S3": self.endpoint,
            "AWS_ACCESS_KEY_ID": self.access_key,
            "AWS_SECRET_ACCESS_KEY": self.secret_key,
            "AWS_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
        }


def why_not() -> str:
    """Why no server can be started here; '' if one can."""
    missing = [name for name in _BINARIES if shutil.which(name) is None]
    return f"not installed: {', '.join(missing)} (Debian: radosgw ceph-mon ceph-osd ceph-common)" if missing else ""


@contextmanager
def radosgw() -> Iterator[Server]:
    """A server of one's own while the block runs. Errors: RuntimeError, with why, if it does not start."""
    folder = Path(tempfile.mkdtemp(prefix="rgw-"))  # short: paths of sockets have a limit
    try:
        yield _start(folder)
    finally:
        _stop(folder)
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def radosgw_or_moto() -> Iterator[tuple[str, dict[str, str]]]:
    """(name, environment that leads to it) of a server: radosgw where it is installed, else moto's."""
    if why_not():
        with moto() as environment:
            yield "moto", environment
    else:
        with radosgw() as server:
            yield "radosgw", server.environment()


def _start(folder: Path) -> Server:
    for name in ("mon", "osd0", "rgw", "log", "run"):
        (folder / name).mkdir()
    fsid, (v2, v1, port) = str(uuid.uuid4()), _free_ports(3)
    (folder / "ceph.conf").write_text(_CONFIG.format(folder=folder, fsid=fsid, v2=v2, v1=v1, port=port))
    _start_monitor(folder, fsid, f"[v2:127.0.0.1:{v2},v1:127.0.0.1:{v1}]")
    _start_disk(folder)
    conf = str(folder / "ceph.conf")
    caps = ["mon", "allow rwx", "osd", "allow rwx", "-o", str(folder / "rgw" / "keyring")]
    _run("ceph", "-c", conf, "auth", "get-or-create", "client.rgw.a", *caps)
    with (folder / "log" / "rgw.out").open("wb") as out:
        gateway = subprocess.Popen(
            ["radosgw", "-c", conf, "-n", "client.rgw.a", "-f"], stdout=out, stderr=out, start_new_session=True
        )
    (folder / "run" / "rgw.pid").write_text(str(gateway.pid))
    server = Server(f"http://127.0.0.1:{port}", secrets.token_hex(8), secrets.token_hex(16))
    _wait(server.endpoint, folder)
    user = ["--uid", "tests", "--display-name", "tests"]
    keys = ["--access-key", server.access_key, "--secret", server.secret_key]
    _run("radosgw-admin", "-c", conf, "-n", "client.rgw.a", "user", "create", *user, *keys)
    return server


def _start_monitor(folder: Path, fsid: str, address: str) -> None:
    conf, monitor, admin = (str(folder / name) for name in ("ceph.conf", "mon.keyring", "admin.keyring"))
    everything = ["--cap", "mon", "allow *", "--cap", "osd", "allow *", "--cap", "mgr", "allow *"]
    _run("ceph-authtool", "--create-keyring", monitor, "--gen-key", "-n", "mon.", "--cap", "mon", "allow *")
    _run("ceph-authtool", "--create-keyring", admin, "--gen-key", "-n", "client.admin", *everything)
    _run("ceph-authtool", monitor, "--import-keyring", admin)
    monmap = str(folder / "monmap")
    _run("monmaptool", "--create", "--clobber", "--fsid", fsid, "--addv", "a", address, monmap)
    _run("ceph-mon", "-c", conf, "--mkfs", "-i", "a", "--monmap", monmap, "--keyring", monitor)
    _run("ceph-mon", "-c", conf, "-i", "a", "--pid-file", str(folder / "run" / "mon.pid"))


def _start_disk(folder: Path) -> None:
    conf, keyring, name = str(folder / "ceph.conf"), str(folder / "osd0" / "keyring"), str(uuid.uuid4())
    secret = _run("ceph-authtool", "--gen-print-key").strip()
    _run("ceph", "-c", conf, "osd", "new", name, "-i", "-", stdin=json.dumps({"cephx_secret": secret}))
    _run("ceph-authtool", "--create-keyring", keyring, "--name", "osd.0", "--add-key", secret)
    _run("ceph-osd", "-c", conf, "-i", "0", "--mkfs", "--osd-uuid", name)
    _run("ceph-osd", "-c", conf, "-i", "0", "--pid-file", str(folder / "run" / "osd.pid"))


def _run(*command: str, stdin: str | None = None) -> str:
    done = subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=60, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{command[0]} ended with {done.returncode}: {done.stderr[-1000:]}")
    return done.stdout


def _wait(endpoint: str, folder: Path) -> None:
    deadline = time.monotonic() + 90
    while time.monotonic() < deadline:
        with contextlib.suppress(urllib.error.URLError, OSError):
            urllib.request.urlopen(endpoint, timeout=2).close()
            return
        time.sleep(0.3)
    raise RuntimeError(f"radosgw does not answer: {(folder / 'log' / 'rgw.out').read_text()[-1000:]}")


def _stop(folder: Path) -> None:
    for file in (folder / "run").glob("*.pid"):
        with contextlib.suppress(ProcessLookupError, ValueError):
            os.kill(int(file.read_text()), signal.SIGKILL)  # its data are in memory and nobody's


def _free_ports(count: int) -> list[int]:
    listeners = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [int(listener.getsockname()[1]) for listener in listeners]
    for listener in listeners:
        listener.close()
    return ports


if __name__ == "__main__":
    with radosgw() as running:
        for key, value in running.environment().items():
            sys.stdout.write(f"export {key}={value}\n")
        sys.stdout.flush()
        signal.pause()
