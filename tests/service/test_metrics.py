"""Metrics as Prometheus reads them."""

from __future__ import annotations

from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from mtl.release.journal import Change, journal_log
from mtl.service.metrics import metrics_text
from mtl.settings import PrefectSettings, Settings
from mtl.store.folder import FolderStore


def values(text: str) -> dict[tuple[str, ...], float]:
    samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    return {(sample.name, *sample.labels.values()): sample.value for sample in samples}


def test_champion_disk_and_who_is_up(tmp_path: Path) -> None:
    store = tmp_path / "store"
    change = Change("promote", 3, None, None, "better", "ann", "2026-11-23T00:00:00+00:00", False, "0" * 64)
    journal_log(FolderStore(store), "m").append(1, change.to_dict())
    settings = Settings(home=tmp_path, store=str(store), tracking_uri="http://127.0.0.1:9", actor="me")
    found = values(metrics_text(settings, PrefectSettings(home=tmp_path), "m"))
    assert found["mtl_champion_version", "m"] == 3
    assert found["mtl_champion_since_seconds", "m"] == 1795392000
    assert (found["mtl_up", "store"], found["mtl_up", "mlflow"]) == (1, 0)
    assert found["mtl_disk_free_bytes",] > 0
    assert found["mtl_warnings",] >= 1
