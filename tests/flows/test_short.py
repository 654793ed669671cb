"""What the short form makes of a configuration."""

from __future__ import annotations

from pathlib import Path

import pytest

from flows.short import chosen, configurations
from mtl.config.retrain import load_config
from mtl.errors import ConfigError, NotFoundError


def test_what_is_left_empty_is_as_configured() -> None:
    assert chosen("demo") == load_config(Path("demo"))


def test_what_is_filled_in_replaces_it_and_nothing_else() -> None:
    config, before = chosen("demo", steps=30, learning_rate=0.001, approval="manual"), load_config(Path("demo"))
    assert (config.train.max_steps, config.train.save_steps, config.train.learning_rate) == (30, 30, 0.001)
    assert config.gate.approval == "manual"
    assert config.gate.floors == before.gate.floors
    assert config.data == before.data
    assert chosen("demo", steps=before.train.max_steps) == before


def test_an_unknown_name_and_a_value_that_does_not_fit_are_refused() -> None:
    with pytest.raises(NotFoundError, match="no configuration file nowhere"):
        chosen("nowhere")
    with pytest.raises(ConfigError, match="learning_rate"):
        chosen("demo", learning_rate=7.0)


def test_the_deployed_configuration_comes_first_then_the_projects_own(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("data: {sources: [{task: mcq, uri: demo}]}")
    (tmp_path / "compose.yaml").write_text("services: {}")
    assert configurations(tmp_path, "demo")[:2] == ["demo", "mine.yaml"]
    assert configurations(tmp_path, "conf/demo.yaml")[0] == "conf/demo.yaml"
    assert "compose.yaml" not in configurations(tmp_path, "demo")
