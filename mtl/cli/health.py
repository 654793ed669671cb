"""What `doctor` and `status` do, and how their results read."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from mtl.doctor.result import CheckResult
from mtl.printable import printable
from mtl.redact import clean

Document = dict[str, Any]
_SIGNS = {"ok": "ok     ", "warning": "warning", "fault": "FAULT  "}


def doctor(config: Path | None, *, tell: Callable[[CheckResult], None] | None = None) -> Document:
    """Every result; `tell` hears of each as it is found."""
    from mtl.config.retrain import load_config
    from mtl.doctor.checks import run_checks, summary

    found = []
    for result in run_checks(load_config(config) if config else None):
        found.append(result)
        if tell is not None:
            tell(result)
    return summary(found)


def tell(result: CheckResult) -> None:
    """One result for a person: what was found, and what to do."""
    print(printable(clean(f"{_SIGNS[result.level]} {result.check:<10} {result.detail}")))
    if result.do:
        print(printable(clean(f"{'':19}-> {result.do}")), flush=True)


def doctor_text(result: Document, *, config: Path | None) -> str:
    """The verdict."""
    again = f" -c {shlex.quote(str(config))}" if config else ""
    if result["ok"]:
        remarks = f", {_counted(result['warnings'], 'warning')}" if result["warnings"] else ""
        return f"no faults{remarks}\nnext: mtl retrain{again or ' -c CONF'}, or mtl status"
    faults = f"{_counted(result['faults'], 'fault')}, {_counted(result['warnings'], 'warning')}"
    return f"{faults}\nnext: follow the lines with ->, then run mtl doctor{again}"


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def status(model: str) -> Document:
    """The state of everything."""
    from mtl.service.status import status as look
    from mtl.settings import load_settings, prefect_settings

    return look(load_settings(), prefect_settings(), model)


def status_text(result: Document) -> str:
    """A screenful, warnings first. Without the stack that is meant, what to do about that is all there is to say."""
    if result["stack"] in ("down", "unused"):
        return _without_stack(result)
    lines = [f"! {warning}" for warning in result["warnings"]] or ["no warnings"]
    lines += ["", f"champion   {_champion(result)}"]
    lines += _block("server", _server(result["server"])) + _block("served", _served(result["served"]))
    lines += [f"disk       {result['disk']['free'] / 1e9:.1f} GB free at {result['disk']['path']}"]
    lines += _block("services", list(result["addresses"].items()))
    if result["queue"]:
        queue = ", ".join(f"{count} {state}" for state, count in result["queue"].items())
        lines.append(f"queue      {queue}")
    lines += _block("next", [(_when(item["at"]), item["deployment"]) for item in result["next"] or []])
    if result["runs"]:
        table = [_run_cells(run) for run in result["runs"]]
        lines += ["", *_columns([("started", "seconds", "state", "flow", "run"), *table])]
        lines += [f"  {run['name']}: {run['progress']}" for run in result["runs"] if run["progress"]]
    return "\n".join([*lines, "", "next: mtl models, mtl doctor, or mtl retrain -c CONF"])


def _without_stack(result: Document) -> str:
    command = "mtl stack up" if result["stack"] == "down" else 'eval "$(mtl stack env)" && mtl status'
    lines = [f"! {warning}" for warning in result["warnings"]]
    if result["champion"] and result["champion"]["version"]:
        lines.append(f"champion   {_champion(result)}")
    lines.append(f"disk       {result['disk']['free'] / 1e9:.1f} GB free at {result['disk']['path']}")
    return "\n".join([lines[0], f"next: {command}", "", *lines[1:]])


def _block(title: str, rows: Sequence[tuple[str, ...]]) -> list[str]:
    """Rows in columns, the first one behind the title."""
    lines = _columns(rows) if rows else []
    return [f"{title if not number else '':<11}{line}" for number, line in enumerate(lines)]


def _run_cells(run: Document) -> tuple[str, ...]:
    started = _when(run["started"]) if run["started"] else "waiting"
    seconds = "-" if run["seconds"] is None else f"{run['seconds']:.0f}"
    seconds = seconds.rjust(len("seconds"))
    return started, seconds, run["state"], run["flow"], run["name"]


def _columns(rows: Sequence[tuple[str, ...]]) -> list[str]:
    """Rows as lines, each column as wide as its widest cell."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def _champion(result: Document) -> str:
    champion = result["champion"]
    if champion is None:
        return "unknown"
    version, newest = champion["version"], champion["newest"]
    if version is None:
        return f"{result['model']} has none yet; {champion['searched']}"
    why = "was rolled back: mtl models --history" if champion["rolled_back"] else "is not champion: mtl models says why"
    newer = f"; v{newest} is newer and {why}" if newest and newest > version else ""
    return f"{result['model']} v{version} since {_when(champion['since'])} by {champion['by']}{newer}"


def _server(server: Document | None) -> list[tuple[str, ...]]:
    """What the server says of itself."""
    if server is None:
        return []
    version = f"v{server['version']}" if server["version"] else "nothing yet"
    since = f"since {_when(server['since'])}" if server["since"] else ""
    log = {True: "request log on", False: "request log off"}.get(server["log"], "")
    return [(f"{server['model']} {version}", since, log)]


def _served(served: Document | None) -> list[tuple[str, ...]]:
    """What each version answered lately, by all servers."""
    if served is None:
        return []
    return [
        (
            f"v{its['version']} by all servers since {_when(served['since'])}",
            f"{its['requests']} texts, {its['errors']} failed, {its['refused']} refused, {its['malformed']} malformed",
            f"{its['unusable']} of {its['checked']} checked unusable",
            f"feedback {its['good']} good, {its['bad']} bad",
        )
        for its in served["versions"]
    ]


def _when(moment: str) -> str:
    """2026-11-23T03:00:00+00:00 -> 2026-11-23 04:00 CET, in the time zone of whoever looks (TZ)."""
    read = datetime.fromisoformat(moment)
    aware = read if read.tzinfo else read.replace(tzinfo=UTC)  # SQLite keeps UTC without saying so
    return aware.astimezone().strftime("%Y-%m-%d %H:%M %Z")
