"""What the form of an approval asks."""

from __future__ import annotations

from typing import Any

import pytest

from mtl.chain.hand_over import pages_address, question
from mtl.settings import load_settings

DECISION = {"reasons": ["mcq: counts_obeyed is better."]}
REGISTERED: dict[str, Any] = {"model": "m", "version": 3, "release": "releases/m/v3"}


def test_the_question_names_version_and_reasons_and_links_the_report() -> None:
    asked = question(REGISTERED | {"report_url": "http://mlflow/report"}, DECISION)
    assert asked.startswith("Make m v3 champion?\n\n- mcq: counts")
    assert asked.endswith("[Read the report](http://mlflow/report)")


def test_without_a_page_it_names_the_release() -> None:
    assert question(REGISTERED, DECISION).endswith("Release: releases/m/v3")


def test_links_lead_where_people_open_mlflow(monkeypatch: pytest.MonkeyPatch) -> None:
    """In a container the server's address is a name that only containers know."""
    settings = load_settings({"MLFLOW_TRACKING_URI": "http://ann:secret@mlflow:5000/"})
    monkeypatch.delenv("MTL_MLFLOW_URL", raising=False)
    assert (pages_address(settings) or "").endswith("mlflow:5000")
    assert "secret" not in (pages_address(settings) or "")
    monkeypatch.setenv("MTL_MLFLOW_URL", "https://mlflow.example.org")
    assert pages_address(settings) == "https://mlflow.example.org"
    monkeypatch.delenv("MTL_MLFLOW_URL")
    assert pages_address(load_settings({"MLFLOW_TRACKING_URI": "sqlite:///x.db"})) is None
