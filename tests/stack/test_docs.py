"""The how-tos, word for word."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from mtl.config.retrain import parse_config
from tests.support.stacks import PROJECT, RARELY, Service

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


def blocks(page: str, language: str) -> list[str]:
    """Code of a page."""
    return re.findall(rf"```{language}\n(.*?)```", (PROJECT / "docs" / page).read_text(), re.DOTALL)


def shell(service: Service, script: str) -> subprocess.CompletedProcess[str]:
    """What a reader would type, with the stack's environment set."""
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    return subprocess.run(
        ["bash", "-c", script],
        env={**os.environ, **service.environment, "PATH": path},
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=False,
    )


def test_schedule(service: Service) -> None:
    (script,) = blocks("how-to/schedule.md", "sh")
    done = shell(service, script)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "retrain/nightly" in done.stdout
    (schedule,) = service.api("GET", "deployments/name/retrain/nightly")["schedules"]
    assert (schedule["schedule"]["cron"], schedule["schedule"]["timezone"]) == ("0 3 * * 1-5", "Europe/Berlin")
    assert schedule["active"] is True
    service.mtl("deploy", "--cron", RARELY)


def test_a_schedule_that_was_switched_off_stays_off(service: Service) -> None:
    deployment = service.api("GET", "deployments/name/retrain/nightly")
    (schedule,) = deployment["schedules"]
    path = f"deployments/{deployment['id']}/schedules/{schedule['id']}"
    service.api("PATCH", path, {"active": False})
    try:
        service.mtl("deploy")
        (after,) = service.api("GET", "deployments/name/retrain/nightly")["schedules"]
        assert after["active"] is False
    finally:  # other tests look at what is scheduled
        service.api("PATCH", path, {"active": True})


def test_the_approval_of_the_how_to_is_a_configuration() -> None:
    (text,) = blocks("how-to/approve.md", "yaml")
    demo = yaml.safe_load((PROJECT / "conf" / "demo.yaml").read_text())
    gate = parse_config({**demo, **yaml.safe_load(text)}).gate
    assert (gate.approval, gate.approval_hours) == ("manual", 72)


def test_rolling_back_without_a_previous_champion_says_so(service: Service) -> None:
    (script,) = blocks("how-to/roll-back.md", "sh")
    done = shell(service, script)
    assert done.returncode == 2
    assert "no previous champion" in done.stderr


def test_the_passwords_are_where_the_runbook_says(service: Service) -> None:
    row = next(
        line for line in (PROJECT / "docs" / "operations.md").read_text().splitlines() if "Prefect's pass" in line
    )
    command = re.findall(r"`(python3 .*?)`", row)[0].replace(".mtl/", f"{service.home}/")
    done = subprocess.run(shlex.split(command), capture_output=True, text=True, check=True)
    assert f"admin:{done.stdout.strip()}" == service.environment["PREFECT_API_AUTH_STRING"]
