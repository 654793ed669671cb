"""Schemas of forms: optional fields are plain ones, and what a deployment takes stays what it took."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import yaml
from prefect.utilities.callables import parameter_schema
from prefect.utilities.schema_tools.validation import validate

from flows.forms import described, offer, tidy
from flows.generate import generate
from flows.retrain import retrain
from flows.short import retrain_short
from mtl.config.retrain import load_config


def schema(flow: Any) -> dict[str, Any]:
    made = tidy(parameter_schema(flow).model_dump())
    return described(made, f"{flow.fn.__module__}.{flow.fn.__name__}")


def nullable(value: Any, path: str = "") -> list[str]:
    """Fields that Prefect draws as `Property is type "None"`."""
    if not isinstance(value, dict):
        return []
    options = value.get("anyOf", [])
    here = [path] if {"type": "null"} in options and value.get("default") is None else []
    return here + [found for key, item in value.items() for found in nullable(item, f"{path}/{key}")]


@pytest.mark.parametrize("flow", [retrain, retrain_short])
def test_no_field_reads_property_is_type_none(flow: Any) -> None:
    assert nullable(parameter_schema(flow).model_dump()) != []
    assert nullable(schema(flow)) == []


def test_a_plain_field_keeps_its_bounds_and_description_and_has_no_default() -> None:
    steps = schema(retrain_short)["properties"]["steps"]
    assert (steps["type"], steps["minimum"], "default" in steps) == ("integer", 1, False)
    assert "as the configuration says" in steps["description"]


def test_a_whole_configuration_with_its_nulls_is_taken_and_an_unknown_parameter_is_not() -> None:
    """A deployment is started with every field written out, for example by check-data."""
    values = load_config(Path("demo")).model_dump(mode="json", by_alias=True)
    assert values["train"]["early_stopping_patience"] is None
    assert validate({"config": values}, schema(retrain)) == []
    (error,) = validate({"config": values, "colour": "blue"}, schema(retrain))
    assert "colour" in error.message


def test_a_null_that_differs_from_the_default_can_still_be_said() -> None:
    values = load_config(Path("demo")).model_dump(mode="json", by_alias=True)
    values["data"]["near_duplicates"] = None
    assert validate({"config": values}, schema(retrain)) == []


def test_the_short_form_offers_configurations_by_name() -> None:
    offered = offer(schema(retrain_short), "configuration", ["mine.yaml", "demo"])
    assert list(offered["properties"]) == ["configuration", "steps", "learning_rate", "approval", "reason"]
    assert validate({"configuration": "demo", "steps": None, "approval": "manual"}, offered) == []
    (error,) = validate({"configuration": "nowhere.yaml"}, offered)
    assert "is not one of ['mine.yaml', 'demo']" in error.message
    assert all(its["description"] for its in offered["properties"].values())


def test_every_parameter_of_every_deployment_is_described() -> None:
    for item in yaml.safe_load(Path("flows/prefect.yaml").read_text())["deployments"]:
        module, _, name = item["entrypoint"].rpartition(".")
        fields = schema(getattr(import_module(module), name))["properties"]
        assert [field for field, its in fields.items() if not its.get("description") and field != "config"] == []


def test_the_batch_form_has_a_field_for_each_parameter_of_a_request() -> None:
    made = schema(generate)
    fields = made["properties"]["request"]["properties"]
    assert {name: (its["type"], its["minimum"], its["description"]) for name, its in fields.items()} == {
        level: ("integer", 0, f"mcq: {level} questions") for level in ("easy", "medium", "hard")
    }
    assert nullable(made) == []
    given = {"source": "a.jsonl", "destination": "out", "task": "mcq"}
    for request in ({"easy": 1}, {"easy": 1, "hard": None}, {}, None):
        assert validate(given | {"request": request}, made, allow_none_with_default=True) == []
        assert generate.validate_parameters(given | {"request": request})
    (error,) = validate(given | {"request": {"esay": 1}}, made)
    assert "esay" in error.message
