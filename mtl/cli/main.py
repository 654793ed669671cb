"""The commands. Heavy libraries are imported inside the command that needs them, so that help answers at once."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from mtl.cli import feedback, operations, private, signatures, terminal
from mtl.errors import InputError, InternalError, InterruptedByUser, MtlError, PreemptedError
from mtl.redact import clean as redact
from mtl.settings import bypass_proxy_for_loopback
from mtl.shortages import explained

app = typer.Typer(
    name="mtl",
    help="Retrain a multitask FLAN-T5 LoRA adapter, and promote a new version only if it beats the current one.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

Conf = Annotated[Path, typer.Option("--config", "-c", help="configuration file, e.g. conf/demo.yaml")]
Json = Annotated[bool, typer.Option("--json", help="print one JSON document, last on standard output")]
Model = Annotated[str, typer.Option("--name", help="registered model")]
DEFAULT_MODEL = "mtl-flan-t5"
checkpoints = typer.Typer(help="List, verify and prune the checkpoints in the object store.")
app.add_typer(checkpoints, name="checkpoints", no_args_is_help=True)
app.add_typer(feedback.commands, name="feedback", no_args_is_help=True)
Run = Annotated[str | None, typer.Option("--run", help="Identity of one run, or its first characters.")]
# Base of what typer raises for a wrong command line; newer ones carry a click of their own, so it is not imported.
_ClickError: Any = typer.BadParameter.__mro__[2]
_REFUSED = "the operating system refused this: check the path, its permissions and the free disk space."
_FAULT = "this is a bug in mtl, not an error in your input."


def main() -> None:
    """Entry point: runs a command and turns errors into a message (or JSON) and an exit code."""
    terminal.quiet_libraries()
    terminal.print_whatever_the_encoding()
    private.begin()
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Run one command line; its exit code. With `--json`, whatever goes wrong is a JSON document on standard output."""
    as_json = "--json" in arguments
    bypass_proxy_for_loopback()
    try:
        code = app(arguments, standalone_mode=False)
        sys.stdout.flush()
        if code == InterruptedByUser.exit_code:  # what typer makes of Ctrl-C
            raise KeyboardInterrupt
        return code if isinstance(code, int) else 0
    except typer.Exit as stop:
        return stop.exit_code
    except (Exception, KeyboardInterrupt, SystemExit) as error:
        return _failed(error, as_json=as_json)


def _failed(error: BaseException, *, as_json: bool) -> int:
    """Tell what ended a command; its exit code."""
    if isinstance(error, BrokenPipeError) or isinstance(error.__context__, BrokenPipeError):
        terminal.close_output()  # whoever read it has gone, as `head` does
        return 1
    told = _told(error)
    if told.kind == "internal":
        terminal.print_traceback(error)
    terminal.print_error(told, as_json=as_json)
    return told.exit_code


def _told(error: BaseException) -> MtlError:
    """The error as one of ours."""
    if isinstance(error, MtlError):
        return error
    if isinstance(error, _ClickError):
        usage: Any = error
        return InputError(usage.format_message() or "no command", hint="see mtl --help, or mtl COMMAND --help")
    if isinstance(error, (typer.Abort, KeyboardInterrupt)):
        return InterruptedByUser("interrupted", hint="run the same command again to resume")
    lack = explained(error)
    if lack is not None:
        return lack
    refused = isinstance(error, OSError)
    cause = _REFUSED if refused else _FAULT
    hint = f"{cause} The traceback on standard error shows where it happened"
    return InternalError(f"{type(error).__name__}: {redact(str(error))}", hint=hint)


@app.command()
def retrain(config: Conf, as_json: Json = False) -> None:
    """Prepare, train, evaluate, register, decide and promote: the Prefect flow, run in this process."""
    from mtl.cli import work

    result = work.retrain(config)
    terminal.show(result, as_json, work.retrain_text)


@app.command()
def prepare(
    config: Annotated[Path | None, typer.Option("--config", "-c", help="configuration file")] = None,
    explain: Annotated[
        str | None, typer.Option(metavar="ID", help="Describe a prepared data set, with real examples.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Prepare the data set, unless it exists already, and print its manifest."""
    from mtl.cli import work

    if explain is not None:
        terminal.show(work.explain(explain), as_json, work.explain_text)
    elif config is None:
        raise InputError("no configuration", field="config", hint="use mtl prepare -c CONF or mtl prepare --explain ID")
    else:
        terminal.show(work.prepare(config), as_json, partial(work.prepare_text, config=config))


@app.command()
def train(
    config: Conf,
    dataset: Annotated[str | None, typer.Option(help="Fingerprint of a data set. By default it is prepared.")] = None,
    resume: Annotated[
        str | None, typer.Option(help="Identity of the run to resume, or its first characters. Refused if it differs.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Train, or resume an interrupted run; print the run's identity, its steps and the adapter's sha256."""
    from mtl.cli import work

    terminal.show(work.train(config, dataset, resume), as_json, work.train_text)


@app.command()
def evaluate(
    config: Conf,
    model: Annotated[str, typer.Option(help="champion, candidate, vN, a run, or a folder")] = "candidate",
    against: Annotated[str | None, typer.Option(help="Another model to compare with, example by example.")] = None,
    as_json: Json = False,
) -> None:
    """Evaluate a model on the held-out split, together with its base and, if given, another model."""
    from mtl.cli import work

    terminal.show(work.evaluate(config, model, against), as_json, work.evaluate_text)


@app.command()
def models(
    history: Annotated[bool, typer.Option("--history", help="List the changes of champion and their reasons.")] = False,
    name: Model = DEFAULT_MODEL,
    as_json: Json = False,
) -> None:
    """List the registered versions with their aliases, metrics and decisions, or the history of champions."""
    from mtl.cli import releases

    if history:
        terminal.show(releases.history(name), as_json, releases.history_text)
    else:
        terminal.show(releases.models(name), as_json, releases.models_text)


@app.command()
def promote(
    version: Annotated[str, typer.Argument(help="The version to promote, e.g. 3 or v3.")],
    force: Annotated[str | None, typer.Option(help="Overrule the gate. The reason is recorded.")] = None,
    name: Model = DEFAULT_MODEL,
    as_json: Json = False,
) -> None:
    """Promote a version that passed the gate to champion."""
    from mtl.cli.releases import promote_text
    from mtl.pipeline.promote import promote_by_hand
    from mtl.workspace import open_workspace

    terminal.show(promote_by_hand(open_workspace(), name, version, force=force).to_json(), as_json, promote_text)


@app.command()
def rollback(
    reason: Annotated[str, typer.Option(help="The reason, which is recorded in the journal.")] = "rolled back by hand",
    name: Model = DEFAULT_MODEL,
    as_json: Json = False,
) -> None:
    """Make the previous champion champion again."""
    from mtl.cli.releases import promote_text
    from mtl.pipeline.promote import roll_back
    from mtl.workspace import open_workspace

    terminal.show(roll_back(open_workspace(), name, reason=reason).to_json(), as_json, promote_text)


@app.command()
def reconcile(name: Model = DEFAULT_MODEL, as_json: Json = False) -> None:
    """Accept a champion alias that was moved in MLflow, and repair aliases that lag behind the journal."""
    from mtl.cli.releases import reconcile_text
    from mtl.pipeline.promote import follow_aliases
    from mtl.workspace import open_workspace

    terminal.show(follow_aliases(open_workspace(), name, describe=True).to_json(), as_json, reconcile_text)


@app.command("repair-journal")
def repair_journal(
    reason: Annotated[str, typer.Option(help="What happened. It is recorded in the journal.")],
    champion: Annotated[str | None, typer.Option(help="The champion, if the last entry is lost.")] = None,
    name: Model = DEFAULT_MODEL,
    as_json: Json = False,
) -> None:
    """Fill in entries of the journal of champions that were lost or damaged. Readable entries stay as they are."""
    from mtl.cli.releases import repair_text
    from mtl.pipeline.promote import repair_journal as repair
    from mtl.workspace import open_workspace

    repaired = repair(open_workspace(), name, champion=champion, reason=reason)
    terminal.show(repaired.to_json(), as_json, repair_text)


class _Generate(TyperCommand):
    """The command with the options that the tasks declare. Only those who use it wait for the tasks to be imported."""

    @property
    def _whole(self) -> Any:
        from mtl.cli.generating import command

        return command()

    @property
    def params(self) -> Any:
        return self._whole.params

    @params.setter
    def params(self, _: Any) -> None:
        """Those of the function below, which has none."""

    @property
    def callback(self) -> Any:
        return self._whole.callback

    @callback.setter
    def callback(self, _: Any) -> None:
        """The function below."""


@app.command(cls=_Generate)
def generate() -> None:
    """Generate the answer to one text, such as a summary or questions, or to many texts, one JSON line each."""


@app.command()
def serve(
    model: Annotated[str, typer.Argument(help="champion, candidate, vN, a run, or a folder")] = "champion",
    host: Annotated[
        str, typer.Option(help="Address to listen on. One that others can reach needs MTL_SERVE_KEY.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535)] = 5002,
    pinned: Annotated[
        bool,
        typer.Option(
            "--no-follow", help="Keep serving the version that is champion now, even if another one is promoted."
        ),
    ] = False,
    wait: Annotated[
        bool, typer.Option("--wait", help="Start even if there is no champion yet that loads, and wait for one.")
    ] = False,
    name: Model = DEFAULT_MODEL,
    as_json: operations.JsonErrors = False,
) -> None:
    """Serve a model over HTTP until interrupted: POST /v1/generate, and MLflow's POST /invocations."""
    from mtl.cli.serving import serve as run

    try:
        run(name, model, host=host, port=port, follow=not pinned, wait=wait)
    except PreemptedError as stopped:  # a server has no work that could be resumed
        print("stopped", flush=True)
        raise typer.Exit(stopped.exit_code) from None


@app.command()
def pull(
    ref: Annotated[str, typer.Argument(help="champion, previous, candidate, vN, or a .json file of links")],
    dest: Annotated[Path | None, typer.Argument(help="Folder for the files.")] = None,
    url: Annotated[bool, typer.Option("--url", help="Print links to the files (S3) instead of fetching them.")] = False,
    hours: Annotated[float, typer.Option(help="Hours that links are valid, up to a week (168).")] = 24.0,
    name: Model = DEFAULT_MODEL,
    as_json: Json = False,
) -> None:
    """Download a release from the object store, verified and resumable, or print links to it. MLflow is not needed."""
    from mtl.cli import releases

    if url == (dest is not None):
        raise InputError("give a folder to fill, or --url to print links", field="dest", hint="see mtl pull --help")
    if dest is None:
        terminal.print_json(releases.links(name, ref, hours))
    else:
        terminal.show(releases.pull(name, ref, dest), as_json, releases.pull_text)


@app.command()
def reproduce(
    ref: Annotated[str, typer.Argument(help="The version to train again: champion, previous, candidate or vN.")],
    check_only: Annotated[
        bool, typer.Option("--check-only", help="Compare what can be compared without training, and train nothing.")
    ] = False,
    from_sources: Annotated[
        bool, typer.Option("--from-sources", help="Prepare the data set again, although the store still has it.")
    ] = False,
    threads: Annotated[
        int | None, typer.Option(min=1, help="CPU threads to train with. By default the recorded number.")
    ] = None,
    name: Model = DEFAULT_MODEL,
    as_json: Json = False,
) -> None:
    """Train a version again from its release, and say whether the adapter is bit-equal (exit code 3 if it differs)."""
    from mtl.cli import reproducing

    result, code = reproducing.reproduce(name, ref, threads=threads, from_sources=from_sources, check_only=check_only)
    terminal.show(result, as_json, reproducing.reproduce_text)
    raise typer.Exit(code)


@checkpoints.command("list")
def list_checkpoints(run: Run = None, as_json: Json = False) -> None:
    """List the runs and the steps of their checkpoints."""
    from mtl.cli import checkpoints as commands

    terminal.show(commands.list_runs(run), as_json, commands.list_text)


@checkpoints.command("verify")
def verify_checkpoints(run: Run = None, as_json: Json = False) -> None:
    """Verify every byte of the checkpoints. If a file is damaged, name it and exit with 1."""
    from mtl.cli import checkpoints as commands

    result = commands.verify(run)
    damage = commands.damage(result)
    if damage is None:
        terminal.show(result, as_json, commands.verify_text)
    elif as_json:
        terminal.print_json(result | damage.to_dict())
        raise typer.Exit(damage.exit_code)
    else:
        raise damage


@checkpoints.command("prune")
def prune_checkpoints(
    run: Run = None,
    yes: Annotated[bool, typer.Option("--yes", help="Delete. Otherwise only list what would be deleted.")] = False,
    as_json: Json = False,
) -> None:
    """Delete what no checkpoint has needed for a day, kept answers that no evaluation took for 30 days, and parts of
    the request log beyond their retention; with --run, everything of that run."""
    from mtl.cli import checkpoints as commands

    terminal.show(commands.prune(run, yes=yes), as_json, commands.prune_text)


operations.register(app)
signatures.register(app)
