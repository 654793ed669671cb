"""The configuration: every fault at once, each with its field; the form keeps its order."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mtl.config.retrain import RetrainConfig, load_config, parse_config
from mtl.config.train import RENAMED, TrainConfig
from mtl.decoding import Decoding
from mtl.errors import ConfigError, NotFoundError

SHIPPED = sorted(Path("conf").glob("*.yaml"))
GOOD: dict[str, Any] = {"data": {"sources": [{"task": "mcq", "uri": "demo"}]}}


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.name)
def test_shipped_configurations_are_valid(path: Path) -> None:
    config = load_config(path)
    assert parse_config(config.model_dump(mode="json", by_alias=True)) == config


def test_all_faults_are_reported_at_once_with_field_and_value() -> None:
    values = GOOD | {"train": {"max_steps": 0, "learning_rate": float("nan")}, "lora": {"r": 0}, "trian": {}}
    with pytest.raises(ConfigError) as caught:
        parse_config(values, source="my.yaml")
    text = str(caught.value)
    assert text.startswith("my.yaml: 4 faults")
    assert "train.max_steps: input should be greater than or equal to 1, got 0" in text
    assert "train.learning_rate: input should be a finite number, got nan" in text
    assert "lora.r: input should be greater than or equal to 1, got 0" in text
    assert "trian: unknown key; did you mean 'train'?" in text
    assert {field for field, _ in caught.value.faults} == {"train.max_steps", "train.learning_rate", "lora.r", "trian"}


@pytest.mark.parametrize(("old", "new"), RENAMED.items())
def test_a_key_that_was_renamed_is_refused_with_its_new_name(old: str, new: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_config(GOOD | {"train": {old: 1, "max_steps": 0}})
    assert f"train.{old}: this key is now called {new}" in str(caught.value)
    assert "train.max_steps" in str(caught.value), "the other faults are told too"
    assert new.partition(" ")[0] in TrainConfig.model_fields


def test_the_one_tolerance_of_former_times_is_refused_with_what_came_in_its_place() -> None:
    with pytest.raises(ConfigError) as caught:
        parse_config(GOOD | {"gate": {"tolerance": 0.02}})
    said = (
        "gate.tolerance: this key is now called margins, which gives each metric a number of its own: gate: {margins:"
    )
    assert said in str(caught.value)


def test_margins_are_those_of_the_tasks_unless_the_configuration_names_others() -> None:
    assert parse_config(GOOD).gate.margins == {
        "summarize": {"rougeLsum": 0.01},
        "mcq": {"usable": 0.05, "counts_obeyed": 0.05},
    }
    assert parse_config(GOOD | {"gate": {"margins": {"mcq": {"usable": 0}}}}).gate.margins == {"mcq": {"usable": 0.0}}


def test_an_unknown_key_deep_inside_gets_a_suggestion() -> None:
    with pytest.raises(ConfigError, match=r"data.sources.0.revsion: unknown key; did you mean 'revision'"):
        parse_config({"data": {"sources": [{"task": "mcq", "uri": "demo", "revsion": "x"}]}})


@pytest.mark.parametrize(
    ("section", "values", "message"),
    [
        ("train", {"learning_rate": -1.0}, "greater than 0, got -1.0"),
        ("train", {"max_steps": 10, "save_steps": 50}, "train.save_steps 50 is over train.max_steps 10"),
        ("train", {"max_tokens_per_batch": 0}, "greater than or equal to 64, got 0"),
        ("lora", {"r": 0}, "greater than or equal to 1, got 0"),
        ("evaluate", {"candidates": 17}, "less than or equal to 16, got 17"),
        ("evaluate", {"candidates": 4}, "set evaluate.reader to another model (a folder or a Hub name) or to none"),
        ("evaluate", {"candidates": 4, "reader": "candidate"}, "with the same weights proves nothing"),
        ("evaluate", {"candidates": 4, "num_beams": 2, "reader": "none"}, "exclude each other"),
        ("evaluate", {"length_penalty": 0.6}, "without beams it has no effect"),
        ("evaluate", {"split": "train"}, "'validation' or 'test', got 'train'"),
        ("gate", {"margins": {"mcq": {"usabel": 0.1}}}, "mcq is not judged by 'usabel'; did you mean 'usable'?"),
        ("gate", {"margins": {"mcq": {"lost_key": 0.1}}}, "mcq is not judged by 'lost_key'"),
        ("gate", {"margins": {"msq": {"usable": 0.1}}}, "gate.margins: there is no task 'msq'; did you mean 'mcq'?"),
        (
            "gate",
            {"margins": {"mcq": {"usable": -0.1}}},
            "margins.mcq.usable: input should be greater than or equal to",
        ),
        ("gate", {"margins": {"mcq": 0.1}}, "gate.margins.mcq: input should be a valid dictionary, got 0.1"),
    ],
)
def test_wrong_values_are_refused(section: str, values: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_config(GOOD | {section: values})
    assert message in str(caught.value)


def test_candidates_are_measured_with_another_reader_or_none() -> None:
    for reader in ("none", "readers/race"):
        config = parse_config(GOOD | {"evaluate": {"candidates": 4, "reader": reader}})
        assert config.evaluate.decoding() == Decoding(candidates=4)


def test_a_hub_source_needs_a_revision() -> None:
    with pytest.raises(ConfigError, match="hub:ehovy/race needs a revision"):
        parse_config({"data": {"sources": [{"task": "mcq", "uri": "hub:ehovy/race", "name": "high"}]}})


def test_files_that_are_no_configuration(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="no configuration file"):
        load_config(tmp_path / "none.yaml")
    bad = tmp_path / "bad.yaml"
    bad.write_text("a: [")
    with pytest.raises(ConfigError, match="not YAML"):
        load_config(bad)
    bad.write_text("- a\n")
    with pytest.raises(ConfigError, match="expected a mapping of sections, got list"):
        load_config(bad)


def test_every_field_of_the_form_has_its_position_and_a_description() -> None:
    schema = RetrainConfig.model_json_schema()
    for name, section in {"RetrainConfig": schema, **schema["$defs"]}.items():
        properties = section["properties"]
        assert [prop["position"] for prop in properties.values()] == list(range(len(properties))), name
        assert all(prop.get("description") for prop in properties.values()), name
