"""S3 of the stack: Ceph's gateway with one monitor and one disk in a file, from Debian's packages.

One copy of each object, synced to disk before a write is answered: as safe as the disk that MTL_HOME is on.
Everything runs in the stack's folder and names files relative to it: in Ceph's configuration spaces, `;`, `#`, `=` and
`$` mean something.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import socket
import uuid
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from mtl.errors import NotFoundError, TransientError
from mtl.stack.service import Service, run
from mtl.stack.state import BUCKET, Stack, keep_secrets, previous_secrets

BINARIES = ("radosgw", "radosgw-admin", "ceph-mon", "ceph-osd", "ceph", "ceph-authtool", "monmaptool")
_DISK_BYTES = 200 << 30
"""The file is sparse: it takes what is stored in it."""
_CONFIG = """
[global]
fsid = {fsid}
keyring = s3/admin.keyring
mon host = {address}
mon initial members = a
auth cluster required = cephx
auth service required = cephx
auth client required = cephx
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 4
osd crush chooseleaf type = 0
mon allow pool size one = true
mon data avail crit = 1
public addr = 127.0.0.1
cluster addr = 127.0.0.1
run dir = s3
chdir = .
admin socket =
log file = logs/ceph-$name.log
mon cluster log file = logs/ceph-cluster.log
[mon.a]
mon data = s3/mon
[osd.0]
keyring = s3/osd/keyring
osd data = s3/osd
osd objectstore = bluestore
bluestore block size = {disk}
bluestore cache autotune = false
bluestore cache size = 67108864
osd memory target = 939524096
[client.rgw.a]
rgw data = s3/gateway
keyring = s3/gateway/keyring
rgw frontends = beast endpoint=127.0.0.1:{port}
rgw enable usage log = false
rgw enable apis = s3
"""
_CONF = ("-c", "s3/ceph.conf")


def services(stack: Stack) -> list[Service]:
    """Monitor, disk and gateway. Errors: NotFoundError if Ceph's programs are not installed."""
    missing = [name for name in BINARIES if shutil.which(name) is None]
    if missing:
        raise NotFoundError(
            f"no S3 server can be started: {', '.join(missing)} not installed",
            hint="apt-get install --no-install-recommends radosgw ceph-mon ceph-osd ceph-common, "
            "or use another store: mtl stack up --store s3://bucket/prefix (with AWS_* set)",
        )
    return [
        Service(
            name="s3-monitor",
            command=("ceph-mon", *_CONF, "-i", "a", "-f"),
            before=lambda: _make_monitor(stack),
            healthy=lambda: _listens(stack.ports["s3_monitor"]),
            after=lambda: _make_disk(stack),
        ),
        Service(
            name="s3-disk",
            command=("ceph-osd", *_CONF, "-i", "0", "-f"),
            needs=("s3-monitor",),
            healthy=lambda: _disk_is_up(stack),
            stop_seconds=40,
        ),
        Service(
            name="s3",
            command=("radosgw", *_CONF, "-n", "client.rgw.a", "-f"),
            needs=("s3-disk",),
            healthy=lambda: _listens(stack.ports["s3"]),
            after=lambda: _make_bucket(stack),
        ),
    ]


def _folder(stack: Stack) -> Path:
    return stack.folder / "s3"


def _ceph(stack: Stack, *arguments: str, stdin: str | None = None) -> str:
    return run("ceph", *_CONF, "--connect-timeout", "20", *arguments, folder=stack.folder, stdin=stdin)


def _listens(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=2):
        return True
    return False


def _make_monitor(stack: Stack) -> None:
    """Keys, map and data of the monitor, made once; the last thing made is the marker."""
    folder, ports = _folder(stack), stack.ports
    if (folder / "made").exists():
        write_config(stack, (folder / "made").read_text())
        if not _listens(ports["s3_monitor"]):
            _move_monitor(stack)
        return
    shutil.rmtree(folder, ignore_errors=True)
    for name in ("mon", "osd", "gateway"):
        (folder / name).mkdir(parents=True)
    folder.chmod(0o700)
    fsid = str(uuid.uuid4())
    write_config(stack, fsid)
    here = partial(run, folder=stack.folder)
    monitor, admin, monmap = "s3/mon.keyring", "s3/admin.keyring", "s3/monmap"
    everything = ("--cap", "mon", "allow *", "--cap", "osd", "allow *", "--cap", "mgr", "allow *")
    here("ceph-authtool", "--create-keyring", monitor, "--gen-key", "-n", "mon.", "--cap", "mon", "allow *")
    here("ceph-authtool", "--create-keyring", admin, "--gen-key", "-n", "client.admin", *everything)
    here("ceph-authtool", monitor, "--import-keyring", admin)
    here("monmaptool", "--create", "--clobber", "--fsid", fsid, "--addv", "a", _address(ports), monmap)
    here("ceph-mon", *_CONF, "--mkfs", "-i", "a", "--monmap", monmap, "--keyring", monitor)
    (folder / "address").write_text(_address(ports))
    (folder / "made").write_text(fsid)


def _move_monitor(stack: Stack) -> None:
    """Give the stopped monitor another address, as after a restore to other ports: its map holds it, not its settings.

    https://docs.ceph.com/en/pacific/rados/operations/add-or-rm-mons/#changing-a-monitor-s-ip-address
    """
    known, address = _folder(stack) / "address", _address(stack.ports)
    if known.exists() and known.read_text() == address:
        return
    here, monmap = partial(run, folder=stack.folder), "s3/monmap"
    here("ceph-mon", *_CONF, "-i", "a", "--extract-monmap", monmap)
    here("monmaptool", "--rm", "a", monmap)
    here("monmaptool", "--addv", "a", address, monmap)
    here("ceph-mon", *_CONF, "-i", "a", "--inject-monmap", monmap)
    known.write_text(address)


def _address(ports: Any) -> str:
    return f"[v2:127.0.0.1:{ports['s3_monitor']},v1:127.0.0.1:{ports['s3_monitor_old']}]"


def write_config(stack: Stack, fsid: str) -> None:
    """ceph.conf, whose paths are relative to the stack's folder."""
    text = _CONFIG.format(fsid=fsid, disk=_DISK_BYTES, port=stack.ports["s3"], address=_address(stack.ports))
    (_folder(stack) / "ceph.conf").write_text(text)


def _make_disk(stack: Stack) -> None:
    """The disk and the gateway's key, made once the monitor runs. Keys go by standard input and files."""
    folder = _folder(stack)
    gateway = folder / "gateway" / "keyring"
    if gateway.exists():
        return
    for kept in (folder / "osd").iterdir():
        kept.unlink()
    here, keyring, name = partial(run, folder=stack.folder), folder / "osd" / "keyring", str(uuid.uuid4())
    secret = here("ceph-authtool", "--gen-print-key").strip()
    _ceph(stack, "osd", "new", name, "0", "-i", "-", stdin=json.dumps({"cephx_secret": secret}))
    keyring.touch(mode=0o600)
    keyring.write_text(f"[osd.0]\n\tkey = {secret}\n")
    here("ceph-osd", *_CONF, "-i", "0", "--mkfs", "--osd-uuid", name)
    made = _ceph(stack, "auth", "get-or-create", "client.rgw.a", "mon", "allow rwx", "osd", "allow rwx")
    aside = gateway.with_suffix(".part")
    aside.touch(mode=0o600)
    aside.write_text(made)
    aside.rename(gateway)


def _disk_is_up(stack: Stack) -> bool:
    try:
        return bool(json.loads(_ceph(stack, "osd", "stat", "--format", "json"))["num_up_osds"])
    except (TransientError, KeyError, ValueError):
        return False


def _rotate(stack: Stack, admin: Callable[..., str], *, old: str) -> Stack:
    """New keys that the gateway makes, so that no command line shows them; every other key is void then."""
    user = ("--uid", "mtl", "--key-type", "s3")
    if stack.secrets["s3_key"] == old:
        known = json.loads(admin("user", "info", "--uid", "mtl"))["keys"]
        if all(key["access_key"] == old for key in known):
            known = json.loads(admin("key", "create", *user, "--gen-access-key", "--gen-secret"))["keys"]
        stack = _keep_keys(stack, next(key for key in known if key["access_key"] != old))
    for key in json.loads(admin("user", "info", "--uid", "mtl"))["keys"]:
        if key["access_key"] != stack.secrets["s3_key"]:
            admin("key", "rm", *user, "--access-key", key["access_key"])
    return stack


def _keep_keys(stack: Stack, key: Mapping[str, str]) -> Stack:
    return keep_secrets(stack, {"s3_key": key["access_key"], "s3_secret": key["secret_key"]})


def _make_bucket(stack: Stack) -> None:
    """The one user, with keys that the gateway makes, and the bucket."""
    admin = partial(run, "radosgw-admin", *_CONF, "-n", "client.rgw.a", folder=stack.folder)
    if "s3_secret" not in stack.secrets:
        try:
            answer = admin("user", "info", "--uid", "mtl")
        except TransientError:
            answer = admin("user", "create", "--uid", "mtl", "--display-name", "mtl")
        stack = _keep_keys(stack, json.loads(answer)["keys"][0])
    elif (before := previous_secrets(stack)) is not None:
        stack = _rotate(stack, admin, old=before["s3_key"])
    import boto3
    from botocore.exceptions import BotoCoreError, ClientError

    client = boto3.client(
        "s3",
        endpoint_url=stack.url("s3"),
        aws_access_key_id=stack.secrets["s3_key"],
        aws_secret_access_key=stack.secrets["s3_secret"],
        region_name="us-east-1",
    )
    try:
        client.create_bucket(Bucket=BUCKET)  # making one's own bucket again is no error
    except (BotoCoreError, ClientError) as error:
        raise TransientError(f"cannot make bucket {BUCKET}: {error}") from None
