"""The tools around the code agree with each other: make, its help, and the hooks of pre-commit."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[1]
MAKEFILE = (ROOT / "Makefile").read_text()


def hooks() -> list[dict[str, Any]]:
    (repository,) = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    assert repository["repo"] == "local", "a hook from elsewhere is fetched from the network"
    found: list[dict[str, Any]] = repository["hooks"]
    return found


def test_make_help_documents_every_target() -> None:
    (phony,) = re.findall(r"^\.PHONY: (.*)$", MAKEFILE, re.M)
    targets = set(re.findall(r"^([a-z]+):", MAKEFILE, re.M))
    assert targets == set(phony.split()) == set(re.findall(r"^([a-z]+):.*##", MAKEFILE, re.M))


def test_the_hooks_run_what_make_lint_runs() -> None:
    (recipe,) = re.findall(r"^lint:.*\n((?:\t.*\n)+)", MAKEFILE, re.M)
    lint = {line.removeprefix("$(BIN)/").removesuffix(" .") for line in recipe.replace("\t", "").splitlines()}
    run = {hook["entry"].removeprefix(".venv/bin/").removesuffix(" --force-exclude") for hook in hooks()}
    assert run == lint
    assert all(hook["language"] == "system" and hook["entry"].startswith(".venv/bin/") for hook in hooks())
