"""The documentation: reference pages are those of the code, commands exist, cheap ones run, links lead somewhere."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

from mtl.cli.main import app
from mtl.config.retrain import load_config
from mtl.settings.table import KNOWN
from tools.reference import PAGES

ROOT = Path(__file__).parents[2]
PAGES_OF_PEOPLE = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "docker/README.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
]
FENCE = re.compile(r"^```(\S+)([^\n]*)\n(.*?)^```", re.M | re.S)


@pytest.mark.parametrize("name", sorted(PAGES))
def test_reference_pages_are_up_to_date(name: str) -> None:
    assert (ROOT / "docs" / name).read_text() == PAGES[name](), "python tools/reference.py writes it"


def shell_lines() -> Iterator[tuple[str, str]]:
    """(page, command) of every `mtl` command in a shell block."""
    for page in PAGES_OF_PEOPLE:
        for language, _, text in FENCE.findall(page.read_text()):
            if language in ("sh", "bash", "console"):
                joined = text.replace("\\\n", " ")
                for line in joined.splitlines():
                    found = re.match(r'(?:\$ )?(?:[A-Z_]+=\S+ )*(?:eval "\$\()?(mtl [^"#;|&>)]*)', line.strip())
                    if found:
                        yield page.name, _whole(line, found[1])


def _whole(line: str, start: str) -> str:
    """The command up to a comment or an operator, quotes respected."""
    rest = line[line.index(start[:4]) :]
    if "$(" in line:
        return start
    words = shlex.split(rest, comments=True)
    stop = next((n for n, word in enumerate(words) if word in ("|", "&&", ">", ";")), len(words))
    return shlex.join(words[:stop])


@pytest.mark.parametrize(("page", "command"), sorted(set(shell_lines())))
def test_documented_commands_and_their_options_exist(page: str, command: str) -> None:
    found: Any = typer.main.get_command(app)
    words = shlex.split(command)[1:]
    while words and hasattr(found, "commands"):
        if words[0].startswith("-"):
            break
        assert words[0] in found.commands, f"{page}: {command}"
        found = found.commands[words.pop(0)]
    options = {option for parameter in found.params for option in (*parameter.opts, *parameter.secondary_opts)}
    for word in words:
        if word.startswith("--"):
            assert word.split("=")[0] in {*options, "--help"}, f"{page}: {command}"


def runnable() -> Iterator[Any]:
    for page in PAGES_OF_PEOPLE:
        for number, (_, options, text) in enumerate(FENCE.findall(page.read_text())):
            if "run" in options.split():
                yield pytest.param(text, id=f"{page.name}-{number}")


@pytest.mark.parametrize("text", list(runnable()))
def test_what_is_marked_runs_as_it_stands(text: str, tmp_path: Path) -> None:
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("MTL_", "MLFLOW_", "PREFECT_", "AWS_"))
    }
    environment |= {"MTL_HOME": str(tmp_path), "PYTHONPATH": str(ROOT)}
    environment["PATH"] = f"{Path(sys.executable).parent}:{environment['PATH']}"
    script = text.replace("mtl ", f"{sys.executable} -m mtl.cli ")
    done = subprocess.run(
        ["sh", "-eu"], input=script, env=environment, cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_settings_in_the_pages_are_ones_that_are_read() -> None:
    of_compose = re.findall(r"MTL_[A-Z_]+", (ROOT / "docker" / "compose.yaml").read_text())
    read = {*KNOWN, *of_compose, "MTL_TEST_S3_ENDPOINT"}
    for page in PAGES_OF_PEOPLE:
        named = set(re.findall(r"\bMTL_[A-Z][A-Z0-9_]*[A-Z0-9]\b", page.read_text()))
        assert {
            name for name in named if name not in read and not any(k.startswith(f"{name}_") for k in read)
        } == set(), page


def test_every_setting_is_in_the_reference() -> None:
    text = (ROOT / "docs" / "reference-configuration.md").read_text()
    assert all(f"`{name}`" in text for name in KNOWN)


@pytest.mark.parametrize("page", PAGES_OF_PEOPLE, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        if target.startswith(("http://", "https://", "mailto:")):
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        assert file.exists(), target
        if anchor and file.suffix == ".md":
            titles = re.findall(r"^#+ (.*)$", file.read_text(), re.M)
            slugs = {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}
            assert anchor in slugs, target


def test_shipped_configurations_name_real_fields() -> None:
    for path in (ROOT / "conf").glob("*.yaml"):
        load_config(path)
    for page in PAGES_OF_PEOPLE:
        for language, _, text in FENCE.findall(page.read_text()):
            if language == "yaml":
                assert yaml.safe_load(text) is not None


def test_the_sender_in_the_how_to_is_understood(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The Python lines of the page, sent to the receiver's own check."""
    from mtl.service.signing import verify
    from tests.support.http import serving

    blocks = FENCE.findall((ROOT / "docs" / "how-to" / "webhooks.md").read_text())
    (code,) = [text for language, _, text in blocks if language == "python"]
    monkeypatch.setenv("MTL_WEBHOOK_SECRET", "a key of sixteen and more")
    with serving() as server:
        exec(code.replace("http://127.0.0.1:4300", server.url), {})
    (asked,) = server.asked
    verify(
        "a key of sixteen and more",
        message_id=asked.headers["webhook-id"],
        timestamp=asked.headers["webhook-timestamp"],
        body=asked.body,
        signature=asked.headers["webhook-signature"],
    )
