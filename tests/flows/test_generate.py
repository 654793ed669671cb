"""The batch flow on a real Prefect: parts of answers, found again when it runs again."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from flows.generate import generate
from tests.support.trained import trained_model


def test_a_file_becomes_parts_and_running_again_finds_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MTL_HOME", str(tmp_path / "home"))
    model = trained_model(tmp_path / "model")
    source, out = tmp_path / "texts.jsonl", tmp_path / "out"
    source.write_text("\n".join(json.dumps({"id": f"t{n}", "text": f"Boat {n} came."}) for n in range(3)))
    first = generate(str(source), str(out), model=str(model), shard_rows=2)
    assert (first["rows"], first["refused"], len(first["parts"])) == (3, 0, 2)
    assert pq.read_table(out)["id"].to_pylist() == ["t0", "t1", "t2"]
    times = [Path(part).stat().st_mtime_ns for part in first["parts"]]
    assert generate(str(source), str(out), model=str(model), shard_rows=2) == first
    assert [Path(part).stat().st_mtime_ns for part in first["parts"]] == times
    assert generate(str(source), str(out), model=str(model), shard_rows=2, engine="ray") == first  # and asks no cluster
