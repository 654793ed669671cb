"""Somebody has the bucket's keys and no signing key: pull, serve and promote refuse what he wrote, and name it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mtl.cli.main import run
from mtl.fingerprint import canonical_json, sha256_bytes, sha256_json
from mtl.mlflow_backend.registry import MlflowRegistry
from mtl.release.layout import parse_manifest
from mtl.release.promote import promote
from mtl.store.s3 import S3Store
from tests.release.toy import MODEL, publish_toy
from tests.support.keys import Keys, keys
from tests.support.mlflow_db import fresh_tracking
from tests.support.s3 import aws, bucket, s3_client, s3_endpoint, s3_store

__all__ = ["aws", "bucket", "keys", "s3_client", "s3_endpoint", "s3_store"]

RELEASES = f"releases/{MODEL}"
FILE = f"{RELEASES}/v1/adapter_model.safetensors"
ENTRY = f"{RELEASES}/log/000000000001.json"
Attack = Callable[[S3Store], str]
"""Something that is done to the bucket; what the refusals have to name."""


@pytest.fixture
def store(
    s3_store: S3Store,
    aws: str,
    keys: Keys,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> S3Store:
    """v1 is champion and v2 a candidate, all of it signed; this machine has the key."""
    monkeypatch.setenv("MTL_HOME", str(tmp_path))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setenv("MTL_STORE", s3_store.uri)
    tracking = fresh_tracking(tmp_path)
    registry = MlflowRegistry(tracking, MODEL)
    tracking.client.create_registered_model(MODEL)
    for version in (1, 2):
        publish_toy(s3_store, tmp_path / "made", version)
        tracking.client.create_model_version(MODEL, f"file://{tmp_path}", await_creation_for=0)
    promote(s3_store, 1, model=MODEL, expected=None, reason="better", actor="gate", aliases=registry)
    return s3_store


def change_a_file(store: S3Store) -> str:
    store.put(FILE, b"wei9hts 1")
    return f"{FILE} is damaged"


def change_the_manifest(store: S3Store) -> str:
    key = f"{RELEASES}/v1/manifest.json"
    manifest = parse_manifest(store.get(key), key)
    store.put(FILE, b"evil")
    files = [replace(file, bytes=4, sha256=sha256_bytes(b"evil")) if FILE.endswith(file.path) else file
             for file in manifest.files]  # fmt: skip
    store.put(key, replace(manifest, files=tuple(files), adapter_sha256=sha256_bytes(b"evil")).to_bytes())
    return f"{RELEASES}/v1 is not what key ours.pub signed: changed: adapter_model.safetensors, manifest.json"


def sealed(store: S3Store, key: str, **fields: Any) -> None:
    document = json.loads(store.get(ENTRY)) | fields | {"key": key}
    del document["check"]
    store.put(key, canonical_json(document | {"check": sha256_json(document)}))


def replace_the_last_entry(store: S3Store) -> str:
    sealed(store, ENTRY, version=2)
    return f"{ENTRY} is not what key ours.pub signed"


def append_an_entry(store: S3Store) -> str:
    document = json.loads(store.get(ENTRY))
    after = sha256_json({name: value for name, value in document.items() if name not in ("check", "key")})
    key = ENTRY.replace("1.json", "2.json")
    sealed(store, key, version=2, replaced=1, previous=1, seq=2, after=after, write_id="2", signature=None)
    return f"{key} is not signed"


@pytest.mark.parametrize("attack", [change_a_file, change_the_manifest, replace_the_last_entry, append_an_entry])
def test_pull_serve_generate_and_promote_refuse(
    store: S3Store, tmp_path: Path, capsys: pytest.CaptureFixture[str], attack: Attack
) -> None:
    named = attack(store)
    (tmp_path / "text").write_text("A text.")
    commands = [
        ["pull", "champion", str(tmp_path / "out")],
        ["serve", "champion", "--port", "5871"],
        ["generate", "--task", "summarize", str(tmp_path / "text")],
    ]
    if attack in (replace_the_last_entry, append_an_entry):
        commands += [["promote", "2", "--force", "x"], ["rollback"], ["reconcile"], ["models", "--history"]]
    for command in commands:
        code = run([*command, "--name", MODEL, "--json"])
        error = json.loads(capsys.readouterr().out.splitlines()[-1])["error"]
        assert (code, error["message"][: len(named)]) == (1, named), command
    assert not (tmp_path / "out" / "manifest.json").exists()


def test_a_forged_candidate_is_not_promoted(store: S3Store, capsys: pytest.CaptureFixture[str]) -> None:
    store.put(f"{RELEASES}/v2/adapter_model.safetensors", b"evil")
    assert run(["promote", "2", "--force", "x", "--name", MODEL, "--json"]) == 1
    assert f"{RELEASES}/v2/adapter_model.safetensors is damaged" in capsys.readouterr().out
