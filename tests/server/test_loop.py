"""The whole loop on the demo: a person corrects a summary on the page, and the next retrain has learned it.

A retrain, a warm retrain and a server: four minutes on two cores. Needs Chromium.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from mtl.metrics.rouge import rouge_scores
from mtl.pipeline.promote import promote_by_hand
from mtl.sources.demo.corpus import articles
from mtl.workspace import open_workspace
from tests.release.toy import MODEL
from tests.support.page_server import ask, opened
from tests.support.served import Server, serving, until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500)]
DEMO = Path(__file__).parents[2] / "conf" / "demo.yaml"
ARTICLE = next(iter(articles(424242, 1)))["article"]
CORRECTION = "Robert Wood, who is 54, had the statue of the bank. A camera saw three people on Saturday."


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("loop") / "home"


@pytest.fixture(scope="module")
def config(home: Path) -> Path:
    """The demo, in which feedback is a source, and each retrain after the first one starts from the champion."""
    values = yaml.safe_load(DEMO.read_text(encoding="utf-8"))
    values["data"]["sources"].append({"task": "summarize", "uri": "feedback"})
    values["data"]["mixture"]["feedback"] = 0.25
    values["register"] = {"model": MODEL}
    values["train"] |= {"from": "champion", "max_steps": 250, "warm_steps": 60}
    file = home.with_name("loop.yaml")
    file.write_text(yaml.safe_dump(values), encoding="utf-8")
    return file


def retrain(config: Path, home: Path) -> dict[str, Any]:
    environment = {**os.environ, "MTL_HOME": str(home)}
    command = [sys.executable, "-m", "mtl.cli", "retrain", "-c", str(config), "--json"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def summary(server: Server) -> str:
    return str(server.ask(ARTICLE).json()["answers"][0]["text"])


def test_from_the_page_to_a_model_that_has_learned_it(
    browser: Any, config: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = retrain(config, home)
    assert first["decision"]["promoted"], first["decision"]
    with serving(home) as server:
        before = summary(server)
        assert before != CORRECTION
        with opened(browser, str(server.http.base_url)) as tab:
            ask(tab, "summarize", ARTICLE)
            tab.get_by_label("I correct it").check()
            tab.get_by_label("As it should be").fill(CORRECTION)
            tab.get_by_role("button", name="Send feedback").click()
            tab.get_by_text("Kept: the answer as you corrected it.").wait_for()
        second = retrain(config, home)
        assert second["start"]["parent"]["version"] == 1
        assert second["dataset"]["counts"]["summarize"]["train"]["feedback"] == 1
        # One correction makes no measured metric better, so the gate keeps the champion, and a person promotes.
        monkeypatch.setenv("MTL_HOME", str(home))
        promote_by_hand(open_workspace(), MODEL, "2", force="it has learned the correction")
        until(lambda: server.version() == 2, seconds=30)
        after = summary(server)
    assert near(after) > near(before) + 0.5, after


def near(text: str) -> float:
    """rougeLsum of a text against the correction."""
    return rouge_scores(text, CORRECTION)["rougeLsum"]
