"""Configurations of the package, by name, from any folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from mtl.config.retrain import load_config
from mtl.config.shipped import find_config, shipped
from mtl.errors import NotFoundError


def test_every_shipped_configuration_is_right_and_found_by_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert set(shipped()) >= {"demo", "flan-t5-base", "flan-t5-base-h100", "flan-t5-small", "own-data"}
    for name, file in shipped().items():
        assert find_config(Path(name)) == find_config(Path("conf") / f"{name}.yaml") == file
        assert load_config(Path(name)) == load_config(file)


def test_a_file_of_ones_own_goes_before_a_shipped_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("demo").write_text("name: mine")
    assert find_config(Path("demo")) == Path("demo")


def test_a_name_that_is_nothing_gets_a_suggestion(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match=r"no configuration file flan-t5-bse(.|\n)*did you mean 'flan-t5-base'"):
        find_config(Path("flan-t5-bse"))
    with pytest.raises(NotFoundError, match="mtl init DIR writes one"):
        find_config(tmp_path / "demo.yaml")
