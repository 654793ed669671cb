"""The machine's checks: each fault caused, its advice read."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from mtl.doctor import machine, models
from mtl.doctor.result import guarded
from mtl.settings import load_settings


def test_another_version_than_the_tested_one_is_a_warning(tmp_path: Path) -> None:
    pins = tmp_path / "constraints.txt"
    pins.write_text("boto3==1.0.0  # old\nfastapi==0.0.1\n")
    (found,) = machine.versions(pins)
    assert found.level == "warning"
    assert "boto3 is 1." in found.detail
    assert "tested was 1.0.0" in found.detail
    assert "constraints.txt" in (found.do or "")


def test_a_version_out_of_range_is_a_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    info = tmp_path / "fastapi-0.155.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: fastapi\nVersion: 0.155.0\n")
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    (found, *_) = machine.versions(tmp_path / "none")
    assert found.level == "fault"
    assert "fastapi is 0.155.0, needed is " in found.detail
    assert "make install" in (found.do or "")


def test_a_home_that_cannot_be_written_is_a_fault() -> None:
    (found,) = machine.writable(Path("/proc/mtl"))
    assert found.level == "fault"
    assert "cannot write to /proc (MTL_HOME is /proc/mtl)" in found.detail


def test_little_disk_and_memory(tmp_path: Path) -> None:
    assert {found.level for found in machine.disk(tmp_path / "later", needed=1e18)} == {"fault"}
    assert {found.level for found in machine.disk(tmp_path, needed=0, roomy=1e18)} == {"warning"}
    (short,) = machine.memory(needed=1e18)
    assert (short.level, "GB available" in short.detail) == ("fault", True)


def test_more_processes_than_gpus_is_a_fault_only_with_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MTL_TRAINER_PROCESSES", "many")
    (found,) = guarded("device", lambda: machine.device(load_settings()))
    assert found.level == "fault"
    assert "'many', no positive number" in found.detail


def test_a_base_that_is_not_there(tmp_path: Path) -> None:
    (found,) = guarded("base", lambda: models.base(str(tmp_path / "none")))
    assert found.level == "fault"
    assert f"no base model at '{tmp_path}/none'" in found.detail
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    (found,) = guarded("base", lambda: models.base(str(tmp_path)))
    assert "is of type 'bert', not of the T5 family" in found.detail
    (tmp_path / "config.json").write_text('{"model_type": "t5"}')
    (found,) = guarded("base", lambda: models.base(str(tmp_path)))
    assert "no tokenizer at" in found.detail


@pytest.mark.parametrize("name", ["memory.max", "memory/memory.limit_in_bytes"])
def test_a_container_has_no_more_memory_than_its_limit(tmp_path: Path, name: str) -> None:
    file = tmp_path / name
    file.parent.mkdir(exist_ok=True)
    file.write_text("1000000000\n")
    (short,) = machine.memory(control_groups=tmp_path)
    assert (short.level, short.detail) == ("fault", "1.0 of 1.0 GB available")
    file.write_text("max\n")
    assert list(machine.memory(control_groups=tmp_path)) == list(machine.memory(control_groups=tmp_path / "none"))
