"""keys create, sign and sign-journal as a person runs them, on a real MLflow."""

from __future__ import annotations

import json
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mtl.cli.main import run
from mtl.mlflow_backend.registry import MlflowRegistry
from mtl.release.promote import promote
from mtl.store.folder import FolderStore
from tests.release.toy import MODEL, publish_toy
from tests.support.mlflow_db import fresh_tracking

Mtl = Callable[..., tuple[int, dict[str, Any]]]


@pytest.fixture
def mtl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Mtl:
    """The command line, in a home where v1 was published and promoted without a key."""
    monkeypatch.setenv("MTL_HOME", str(tmp_path))
    for name in ("MTL_STORE", "MLFLOW_TRACKING_URI", "MTL_SIGNING_KEY", "MTL_TRUSTED_KEYS"):
        monkeypatch.delenv(name, raising=False)
    store, tracking = FolderStore(tmp_path / "store"), fresh_tracking(tmp_path)
    registry = MlflowRegistry(tracking, MODEL)
    tracking.client.create_registered_model(MODEL)
    publish_toy(store, tmp_path / "made", 1)
    tracking.client.create_model_version(MODEL, f"file://{tmp_path}", await_creation_for=0)
    promote(store, 1, model=MODEL, expected=None, reason="better", actor="gate", aliases=registry)

    def call(*arguments: str) -> tuple[int, dict[str, Any]]:
        code = run([*arguments, "--json"])
        return code, json.loads(capsys.readouterr().out.splitlines()[-1])

    return call


def test_signing_is_set_up_for_what_was_released_before(
    mtl: Mtl, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code, said = mtl("sign", "v1", "--name", MODEL)
    assert (code, said["error"]["field"]) == (2, "MTL_SIGNING_KEY")
    code, made = mtl("keys", "create", str(tmp_path / "keys"), "--expires", "2090-01-31")
    assert (code, made["expires"]) == (0, "2090-01-31")
    assert stat.S_IMODE(Path(made["private"]).stat().st_mode) == 0o600
    code, said = mtl("keys", "create", str(tmp_path / "keys"))
    assert (code, "is not overwritten" in said["error"]["message"]) == (2, True)
    code, said = mtl("keys", "create", str(tmp_path / "others"), "--expires", "soon")
    assert (code, said["error"]["message"]) == (2, "'soon' is no day")
    monkeypatch.setenv("MTL_TRUSTED_KEYS", made["public"])
    monkeypatch.setenv("MTL_REQUIRE_SIGNATURE", "true")
    code, said = mtl("pull", "v1", str(tmp_path / "out"), "--name", MODEL)
    assert (code, said["error"]["kind"]) == (1, "signature")
    monkeypatch.setenv("MTL_SIGNING_KEY", made["private"])
    assert mtl("sign", "v1", "--name", MODEL)[0] == 0
    code, said = mtl("pull", "champion", str(tmp_path / "out"), "--name", MODEL)
    assert (code, "mtl sign-journal" in said["error"]["hint"]) == (1, True)
    code, said = mtl("sign-journal", "--champion", "v2", "--name", MODEL)
    assert (code, said["error"]["field"]) == (2, "champion")
    code, said = mtl("sign-journal", "--champion", "v1", "--reason", "signing was set up", "--name", MODEL)
    assert (code, said["champion"], said["changed"]) == (0, 1, False)
    monkeypatch.delenv("MTL_SIGNING_KEY")
    code, said = mtl("pull", "champion", str(tmp_path / "out"), "--name", MODEL)
    assert (code, said["version"], said["signed_by"]) == (0, 1, "signing.pub")
    code, said = mtl("models", "--history", "--name", MODEL)
    assert [change["reason"] for change in said["history"]] == ["better", "signing was set up"]
