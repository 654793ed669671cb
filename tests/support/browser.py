"""A person at a browser: headless Chromium, driven by Playwright through the controls that the pages show.

MTL_TEST_PICTURES=FOLDER keeps pictures of the pages.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tests.support.stacks import Service

CHROMIUM = "/usr/bin/chromium"
_QUIET = ("background-networking", "component-update", "default-apps", "extensions", "quic", "sync")
_OPTIONS = [
    *("--no-sandbox", "--no-first-run", *(f"--disable-{what}" for what in _QUIET)),
    *("--use-angle=swiftshader", "--enable-unsafe-swiftshader"),  # Prefect's graph is drawn by WebGL, without a GPU
]
_SECONDS = 30


def why_no_browser() -> str:
    """Why no browser can be driven here; '' if one can."""
    try:
        import playwright.sync_api  # noqa: F401
    except ImportError:
        return "not installed: playwright (pip install '.[browser]')"
    return "" if shutil.which(CHROMIUM) else f"not installed: {CHROMIUM} (apt-get install chromium)"


@contextmanager
def opened(service: Service) -> Iterator[Any]:
    """A page of a fresh browser that knows MLflow's password; Prefect asks for its own."""
    from playwright.sync_api import HttpCredentials, sync_playwright

    login = HttpCredentials(username="admin", password=service.environment["MLFLOW_TRACKING_PASSWORD"])
    with TemporaryDirectory() as profile, sync_playwright() as playwright:
        context = playwright.chromium.launch_persistent_context(
            profile,
            executable_path=CHROMIUM,
            args=_OPTIONS,
            viewport={"width": 1280, "height": 800},
            http_credentials=login,
        )
        context.set_default_timeout(1000 * _SECONDS)
        yield context.pages[0]
        context.close()


@contextmanager
def blank() -> Iterator[Any]:
    """A page of a fresh browser that knows nobody."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=_OPTIONS)
        page = browser.new_page(viewport={"width": 1280, "height": 800})
        page.set_default_timeout(1000 * _SECONDS)
        yield page
        browser.close()


def picture(page: Any, name: str, *, seconds: float = 1.5) -> None:
    """Keep what is shown, if somebody asked for it."""
    if folder := os.environ.get("MTL_TEST_PICTURES"):
        page.wait_for_timeout(1000 * seconds)  # what moves comes to rest
        page.screenshot(path=str(Path(folder) / f"{name}.png"))


def log_in(page: Any, service: Service) -> None:
    """To Prefect's dashboard, by its login form."""
    page.goto(prefect(service))
    page.get_by_placeholder("admin:pass").fill(service.environment["PREFECT_API_AUTH_STRING"])
    page.get_by_role("button", name="Login").click()
    page.wait_for_url("**/dashboard**")


def prefect(service: Service) -> str:
    """Address of Prefect's pages."""
    return service.environment["PREFECT_API_URL"].removesuffix("/api")


def open_form(page: Any, service: Service, deployment: str) -> None:
    """From the dashboard to the form of a run with parameters of one's own."""
    page.goto(f"{prefect(service)}/v2/dashboard")
    page.get_by_role("link", name="Deployments").click()
    page.get_by_placeholder("Search deployments").fill(deployment)  # a page shows ten of them
    page.get_by_role("link", name=deployment, exact=True).first.click()
    page.get_by_role("button", name="Run").first.click()
    page.get_by_role("menuitem", name="Custom run").click()


def paste_parameters(page: Any, config: dict[str, Any]) -> None:
    """Put a whole configuration with a seed into the form's JSON view, and go back to the fields.

    On a busy machine the editor takes a while to notice what was typed, and going back too early loses it.
    """
    for _ in range(5):
        _choose(page, "Use JSON input")
        page.locator(".cm-content").first.click()
        page.keyboard.press("Control+A")
        page.keyboard.insert_text(json.dumps(config, indent=1))
        page.wait_for_timeout(1000)
        _choose(page, "Use form input")
        seed = page.get_by_label("Seed").first
        seed.wait_for()
        if seed.input_value() == str(config["seed"]):
            return
    raise AssertionError("the form did not take the pasted configuration")


def _choose(page: Any, item: str) -> None:
    """An item of the parameters' menu, which closes again if the page is drawn anew at the wrong moment."""
    from playwright.sync_api import TimeoutError as NotInTime

    for _ in range(5):
        page.get_by_role("button", name="Open menu").first.click()
        with suppress(NotInTime):
            page.get_by_role("menuitem", name=item).click(timeout=3000)
            return
        page.keyboard.press("Escape")
    raise AssertionError(f"the menu of the parameters has no item {item!r}")
