"""`mtl generate`: its options are the parameters of requests that the tasks declare."""

from __future__ import annotations

import sys
from functools import cache
from pathlib import Path
from typing import Annotated, Any

import typer

from mtl.cli import releases, terminal
from mtl.cli.operations import Json
from mtl.cli.requests import with_request
from mtl.config.register import RegisterConfig
from mtl.decoding import Decoding
from mtl.tasks.table import names_in_words


@cache
def command() -> Any:
    """The command, as typer makes it."""
    alone = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    alone.command("generate")(generate)
    return typer.main.get_command(alone)


@with_request
def generate(
    file: Annotated[
        Path | None,
        typer.Argument(
            help="a text in UTF-8, or a table of many (.jsonl, .json, .csv, .parquet; column text or article); "
            "default: standard input"
        ),
    ] = None,
    task: Annotated[str, typer.Option(help=names_in_words())] = "summarize",
    request: dict[str, Any] | None = None,  # an option for each parameter of the tasks stands here
    model: Annotated[str, typer.Option(help="champion, candidate, vN, a run, or a folder")] = "champion",
    max_new_tokens: Annotated[int | None, typer.Option(min=1, help="default: as trained")] = None,
    candidates: Annotated[
        int,
        typer.Option(
            help="number of answers to draw; only questions whose key the base confirms are kept (1: one greedy answer)"
        ),
    ] = 1,
    num_beams: Annotated[int, typer.Option(help="number of beams of beam search; 1 is greedy decoding")] = 1,
    length_penalty: Annotated[
        float, typer.Option(help="with beam search: the score of a beam is divided by its length to this power")
    ] = 1.0,
    truncate: Annotated[bool, typer.Option(help="cut a text over the limit instead of refusing it")] = False,
    lines: Annotated[bool, typer.Option("--lines", help="standard input is JSON lines, one text each")] = False,
    name: Annotated[str, typer.Option("--name", help="registered model")] = RegisterConfig().model,
    as_json: Json = False,
) -> None:
    """Answer one text as a task asks for it, such as with a summary; or many, with a JSON line for each."""
    options: dict[str, Any] = {
        "name": name,
        "ref": model,
        "max_new_tokens": max_new_tokens,
        "truncate": truncate,
        "decoding": Decoding(num_beams=num_beams, length_penalty=length_penalty, candidates=candidates),
    }
    if lines or (file is not None and releases.is_table(file)):
        summary = releases.generate_many(file, task, request, **options, out=sys.stdout)
        if as_json:
            terminal.print_json(summary)
    else:
        terminal.show(releases.generate(file, task, request, **options), as_json, releases.generate_text)
