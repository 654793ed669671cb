"""Where links of a registered version lead."""

from __future__ import annotations

import pytest

from mtl.pipeline.register import pages_address
from mtl.settings import load_settings


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
