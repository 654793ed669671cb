"""What a person sees: progress bars, tables and errors on standard error; results on standard output."""

from __future__ import annotations

import io
import json
import logging
import os
import signal
import sys
import threading
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from mtl.errors import MtlError, PreemptedError
from mtl.printable import printable, printable_json
from mtl.progress import ProgressEvent, subscribe
from mtl.redact import clean as redact
from mtl.settings.environment import set_defaults


def quiet_libraries() -> None:
    """Keep libraries' remarks to developers out of a user's terminal; their errors still show.

    Before they are imported, because they read these once.
    """
    set_defaults({"TRANSFORMERS_VERBOSITY": "error", "MLFLOW_LOGGING_LEVEL": "WARNING"})
    for module in ("transformers", "peft", "mlflow"):
        warnings.filterwarnings("ignore", module=rf"{module}\b")
    logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)  # it raises what it logs with a traceback


def print_json(document: Any) -> None:
    """One JSON document on one line, the last of standard output. Errors: ValueError for NaN, which JSON has not."""
    text = printable_json(json.dumps(document, ensure_ascii=False, allow_nan=False))
    try:
        text.encode(sys.stdout.encoding or "utf-8")
    except UnicodeEncodeError:  # a terminal that is not UTF-8
        text = json.dumps(document, allow_nan=False)
    print(text, flush=True)


def show(result: Any, as_json: bool, text: Callable[[Any], str]) -> None:
    """A command's result as JSON, or as the text that `text` makes of it."""
    if as_json:
        print_json(result)
    else:
        print(printable(text(result)))


def print_error(error: MtlError, *, as_json: bool) -> None:
    """The error for a person, or as the document `{"error": …}`."""
    if as_json:
        print_json(error.to_dict())
    else:
        print(printable(f"error: {str(error).encode(errors='backslashreplace').decode()}"), file=sys.stderr)


def print_traceback(error: BaseException) -> None:
    """Where an unforeseen error came from, on standard error, without secrets."""
    text = redact("".join(traceback.format_exception(error)))
    print(text.encode("ascii", "backslashreplace").decode(), file=sys.stderr, end="", flush=True)


def print_whatever_the_encoding() -> None:
    """What the terminal's encoding cannot hold is printed escaped, instead of ending the command."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def close_output() -> None:
    """After whoever read standard output has gone: nothing more is written there, also when Python ends."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


@contextmanager
def progress_bars() -> Iterator[None]:
    """A bar for each stage that reports progress while the block runs; plain lines where there is no terminal."""
    if not sys.stderr.isatty():
        with subscribe(_PlainLines()):
            yield
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (
        TextColumn("{task.fields[stage]:>9}"),
        BarColumn(bar_width=28),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.description}", markup=False),
    )
    with Progress(*columns, console=Console(stderr=True)) as bars:
        ids: dict[str, Any] = {}

        def show(moment: ProgressEvent) -> None:
            if moment.stage not in ids:
                ids[moment.stage] = bars.add_task("", total=moment.total or None, stage=moment.stage)
            note = printable(moment.note)
            bars.update(ids[moment.stage], completed=moment.done, total=moment.total or None, description=note)

        with subscribe(show):
            yield


@contextmanager
def stoppable() -> Iterator[None]:
    """SIGTERM ends the block by PreemptedError, so that what it started is stopped before the command ends.

    While a flow runs, its engine handles the signal, and raises it again when its steps have stopped.
    """

    def stop(number: int, frame: FrameType | None) -> None:
        raise PreemptedError("stopped on request; finished work is kept", hint="run the same command again to resume")

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


class _PlainLines:
    """A line a stage for every tenth of the way: for logs and pipes."""

    def __init__(self) -> None:
        self._tenth: dict[str, int] = {}

    def __call__(self, moment: ProgressEvent) -> None:
        tenth = 10 * moment.done // moment.total if moment.total else 0
        if tenth > self._tenth.get(moment.stage, -1):
            self._tenth[moment.stage] = tenth
            print(
                f"{moment.stage}: {moment.done}/{moment.total or '?'} {printable(moment.note)}".rstrip(),
                file=sys.stderr,
                flush=True,
            )
