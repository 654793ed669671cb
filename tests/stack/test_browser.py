"""What people do in a browser, done in one: fill the form, read the run, move an alias in MLflow, approve, refuse.

MTL_TEST_PICTURES=docs/img pytest -m slow tests/stack/test_browser.py     # makes the pictures of the documentation anew
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from tests.support.browser import log_in, open_form, opened, paste_parameters, picture, prefect, why_no_browser
from tests.support.stacks import Service

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(600),
    pytest.mark.skipif(bool(why_no_browser()), reason=why_no_browser()),
]
SECONDS_TO_RELEASE = 30
ROWS = {"train": 300, "validation": 80}


@dataclass(frozen=True)
class Submitted:
    """A run that was started by the form: the address of its page and the model that it trains."""

    address: str
    model: str


def values(model: str, *, approval: str = "auto", steps: int = 50) -> dict[str, Any]:
    """A retrain of half a minute, good enough to pass the gate while there is no champion."""
    return {
        "name": "browser",
        "seed": 5,
        "data": {
            "sources": [{"task": task, "uri": "demo", "rows": ROWS} for task in ("summarize", "mcq")],
            "mixture": {"kind": "explicit", "rates": {"summarize": 0.6, "mcq": 0.4}},
            "max_input_tokens": 256,
            "max_target_tokens": 208,
        },
        "model": {"base": "demo"},
        "lora": {"r": 16, "alpha": 32, "dropout": 0.0, "target_modules": "all-linear"},
        "train": {
            "max_steps": steps,
            "max_tokens_per_batch": 3000,
            "learning_rate": 0.005,
            "warmup_steps": 5,
            "save_steps": 10,
            "threads": 1,
        },
        "gate": {"approval": approval, "approval_hours": 1},
        "register": {"model": model, "experiment": model},
    }


def unused(service: Service, name: str) -> str:
    """The name of a model that has no version yet, on a stack that is kept too."""
    names = (name if number == 1 else f"{name}-{number}" for number in range(1, 100))
    return next(found for found in names if not service.versions(found))


def journal(service: Service, model: str) -> dict[str, Any]:
    """The newest entry about who is champion; {} for a model that never had one."""
    keys = sorted(service.keys(f"releases/{model}/log/"))
    return json.loads(service.read(keys[-1])) if keys else {}


@pytest.fixture(scope="module")
def page(service: Service) -> Iterator[Any]:
    with opened(service) as found:
        log_in(found, service)
        yield found


@pytest.fixture(scope="module")
def submitted(service: Service, page: Any) -> Submitted:
    """The form of retrain/demo, filled and sent; done once its run completed."""
    model = unused(service, "news-and-questions")
    open_form(page, service, "demo")
    paste_parameters(page, values("overwritten-below"))
    page.get_by_label("Name (Optional)", exact=True).first.fill("from-the-form")
    steps = page.get_by_label("Max Steps")
    steps.fill("0")
    page.get_by_role("button", name="Submit").click()
    assert "greater than or equal to 1" in steps.evaluate("field => field.validationMessage")
    steps.fill("60")
    page.get_by_label("Experiment (Optional)").fill(model)
    page.get_by_label("Model (Optional)", exact=True).fill(model)
    page.get_by_label("Name (Optional)", exact=True).first.scroll_into_view_if_needed()
    picture(page, "prefect-form")
    page.get_by_role("button", name="Submit").click()
    page.get_by_role("button", name="View run").click()
    page.wait_for_url("**/runs/flow-run/**")
    page.get_by_role("tab", name="Logs").wait_for()
    address = page.url.partition("?")[0]
    page.goto("about:blank")  # the moving graph, drawn without a GPU, takes a core from the training
    run = service.wait(address.rpartition("/")[2])
    assert run["parameters"]["config"]["train"]["max_steps"] == 60
    assert run["parameters"]["config"]["name"] == "from-the-form"
    assert run["parameters"]["config"]["seed"] == 5  # what was pasted
    return Submitted(address, model)


def test_the_run_that_the_form_started_shows_its_steps(page: Any, submitted: Submitted) -> None:
    page.goto(submitted.address)
    page.get_by_text("Completed", exact=True).first.wait_for()
    page.get_by_role("tab", name="Task Runs").click()
    for step in ("prepare", "train", "evaluate", "register", "gate", "promote"):
        page.get_by_text(re.compile(f"^{step}-")).first.wait_for()
    picture(page, "prefect-run", seconds=15)  # the graph takes its time without a GPU


def test_its_artifacts_read_well(page: Any, submitted: Submitted) -> None:
    def show(name: str) -> str:
        page.goto(f"{submitted.address}?tab=Artifacts")
        page.get_by_text(name, exact=True).first.click()
        page.wait_for_url("**/artifacts/key/**")
        artifact = page.locator("a[href*='/artifacts/artifact/']")
        of_this_run = page.locator(f"a[href*='{submitted.address.rpartition('/')[2]}']")
        page.locator("div").filter(has=of_this_run).filter(has=artifact).last.locator(artifact).first.click()
        page.get_by_role("tab", name="Raw").wait_for()
        page.wait_for_timeout(1000)
        return str(page.inner_text("main"))

    assert "100" in show("train-progress")
    assert re.search(r"mcq\s+train\s+\d+", show("dataset"))
    assert re.search(r"summarize\s+rougeLsum\s+\d\.\d{4}\s+\d\.\d{4}", show("metrics"))  # a page has ten rows
    picture(page, "prefect-metrics")
    report = show("report")
    assert "Passed the gate" in report and "rougeLsum is better than the base's" in report
    assert "|" not in report  # tables are drawn
    picture(page, "prefect-report")
    places = show("places")
    assert f"s3://mtl/store/releases/{submitted.model}/v1" in places
    page.get_by_role("link", name=f"{submitted.model} v1").click()


def test_mlflow_shows_version_metrics_data_set_and_aliases(page: Any, service: Service, submitted: Submitted) -> None:
    open_version(page, service, submitted.model, 1)
    shown = page.inner_text("main")
    assert {"champion", "candidate"} == set(re.findall(r"@\s*(\w+)", shown))
    assert "adapter_sha256" in shown
    assert "v1 passed the gate. It is champion since" in shown
    assert "rougeLsum is better than the base's" in shown
    picture(page, "mlflow-version")
    page.get_by_role("link", name=re.compile("^retrain-")).first.click()
    page.get_by_role("tab", name="Overview").click()
    page.get_by_text("Datasets", exact=True).last.wait_for()
    shown = page.inner_text("main")
    assert "Gate/summarize rougeLsum difference" in shown
    assert "a person in Prefect (retrain/demo)" in shown
    assert re.search(r"from-the-form \(\w+\)\s+Train", shown)
    assert re.search(rf"{submitted.model}\s+v1", shown)
    picture(page, "mlflow-run")


def test_an_alias_moved_in_mlflow_leads_to_the_release(
    page: Any, service: Service, submitted: Submitted, record_property: Callable[[str, object], None]
) -> None:
    model = submitted.model
    service.wait(service.trigger("retrain/demo", {"config": values(model, steps=10)}))
    assert journal(service, model)["version"] == 1  # ten steps are worse than sixty
    for version in (2, 1):  # there and back
        open_version(page, service, model, version)
        page.locator("[data-component-id*='modelversionviewaliaseditor']").first.click()
        dialog = page.get_by_role("dialog")
        dialog.get_by_role("combobox").fill("champion")
        page.keyboard.press("Enter")
        if version == 2:
            picture(page, "mlflow-alias")
        dialog.get_by_role("button", name="Save aliases").click()
        began = time.monotonic()
        while journal(service, model)["version"] != version:
            assert time.monotonic() - began < SECONDS_TO_RELEASE, service.log("webhooks") + service.log("worker")
            time.sleep(0.2)
        took = time.monotonic() - began
        record_property(f"seconds_to_v{version}", round(took, 1))
        assert journal(service, model)["actor"] == "mlflow"


@pytest.mark.parametrize("approve", [True, False], ids=["approved", "refused"])
def test_a_person_decides_in_prefects_form(page: Any, service: Service, approve: bool) -> None:
    model = unused(service, "by-hand")
    run = service.trigger("retrain/demo", {"config": values(model, approval="manual")})
    service.until(run, lambda found: found["state_name"] == "Suspended")
    assert journal(service, model) == {}
    open_version(page, service, model, 1)
    page.get_by_role("link", name="Report", exact=True).wait_for()
    assert page.get_by_role("link", name=re.compile("^Prefect run ")).first.get_attribute("href").endswith(run)
    if approve:
        picture(page, "mlflow-waiting")
    page.goto(f"{prefect(service)}/v2/runs")
    page.locator(f"a[href*='{run}']").first.click()
    page.get_by_text("Suspended", exact=True).first.wait_for()
    page.get_by_role("button", name="Open menu").first.click()
    page.get_by_role("menuitem", name="Resume").click()
    form = page.get_by_role("dialog")
    form.get_by_text(f"Make {model} v1 champion?").wait_for()
    assert form.get_by_role("link", name="report").get_attribute("href").endswith("evaluation/report.html")
    form.get_by_label("Name").fill("Ann")
    form.get_by_label("Reason").fill("reads well" if approve else "too few questions")
    form.get_by_role("button", name="Resume").click()  # nothing is decided yet
    page.get_by_text("'decision' is a required property").wait_for()
    assert service.api("GET", f"flow_runs/{run}")["state_name"] == "Suspended"
    form.get_by_role("button", name="Select Decision").click()
    page.get_by_role("option", name="approve" if approve else "refuse").click()
    if approve:
        picture(page, "prefect-approval")
    form.get_by_role("button", name="Resume").click()
    page.get_by_text("Flow run resumed").wait_for()
    page.goto("about:blank")
    service.wait(run)
    (version,) = service.versions(model)
    tags = {tag["key"]: tag["value"] for tag in version["tags"]}
    said = json.loads(tags["decision_reasons"])[0]
    if approve:
        assert (tags["decision"], said) == ("approved", "Approved by Ann: reads well")
        assert (journal(service, model)["version"], journal(service, model)["actor"]) == (1, "Ann")
    else:
        assert (tags["decision"], said) == ("refused", "Refused by Ann: too few questions")
        assert journal(service, model) == {}


def test_the_short_form_starts_a_run(page: Any, service: Service) -> None:
    open_form(page, service, "short")
    for field in ("configuration", "steps", "learning_rate", "approval", "reason"):
        page.get_by_text(re.compile(f"^{field}( \\(Optional\\))?$", re.IGNORECASE)).first.wait_for()
    assert 'Property is type "None"' not in page.inner_text("main")
    page.get_by_label(re.compile("^steps", re.IGNORECASE)).fill("20")
    page.get_by_label(re.compile("^reason", re.IGNORECASE)).fill("to see the short form")
    picture(page, "prefect-short-form")
    page.get_by_role("button", name="Submit").click()
    page.get_by_role("button", name="View run").click()
    page.wait_for_url("**/runs/flow-run/**")
    run = service.until(page.url.partition("?")[0].rpartition("/")[2], lambda found: found["start_time"] is not None)
    page.get_by_text("started because: to see the short form").first.wait_for()
    page.goto("about:blank")
    service.api("POST", f"flow_runs/{run['id']}/set_state", {"state": {"type": "CANCELLING"}})
    given = {name: value for name, value in run["parameters"].items() if value not in (None, "")}
    assert given == {
        "configuration": "demo",
        "steps": 20,
        "approval": "as configured",
        "reason": "to see the short form",
    }


def test_the_page_of_a_waiting_run_names_the_run_that_it_waits_for(page: Any, service: Service) -> None:
    new = {"seed": int(time.time()) % 2**31}  # nobody trained this yet, on a stack that is kept too
    first = service.trigger("retrain/demo", {"config": values(unused(service, "has-the-device"), steps=600) | new})
    holder = service.until(first, lambda found: found["state_name"] == "Running")["name"]
    service.until(first, lambda found: said(service, found["id"], "train-progress") is not None)
    device = service.trigger(
        "retrain/nightly", {"config": values(unused(service, "wants-the-device"), steps=700) | new}
    )
    queued = service.trigger("retrain/demo", {"config": values(unused(service, "is-queued"))})
    try:
        service.until(device, lambda found: said(service, found["id"], "waiting-progress") is not None, seconds=120)
        service.until(queued, lambda found: said(service, found["id"], "waiting-progress") is not None, seconds=120)
        shown = {run["id"]: run["progress"] for run in service.mtl("status")["runs"]}
        page.goto(f"{prefect(service)}/v2/runs/flow-run/{device}?tab=Logs")
        line = page.get_by_text(f"waits for demo run {holder}, which has the device").first
        line.wait_for()
        line.scroll_into_view_if_needed()
        picture(page, "prefect-waiting", seconds=5)
        page.goto(f"{prefect(service)}/v2/runs/flow-run/{queued}?tab=Logs")
        page.get_by_text(f"waits for demo run {holder}: retrain/demo runs once at a time").first.wait_for()
        page.goto("about:blank")
        assert f"waits for demo run {holder}, which has the device" in shown[device]
        assert f"waits for demo run {holder}: retrain/demo runs once at a time" in shown[queued]
    finally:
        service.api("POST", f"flow_runs/{queued}/set_state", {"state": {"type": "CANCELLED"}, "force": True})
        for run in (device, first):
            service.api("POST", f"flow_runs/{run}/set_state", {"state": {"type": "CANCELLING"}})
        for run in (device, first):
            while service.api("GET", f"flow_runs/{run}")["state_name"] == "Cancelling":
                time.sleep(1)


def said(service: Service, run: str, key: str) -> str | None:
    """What an artifact of a run says."""
    wanted = {"artifacts": {"flow_run_id": {"any_": [run]}, "key": {"any_": [key]}}}
    found = service.api("POST", "artifacts/filter", wanted)
    return str(found[0]["description"]) if found else None


def open_version(page: Any, service: Service, model: str, version: int) -> None:
    """A version's page in MLflow, its assistant out of the way."""
    page.goto(f"{service.environment['MLFLOW_TRACKING_URI']}/#/models/{model}/versions/{version}")
    page.get_by_role("heading", name=f"Version {version}").wait_for()
    page.wait_for_timeout(2000)
    assistant = page.locator("[data-component-id='mlflow.assistant.chat_panel.close']")
    if assistant.is_visible():
        assistant.click()
