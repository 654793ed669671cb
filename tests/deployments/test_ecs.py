"""The ECS template: rendered as Prefect renders it, and checked against the model of AWS's API."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import botocore.session
import pytest
from botocore.validate import ParamValidator
from jsonschema import Draft202012Validator
from prefect.utilities.templating import apply_values, find_placeholders

GIVEN = {
    "cluster": "arn:aws:ecs:eu-central-1:123456789012:cluster/mtl",
    "vpc_id": "vpc-1",
    "subnets": ["subnet-1"],
    "security_groups": ["sg-1"],
    "execution_role_arn": "arn:aws:iam::123456789012:role/mtl-start",
    "task_role_arn": "arn:aws:iam::123456789012:role/mtl-run",
    "secrets": [{"name": "PREFECT_API_AUTH_STRING", "valueFrom": "arn:aws:secretsmanager:eu-central-1:1:secret:x"}],
}


def template() -> dict[str, Any]:
    return dict(json.loads(Path("deployments/ecs/pool.json").read_text()))


@pytest.fixture(scope="module")
def rendered() -> dict[str, Any]:
    found = template()
    properties = found["variables"]["properties"]
    values = {key: schema["default"] for key, schema in properties.items() if "default" in schema} | GIVEN
    Draft202012Validator(found["variables"]).validate(values)
    made: dict[str, Any] = apply_values(found["job_configuration"], values)
    # What the worker does with Prefect's forms of these before it calls AWS.
    request = made["task_run_request"]
    container = request["overrides"]["containerOverrides"][0]
    container["command"] = container["command"].split()
    container["environment"] = [{"name": name, "value": value} for name, value in container["environment"].items()]
    request["tags"] = [{"key": key, "value": value} for key, value in request["tags"].items()]
    return made


@pytest.mark.parametrize(
    ("operation", "part"), [("RunTask", "task_run_request"), ("RegisterTaskDefinition", "task_definition")]
)
def test_aws_would_take_the_requests(rendered: dict[str, Any], operation: str, part: str) -> None:
    model = botocore.session.get_session().get_service_model("ecs").operation_model(operation)
    request = dict(rendered[part])
    if operation == "RunTask":
        request["taskDefinition"] = "mtl-run:1"
    assert model.input_shape is not None
    report = ParamValidator().validate(request, model.input_shape)
    assert not report.has_errors(), report.generate_report()
    wrong = ParamValidator().validate(request | {"notAField": 1}, model.input_shape)
    assert wrong.has_errors()


def test_every_variable_is_used_and_every_placeholder_is_a_variable() -> None:
    found = template()
    used = {place.name for place in find_placeholders(json.dumps(found["job_configuration"]))}
    assert used == set(found["variables"]["properties"])


def test_it_is_unprivileged_and_has_time_for_a_checkpoint(rendered: dict[str, Any]) -> None:
    (container,) = rendered["task_definition"]["containerDefinitions"]
    assert container["readonlyRootFilesystem"] is True
    assert container["user"] == "10001:10001"
    assert container["linuxParameters"]["capabilities"] == {"drop": ["ALL"]}
    assert 60 <= container["stopTimeout"] <= 120  # Fargate's most
    environment = rendered["task_run_request"]["overrides"]["containerOverrides"][0]["environment"]
    assert {"name": "PREFECT_FLOW_RUN_EXECUTE_SIGTERM_BEHAVIOR", "value": "reschedule"} in environment
