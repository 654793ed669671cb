"""Pulls that go on inside a file, from S3 and from links, and what each refuses."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from mtl.cli.main import run
from mtl.errors import DamageError, InputError, PermanentError, TransientError
from mtl.release import fetch as fetching
from mtl.release.aliases import MemoryAliases
from mtl.release.layout import ReleaseManifest
from mtl.release.links import LinkSource, make_links, read_links
from mtl.release.promote import promote
from mtl.release.pull import fetch_release, find_release, pull, verify_folder
from mtl.store.folder import FolderStore
from mtl.store.memory import MemoryStore
from mtl.store.open import open_store
from mtl.store.retry import Patience
from mtl.store.s3 import S3Store
from tests.release.toy import MODEL, publish_toy
from tests.support.proxy import FaultProxy
from tests.support.s3 import aws, bucket, s3_client, s3_endpoint, s3_store  # noqa: F401  # fixtures

WEIGHTS = bytes(range(256)) * 40
NAME = "adapter_model.safetensors"


class CutStore(MemoryStore):
    """Reads in ranges, and loses the connection after `left` bytes."""

    left = 10**9
    served = 0

    def get_range(self, key: str, start: int, *, end: int) -> bytes:
        if self.left < end - start:
            raise TransientError("the connection is gone")
        self.left -= end - start
        self.served += end - start
        return self.get(key)[start:end]


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetching, "CHUNK", 1000)
    monkeypatch.setattr("mtl.release.links.CHUNK", 1000)
    monkeypatch.setattr("mtl.release.pull.AT_ONCE", 1)


@pytest.fixture
def store(tmp_path: Path) -> CutStore:
    store = CutStore()
    publish_toy(store, tmp_path / "made", 1, weights=WEIGHTS)
    return store


def test_cut_off_in_the_middle_of_a_file_it_goes_on_there(store: CutStore, tmp_path: Path) -> None:
    manifest = find_release(store, "v1", model=MODEL)
    total = sum(file.bytes for file in manifest.files)
    store.left = 6500
    with pytest.raises(TransientError):
        pull(store, "v1", tmp_path / "out", model=MODEL)
    assert not (tmp_path / "out" / "manifest.json").exists()
    before, store.left = store.served, 10**9
    assert 5000 < before <= 6500
    pull(store, "v1", tmp_path / "out", model=MODEL)
    assert verify_folder(tmp_path / "out") == manifest
    assert store.served == total, "no byte was read twice"
    assert {p.name for p in (tmp_path / "out").iterdir()} == {f.path for f in manifest.files} | {"manifest.json"}


def test_killed_in_the_middle_of_a_file_it_goes_on_there_and_leaves_nothing(tmp_path: Path) -> None:
    """A real process and SIGKILL, from a folder as from S3."""
    weights = random.Random(1).randbytes(200_000)
    publish_toy(FolderStore(tmp_path / "store"), tmp_path / "made", 1, weights=weights)
    out = tmp_path / "out"
    done = subprocess.run([sys.executable, "-c", _KILLED, str(tmp_path / "store"), str(out)], capture_output=True)
    assert done.returncode == -signal.SIGKILL, done.stderr
    (part,) = [path for path in (out / ".mtl-pull").iterdir() if path.stat().st_size]
    assert 0 < part.stat().st_size < len(weights)
    assert not (out / "manifest.json").exists()
    manifest = pull(FolderStore(tmp_path / "store"), "v1", out, model=MODEL)
    assert verify_folder(out) == manifest
    assert {path.name for path in out.iterdir()} == {file.path for file in manifest.files} | {"manifest.json"}


_KILLED = f"""
import os, signal, sys
from pathlib import Path
from mtl.release import fetch, pull
from mtl.store.folder import FolderStore
fetch.CHUNK, pull.AT_ONCE = 1000, 1
class Killed(FolderStore):
    def get_range(self, key, start, *, end):
        if key.endswith({NAME!r}) and start >= 100_000:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().get_range(key, start, end=end)
pull.pull(Killed(Path(sys.argv[1])), "v1", Path(sys.argv[2]), model={MODEL!r})
"""


@pytest.mark.parametrize("rubbish", [b"x" * 500, b"x" * len(WEIGHTS), b"x" * (len(WEIGHTS) + 9)])
def test_a_part_that_holds_something_else_is_of_no_use_and_no_harm(
    store: CutStore, tmp_path: Path, rubbish: bytes
) -> None:
    manifest = find_release(store, "v1", model=MODEL)
    (file,) = [file for file in manifest.files if file.path == NAME]
    aside = tmp_path / "out" / ".mtl-pull"
    aside.mkdir(parents=True)
    (aside / f"{file.sha256}.part").write_bytes(rubbish)
    pull(store, "v1", tmp_path / "out", model=MODEL)
    assert (tmp_path / "out" / NAME).read_bytes() == WEIGHTS


def test_a_flipped_byte_is_refused_and_not_kept_as_a_part(store: CutStore, tmp_path: Path) -> None:
    key = f"releases/toy/v1/{NAME}"
    store.put(key, b"?" + WEIGHTS[1:])
    for _ in range(2):
        with pytest.raises(DamageError, match=key):
            pull(store, "v1", tmp_path / "out", model=MODEL)
    store.put(key, WEIGHTS)
    pull(store, "v1", tmp_path / "out", model=MODEL)
    verify_folder(tmp_path / "out")


def test_several_pulls_into_one_folder_at_once(store: CutStore, tmp_path: Path) -> None:
    for attempt in range(5):
        out = tmp_path / f"out-{attempt}"
        with ThreadPoolExecutor(4) as pool:
            pulls = [pool.submit(pull, store, "v1", out, model=MODEL) for _ in range(4)]
        for done in pulls:
            done.result()
        verify_folder(out)


def test_from_s3_and_by_links_without_credentials(
    s3_store: S3Store,  # noqa: F811
    aws: str,  # noqa: F811
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    publish_toy(s3_store, tmp_path / "made", 1, weights=WEIGHTS)
    pull(s3_store, "v1", tmp_path / "by-store", model=MODEL)
    monkeypatch.setenv("MTL_STORE", s3_store.uri)
    assert run(["pull", "v1", "--url", "--hours", "1", "--name", MODEL]) == 0
    (tmp_path / "links.json").write_text(capsys.readouterr().out)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "MTL_STORE"):
        monkeypatch.delenv(name)
    assert run(["pull", str(tmp_path / "links.json"), str(tmp_path / "by-link"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["version"] == 1
    for folder in ("by-store", "by-link"):
        assert verify_folder(tmp_path / folder).version == 1
        assert (tmp_path / folder / NAME).read_bytes() == WEIGHTS


def test_a_store_that_makes_no_links_says_so(store: CutStore) -> None:
    with pytest.raises(InputError, match="makes no links"):
        make_links(store, find_release(store, "v1", model=MODEL), hours=1)


def test_folder_and_links_exclude_each_other(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert run(["pull", "v1", "--json"]) == 2
    assert run(["pull", "v1", str(tmp_path), "--url", "--json"]) == 2
    assert "give a folder to fill, or --url" in capsys.readouterr().out


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"kind": "other"}', '{"kind": "mtl-release-links"}'])
def test_what_is_no_file_of_links(tmp_path: Path, text: str) -> None:
    (tmp_path / "links.json").write_text(text)
    with pytest.raises(InputError, match="is no file of links"):
        read_links(tmp_path / "links.json")


@pytest.fixture
def proxy(aws: str) -> Iterator[FaultProxy]:  # noqa: F811
    target = urlsplit(aws)
    with FaultProxy(target.hostname or "", target.port or 0) as proxy:
        yield proxy


@pytest.mark.parametrize("kind", ["cut_body", "end_body"])
def test_bodies_that_break_cost_no_pull(
    s3_store: S3Store,  # noqa: F811
    proxy: FaultProxy,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
) -> None:
    """Of the journal, the manifest, the files, and the files behind links."""
    publish_toy(s3_store, tmp_path / "made", 1, weights=WEIGHTS)
    promote(s3_store, 1, model=MODEL, expected=None, reason="better", actor="gate", aliases=MemoryAliases())
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", proxy.url)
    cut = open_store(s3_store.uri, patience=5.0)
    for what in (b"/log/", b"/manifest.json", NAME.encode(), b"/README.md"):
        proxy.fail(kind, times=2, after=90, containing=what)
    manifest = pull(cut, "champion", tmp_path / "by-store", model=MODEL)
    assert proxy.injected == [kind] * 8
    (tmp_path / "links.json").write_text(json.dumps(make_links(cut, manifest, hours=1)))
    proxy.fail(kind, times=10, after=90, containing=NAME.encode())
    found, source = read_links(tmp_path / "links.json")
    fetch_release(source, found, tmp_path / "by-link")
    assert proxy.injected == [kind] * 18
    for folder in ("by-store", "by-link"):
        assert verify_folder(tmp_path / folder) == manifest


def test_links_that_give_nothing_are_given_up(
    linked: tuple[ReleaseManifest, LinkSource], server: _Server, tmp_path: Path
) -> None:
    manifest, _ = linked
    with FaultProxy("127.0.0.1", server.server_address[1]) as proxy:
        proxy.fail("cut_body", times=None)
        source = LinkSource({NAME: f"{proxy.url}/x"}, expires="2030-01-01", patience=Patience(seconds=0.3, first=0.05))
        with pytest.raises(TransientError, match=rf"cannot read {NAME}: ReadError; gave up after"):
            fetch_release(source, manifest, tmp_path / "out")


class _Server(ThreadingHTTPServer):
    status = 200
    body = WEIGHTS


class _Handler(BaseHTTPRequestHandler):
    """Knows no ranges, and answers with the server's status."""

    def do_GET(self) -> None:
        server: Any = self.server
        self.send_response(server.status)
        self.send_header("Content-Length", str(len(server.body)))
        self.end_headers()
        self.wfile.write(server.body)

    def log_message(self, *_arguments: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[_Server]:
    server = _Server(("127.0.0.1", 0), _Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def linked(store: CutStore, server: _Server) -> tuple[ReleaseManifest, LinkSource]:
    """A release of one file, which the server holds."""
    whole = find_release(store, "v1", model=MODEL)
    files = tuple(file for file in whole.files if file.path == NAME)
    manifest = ReleaseManifest(**{n: getattr(whole, n) for n in whole.__dataclass_fields__} | {"files": files})
    secret = f"http://127.0.0.1:{server.server_address[1]}/x?X-Amz-Signature=s3cret"
    return manifest, LinkSource({NAME: secret}, expires="2030-01-01", patience=Patience(seconds=0.1))


def test_a_server_without_ranges_will_do(linked: tuple[ReleaseManifest, LinkSource], tmp_path: Path) -> None:
    manifest, source = linked
    fetch_release(source, manifest, tmp_path / "out")
    assert (tmp_path / "out" / NAME).read_bytes() == WEIGHTS


@pytest.mark.parametrize(
    ("status", "error", "words"),
    [
        (403, PermanentError, "is refused"),
        (503, TransientError, "the server answers 503"),
        (404, DamageError, "is missing from the release"),
    ],
)
def test_errors_say_what_to_do_and_never_the_link(
    server: _Server,
    linked: tuple[ReleaseManifest, LinkSource],
    tmp_path: Path,
    status: int,
    error: type[Exception],
    words: str,
) -> None:
    manifest, source = linked
    server.status = status
    with pytest.raises(error, match=words) as caught:
        fetch_release(source, manifest, tmp_path / "out")
    assert "s3cret" not in f"{caught.value} {source!r}"
