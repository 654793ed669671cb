"""Fingerprints: of the content, whatever the order or the place."""

from __future__ import annotations

from pathlib import Path

import pytest

from mtl.fingerprint import sha256_file, sha256_json, sha256_sources


def test_order_of_keys_does_not_matter_and_values_do() -> None:
    assert sha256_json({"a": 1, "b": [2]}) == sha256_json({"b": [2], "a": 1})
    assert sha256_json({"a": 1}) != sha256_json({"a": 2})


def test_nan_has_no_fingerprint() -> None:
    with pytest.raises(ValueError, match="JSON compliant"):
        sha256_json({"a": float("nan")})


def test_a_file_is_hashed_by_its_bytes(tmp_path: Path) -> None:
    (tmp_path / "empty").write_bytes(b"")
    assert sha256_file(tmp_path / "empty") == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


def test_source_changes_with_any_file_of_a_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "some_package"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "inner.py").write_text("x = 1\n")
    monkeypatch.syspath_prepend(tmp_path)
    before = sha256_sources(["some_package"]), sha256_sources(["some_package.inner"])
    (package / "inner.py").write_text("x = 2\n")
    after = sha256_sources(["some_package"]), sha256_sources(["some_package.inner"])
    assert before[0] != after[0]
    assert before[1] != after[1]
    assert sha256_sources(["some_package"]) == after[0]
