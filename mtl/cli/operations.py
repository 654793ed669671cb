"""The commands of whoever runs the service: doctor, status, webhooks, version. Imported with the others, so lightly."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from mtl.cli import terminal
from mtl.settings.environment import give_home
from mtl.settings.file import apply_settings_file

Json = Annotated[bool, typer.Option("--json", help="print one JSON document, last on standard output")]
JsonErrors = Annotated[bool, typer.Option("--json", help="print an error as one JSON document on standard output")]

Conf = Annotated[Path, typer.Option("--config", "-c", help="configuration file, e.g. conf/demo.yaml")]
stack = typer.Typer(help="Run the whole service on this machine: PostgreSQL, S3, MLflow, Prefect and a worker.")


def register(app: typer.Typer) -> None:
    """Add the commands of this file to `app`."""
    app.callback(help=app.info.help)(_options)
    app.add_typer(stack, name="stack", no_args_is_help=True)
    for command in (deploy, doctor, drift, init, status, webhooks):
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
    """Before any command, but not before the help of `mtl` itself, which would wait for the settings file."""
    give_home()
    apply_settings_file()


def init(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A new or empty folder.")],
    as_json: Json = False,
) -> None:
    """Create a project folder with a configuration for your own data, a settings file and a README."""
    from mtl.cli import starting

    terminal.show(starting.init(folder), as_json, starting.init_text)


def doctor(
    config: Annotated[
        Path | None, typer.Option("--config", "-c", help="Also check this configuration, its data, base and tokenizer.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Check everything that could stop a retrain, and say how to fix it. Exit with 1 if there is a fault."""
    from mtl.cli import health

    result = health.doctor(config, tell=None if as_json else health.tell)
    terminal.show(result, as_json, partial(health.doctor_text, config=config))
    if not result["ok"]:
        raise typer.Exit(1)


def drift(config: Conf, as_json: Json = False) -> None:
    """Compare new rows and logged requests with the champion's training data, and write a page with plots."""
    from mtl.cli import drifting

    terminal.show(drifting.drift(config), as_json, drifting.drift_text)


def status(
    name: Annotated[str, typer.Option("--name", help="registered model")] = "mtl-flan-t5", as_json: Json = False
) -> None:
    """Show the last runs, the champion, the next schedule, the queue, the disk, and what needs your attention."""
    from mtl.cli import health

    terminal.show(health.status(name), as_json, health.status_text)


def webhooks(
    host: Annotated[str, typer.Option(help="address to listen on")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535, help="port to listen on")] = 4300,
    url: Annotated[str | None, typer.Option(help="Public address, behind a proxy with TLS.")] = None,
    register: Annotated[
        bool, typer.Option("--register", help="Register a webhook in MLflow for moved aliases.")
    ] = False,
    name: Annotated[str, typer.Option("--name", help="registered model, for the metrics")] = "mtl-flan-t5",
    as_json: JsonErrors = False,
) -> None:
    """Receive signed webhooks (a moved alias in MLflow, new data), start the matching flow, and serve metrics."""
    from mtl.cli import receiving

    receiving.serve(host, port, public_url=url, register=register, name=name)


@stack.command("up")
def stack_up(
    store: Annotated[
        str | None,
        typer.Option(help="a folder, or s3://bucket/prefix with AWS_* set; default: an S3 server of its own"),
    ] = None,
    as_json: Json = False,
) -> None:
    """Start the services that are not running, wait until all are healthy, and print addresses and logins."""
    from mtl.cli import stack as commands

    terminal.show(commands.up(store), as_json, commands.status_text)


@stack.command("status")
def stack_status(as_json: Json = False) -> None:
    """Show the services, their addresses and logins. Exit with 1 if one is not healthy."""
    from mtl.cli import stack as commands

    result = commands.status()
    terminal.show(result, as_json, commands.status_text)
    if not result["healthy"]:
        raise typer.Exit(1)


@stack.command("env")
def stack_env(as_json: Json = False) -> None:
    """Print the environment variables of the stack, logins included: eval "$(mtl stack env)"."""
    from mtl.cli import stack as commands

    terminal.show(commands.env(), as_json, commands.env_text)


@stack.command("rotate")
def stack_rotate(as_json: Json = False) -> None:
    """Create new passwords and keys for a stack that is down. The next `mtl stack up` uses them."""
    from mtl.cli import stack as commands

    terminal.show(commands.rotate(), as_json, commands.rotate_text)


@stack.command("down")
def stack_down(
    wait: Annotated[float, typer.Option(min=0, help="Seconds that runs have to end before an interruption.")] = 30.0,
    as_json: Json = False,
) -> None:
    """Stop the services. Runs end first, or are interrupted at a safe point. Data are kept."""
    from mtl.cli import stack as commands

    terminal.show(commands.down(wait), as_json, commands.down_text)


def deploy(
    config: Annotated[
        Path | None,
        typer.Option(
            "--config",
            "-c",
            help="configuration of retrain/nightly, weekly-full and the polls; default: the deployed one, at first "
            "demo",
        ),
    ] = None,
    cron: Annotated[
        str | None, typer.Option(help="when retrain/nightly runs; default: as deployed, at first 0 3 * * *")
    ] = None,
    timezone: Annotated[
        str | None,
        typer.Option(help="time zone of all schedules, e.g. Europe/Berlin; default: as deployed, at first UTC"),
    ] = None,
    as_json: Json = False,
) -> None:
    """Register deployments, schedules, limits and automations with the server of PREFECT_API_URL, and say what changed.

    An option that is not given keeps what is deployed.
    """
    from mtl.cli import stack as commands

    terminal.show(commands.deploy(config, cron, timezone), as_json, commands.deploy_text)
