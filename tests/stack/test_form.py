"""The form of retrain/demo: what it shows, and what is refused when a run is created."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from mtl.config.retrain import load_config
from tests.support.stacks import PROJECT, Service

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def deployment(service: Service) -> dict[str, Any]:
    found: dict[str, Any] = service.api("GET", "deployments/name/retrain/demo")
    return found


def refusal(service: Service, deployment: dict[str, Any], parameters: dict[str, Any]) -> str:
    """What the server says to parameters that are wrong."""
    user, _, password = service.environment["PREFECT_API_AUTH_STRING"].partition(":")
    url = f"{service.environment['PREFECT_API_URL']}/deployments/{deployment['id']}/create_flow_run"
    answer = httpx.post(url, json={"parameters": parameters}, auth=(user, password), timeout=30)
    assert answer.status_code in (409, 422), f"{answer.status_code}: {answer.text[:500]}"
    return answer.text


def test_every_field_has_a_position_in_the_order_of_the_code(deployment: dict[str, Any]) -> None:
    definitions = deployment["parameter_openapi_schema"]["definitions"]
    for name, section in definitions.items():
        positions = {field: its.get("position") for field, its in section.get("properties", {}).items()}
        assert sorted(positions.values()) == list(range(len(positions))), f"{name}: {positions}"
    order = sorted(definitions["RetrainConfig"]["properties"].items(), key=lambda item: item[1]["position"])
    assert [name for name, _ in order][:4] == ["name", "seed", "data", "model"]


def test_fields_are_described_and_bounded(deployment: dict[str, Any]) -> None:
    definitions = deployment["parameter_openapi_schema"]["definitions"]
    train = definitions["TrainConfig"]["properties"]
    assert train["optimizer"]["enum"] == ["adamw", "adafactor"]
    assert (train["learning_rate"]["exclusiveMinimum"], train["learning_rate"]["maximum"]) == (0, 1)
    for name, section in definitions.items():
        undescribed = [field for field, its in section.get("properties", {}).items() if not its.get("description")]
        assert not undescribed, f"{name}: {undescribed}"


def test_runs_work_in_the_deployed_folder_and_copy_nothing(deployment: dict[str, Any]) -> None:
    (step,) = deployment["pull_steps"]
    assert step == {"prefect.deployments.steps.set_working_directory": {"directory": str(PROJECT)}}


def test_the_preset_is_the_shipped_configuration(deployment: dict[str, Any]) -> None:
    from mtl.config.retrain import parse_config

    assert parse_config(deployment["parameters"]["config"]) == load_config(PROJECT / "conf" / "demo.yaml")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"train": {"learning_rate": -1}}, "-1 is less than or equal to the minimum of 0"),
        ({"train": {"optimizer": "sgd"}}, "'sgd' is not one of"),
        ({"train": {"max_stepz": 4}}, "'max_stepz' was unexpected"),
        ({"seed": "many"}, "'many' is not of type 'integer'"),
        ({"lora": {"r": 0}}, "0 is less than the minimum of 1"),
    ],
)
def test_a_wrong_value_is_refused_when_the_run_is_created(
    service: Service, deployment: dict[str, Any], change: dict[str, Any], said: str
) -> None:
    assert said in refusal(service, deployment, {"config": {**deployment["parameters"]["config"], **change}})


def test_an_unknown_parameter_is_refused(service: Service, deployment: dict[str, Any]) -> None:
    assert "'colour' was unexpected" in refusal(service, deployment, {"colour": "blue"})
