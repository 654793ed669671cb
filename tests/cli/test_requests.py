"""Options that tasks declare: of every type, refused by what they allow, and left out at their defaults."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from mtl.cli.requests import command_line, with_request
from mtl.parameter import Parameter
from mtl.tasks import table
from mtl.tasks.table import get_task

PARAMETERS = (
    Parameter("most_words", "at most so many", 8, low=1, high=20),
    Parameter("share", "of the text", 0.5, low=0, high=1),
    Parameter("style", "how", "plain", choices=("plain", "formal")),
    Parameter("about", "what", ""),
    Parameter("bold", "or not", False),
)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Arguments -> (exit code, what the command got as its request and its own option)."""
    monkeypatch.setitem(table.TASKS, "title", replace(get_task("summarize"), name="title", request=PARAMETERS))
    app, got = typer.Typer(), []

    @app.command()
    @with_request
    def command(task: str = "title", request: dict[str, Any] | None = None, last: int = 0) -> None:
        got.append((request, last))

    def run(*arguments: str) -> tuple[int, Any]:
        got.clear()
        return CliRunner().invoke(app, [*arguments]).exit_code, got[0] if got else None

    return run


def test_what_is_said_is_asked_for(asked: Any) -> None:
    said = ("--most-words", "3", "--share", "0.25", "--style", "formal", "--about", "boats", "--bold", "--last", "1")
    request = {"most_words": 3, "share": 0.25, "style": "formal", "about": "boats", "bold": True}
    assert asked(*said) == (0, (request, 1))
    assert asked("--most-words", "8", "--easy", "2") == (0, ({"easy": 2}, 0))
    assert asked() == (0, ({}, 0))


@pytest.mark.parametrize("wrong", [("--most-words", "21"), ("--share", "2"), ("--style", "odd"), ("--easy", "-1")])
def test_what_a_parameter_does_not_allow_is_refused(asked: Any, wrong: tuple[str, str]) -> None:
    assert asked(*wrong) == (2, None)


def test_a_request_as_a_person_types_it() -> None:
    assert command_line("mcq", {"easy": 2}) == "--task mcq --easy 2"
    request = {"about": "two boats", "bold": True, "style": "formal"}
    assert command_line("title", request) == "--task title --about 'two boats' --bold --style formal"
