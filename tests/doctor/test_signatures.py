"""`mtl doctor` on keys: not set up, right, expiring, expired, open to others, required and missing."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from mtl.config.retrain import parse_config
from mtl.doctor.result import CheckResult, guarded
from mtl.doctor.signatures import signatures
from tests.support.keys import Keys, keys

__all__ = ["keys"]


def found() -> list[CheckResult]:
    return list(guarded("signatures", signatures))


def test_keys(keys: Keys) -> None:
    (result,) = found()
    assert result.level == "ok"
    assert "trusted: ours.pub (" in result.detail
    assert "a trial signature is right; a signature is not required" in result.detail
    (keys.folder / "ours" / "signing.key").chmod(0o644)
    keys.say("ours", f"Expires: {datetime.now(UTC) + timedelta(days=9):%Y-%m-%d}")
    opened, soon, _ = found()
    assert (opened.level, "(mode 644)" in opened.detail) == ("warning", True)
    assert (soon.level, "key ours.pub expires on" in soon.detail) == ("warning", True)
    keys.say("ours", "Expires: 2020-01-01")
    (expired,) = found()
    assert (expired.level, "ours.pub, which expired on 2020-01-01" in expired.detail) == ("fault", True)
    keys.read_only()
    assert [result.level for result in found()] == ["warning", "ok"]


def test_not_set_up(keys: Keys, monkeypatch: pytest.MonkeyPatch) -> None:
    keys.forget()
    (result,) = found()
    assert (result.level, result.detail[:10]) == ("ok", "not set up")
    sources = [{"task": "mcq", "uri": "demo"}]
    config = parse_config({"data": {"sources": sources}, "register": {"require_signature": True}})
    (fault,) = guarded("signatures", lambda: signatures(config))
    assert (fault.level, "there is no key to sign with" in fault.detail) == ("fault", True)
    monkeypatch.setenv("MTL_REQUIRE_SIGNATURE", "yes")
    (fault,) = found()
    assert (fault.level, "no key is trusted" in fault.detail) == ("fault", True)
