"""What mtl deploy checks before it touches a server, and the presets."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from flows.deploying import _check_schedule
from flows.presets import presets
from mtl.config.retrain import load_config, parse_config
from mtl.errors import ConfigError, InputError


@pytest.mark.parametrize(
    ("cron", "timezone"), [("every night", "UTC"), ("0 25 * * *", "UTC"), ("0 3 * * *", "Mars/Sea")]
)
def test_a_schedule_that_does_not_parse_is_refused(cron: str, timezone: str) -> None:
    with pytest.raises(InputError, match="no schedule: cron") as caught:
        _check_schedule(cron, timezone)
    assert cron in caught.value.message
    assert "--cron" in str(caught.value.hint)


def test_presets_are_the_files_with_what_the_deployment_changes() -> None:
    made = presets("conf/demo.yaml", "conf/demo.yaml")
    config = load_config(Path("conf/demo.yaml"))
    assert parse_config(made["demo"]) == parse_config(made["chosen"]) == config
    assert parse_config(made["full"]).train.max_steps == 2 * config.train.max_steps
    assert parse_config(made["examined"]).evaluate.split == "test"


def test_a_wrong_configuration_is_not_deployed(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("seed: many")
    with pytest.raises(ConfigError, match="seed"):
        presets("conf/demo.yaml", str(file))


def test_every_flow_is_deployed_and_every_deployment_is_a_flow() -> None:
    import importlib

    document = yaml.safe_load(Path("deployments/prefect.yaml").read_text())
    entrypoints = {item["entrypoint"] for item in document["deployments"]}
    for entrypoint in entrypoints:
        module, _, name = entrypoint.rpartition(".")
        assert hasattr(getattr(importlib.import_module(module), name), "with_options")
    assert len({(item["entrypoint"], item["name"]) for item in document["deployments"]}) == 11
