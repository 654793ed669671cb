"""Options of `mtl generate` that the tasks declare: one for each parameter that a request may have."""

from __future__ import annotations

import inspect
import shlex
from collections.abc import Callable, Mapping
from functools import wraps
from typing import Annotated, Any, Literal

import typer

from mtl.parameter import Parameter
from mtl.tasks.table import request_parameters


def with_request(command: Callable[..., None]) -> Callable[..., None]:
    """The command with an option for each request parameter instead of its parameter `request`.

    It gets {name: value} of those that are not at their default, so that the task's own default holds for the others.
    """
    known = request_parameters()

    @wraps(command)
    def wrapper(**given: Any) -> None:
        asked = {name: given.pop(name) for name in known}
        request = {name: value for name, value in asked.items() if value != known[name][0].default}
        command(**given, request=request)

    own = inspect.signature(command, eval_str=True)
    options = [_option(parameter, tasks) for parameter, tasks in known.values()]
    at = list(own.parameters).index("request")
    others = [parameter for parameter in own.parameters.values() if parameter.name != "request"]
    wrapper.__signature__ = own.replace(parameters=[*others[:at], *options, *others[at:]])  # type: ignore[attr-defined]
    return wrapper


def _option(parameter: Parameter, tasks: str) -> inspect.Parameter:
    kind: Any = Literal[parameter.choices] if parameter.choices else parameter.kind
    help_ = f"{tasks}: {parameter.description}"
    annotation = Annotated[kind, typer.Option(min=parameter.low, max=parameter.high, help=help_)]
    return inspect.Parameter(
        parameter.name, inspect.Parameter.POSITIONAL_OR_KEYWORD, default=parameter.default, annotation=annotation
    )


def command_line(task: str, request: Mapping[str, Any]) -> str:
    """How a person asks for this: `--task mcq --easy 1`."""
    return " ".join([f"--task {task}", *(_said(name.replace("_", "-"), value) for name, value in request.items())])


def _said(name: str, value: Any) -> str:
    if isinstance(value, bool):
        return f"--{name}" if value else f"--no-{name}"
    return f"--{name} {shlex.quote(str(value))}"
