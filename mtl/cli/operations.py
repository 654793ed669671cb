"""The commands of whoever runs the service: doctor, status, webhooks, version. Imported with the others, so lightly."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mtl.cli import terminal

Json = Annotated[bool, typer.Option("--json", help="print one JSON document, last on standard output")]


def register(app: typer.Typer) -> None:
    """Add the commands of this file to `app`."""
    app.callback(help=app.info.help)(_options)
    for command in (doctor, status, webhooks):
        app.command()(command)


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        print(f"mtl {version('mtl-retrain')}")
        raise typer.Exit


def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="print the version and stop")
    ] = False,
) -> None:
    """Options of `mtl` itself; they act by their callbacks."""


def doctor(
    config: Annotated[
        Path | None, typer.Option("--config", "-c", help="also check this configuration, its base and tokenizer")
    ] = None,
    as_json: Json = False,
) -> None:
    """Check settings, versions, databases, servers, store, clock, disk, memory, device and base; exit 1 on a fault."""
    from mtl.cli import health

    result = health.doctor(config, tell=None if as_json else health.tell)
    terminal.show(result, as_json, health.doctor_text)
    if not result["ok"]:
        raise typer.Exit(1)


def status(
    name: Annotated[str, typer.Option("--name", help="registered model")] = "mtl-flan-t5", as_json: Json = False
) -> None:
    """One place to look: last runs, champion, next schedule, queue, disk, and what needs somebody."""
    from mtl.cli import health

    terminal.show(health.status(name), as_json, health.status_text)


def webhooks(
    host: Annotated[str, typer.Option(help="address to listen on")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535, help="port to listen on")] = 4300,
    url: Annotated[str | None, typer.Option(help="address that others reach it at, through a proxy with TLS")] = None,
    register: Annotated[bool, typer.Option("--register", help="have MLflow post moved aliases here")] = False,
    name: Annotated[str, typer.Option("--name", help="registered model, for the metrics")] = "mtl-flan-t5",
) -> None:
    """Receive signed posts (a moved alias in MLflow, new data) and start the flow that follows; serve metrics."""
    from mtl.cli import receiving

    receiving.serve(host, port, public_url=url, register=register, name=name)
