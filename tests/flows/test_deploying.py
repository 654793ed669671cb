"""What mtl deploy checks before it touches a server, and the presets."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
import yaml

from flows.deployed import changes, under_new_names
from flows.deploying import deploy, next_runs
from flows.presets import presets
from mtl.config.retrain import load_config, parse_config
from mtl.errors import ConfigError, InputError
from mtl.service.deployments import RENAMED


@pytest.mark.parametrize(
    ("cron", "timezone", "reason"),
    [
        ("every night", "UTC", "2 fields where five are expected"),
        ("0 25 * * *", "UTC", ""),
        ("0 3 * * *", "Mars/Sea", ""),
        ("0 0 31 2 *", "UTC", "failed to find next date"),
        ("* * * * * *", "UTC", "6 fields where five are expected: minute hour day month weekday"),
    ],
)
def test_a_schedule_that_does_not_parse_or_never_comes_is_refused(cron: str, timezone: str, reason: str) -> None:
    with pytest.raises(InputError, match="no schedule: cron") as caught:
        next_runs(cron, timezone)
    assert cron in caught.value.message
    assert reason in caught.value.message
    assert "--cron" in str(caught.value.hint)


def test_the_next_runs_of_a_schedule_are_in_its_own_time_zone() -> None:
    first, second = next_runs("0 3 * * *", "Asia/Tokyo")
    assert (first.hour, second.hour) == (3, 3)
    assert first.utcoffset() == timedelta(hours=9)
    assert second - first == timedelta(days=1)


def test_changes_name_what_was_deployed_and_what_is() -> None:
    before = {"retrain/nightly cron": "0 3 * * *", "retrain/nightly config.train.max_steps": 400}
    after = {"retrain/nightly cron": "0 4 * * *", "retrain/nightly config.train.max_steps": 400}
    assert changes(before, after) == ["retrain/nightly cron: '0 3 * * *' becomes '0 4 * * *'"]
    assert changes(before, before) == changes({}, after) == []
    assert changes(before, before | {"retrain/short folder": "/x", "retrain/short command": "y"}) == [
        "retrain/short is new"
    ]
    moved = {f"{name} folder": "/b" for name in ("generate/batch", "retrain/demo", "retrain/nightly")}
    assert changes(dict.fromkeys(moved, "/a"), moved | {"retrain/nightly steps": 5}) == [
        "folder of 3 deployments: '/a' becomes '/b'",
        "retrain/nightly steps: nothing becomes 5",
    ]


def test_a_deployment_that_was_renamed_is_not_a_change_of_its_schedule() -> None:
    before = {"prune/weekly cron": "30 5 * * 1", "retrain/nightly cron": "0 3 * * *"}
    now = under_new_names(before, {"prune/weekly": "prune/prune-checkpoints"})
    assert now == {"prune/prune-checkpoints cron": "30 5 * * 1", "retrain/nightly cron": "0 3 * * *"}


def test_presets_are_the_files_with_what_the_deployment_changes() -> None:
    made = presets("conf/demo.yaml", "conf/demo.yaml")
    config = load_config(Path("conf/demo.yaml"))
    assert parse_config(made["demo"]) == parse_config(made["chosen"]) == config
    assert parse_config(made["full"]).train.max_steps == 2 * config.train.max_steps
    assert parse_config(made["examined"]).evaluate.split == "test"


def test_a_folder_that_prefect_would_fill_in_is_refused_before_anything_is_made() -> None:
    with pytest.raises(InputError, match=r"the path /srv/\{\{x\}\} for a placeholder\n  move the project"):
        deploy(Path("/srv/{{x}}"), config=None, cron=None, timezone=None)


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
    names = [item["name"] for item in document["deployments"]]
    assert len(names) == len(set(names)) == 13  # pages of Prefect show the name without the flow
    assert not set(names) & {old.partition("/")[2] for old in RENAMED}
