"""What `mtl stack up | status | env | down` do, and how their results read."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

from mtl.cli.embedding import check_server, quiet_prefect
from mtl.cli.terminal import progress_bars
from mtl.errors import InputError
from mtl.settings import current, load_settings, local_path, prefect_settings
from mtl.stack.state import Stack, make_stack, open_stack

Document = dict[str, Any]


def up(store: str | None) -> Document:
    """Start all services and wait until they are healthy."""
    from mtl.stack.up import bring_up

    if store is not None and "://" not in store:
        store = str(local_path(store).absolute())  # the services run in folders of their own
    with progress_bars():
        took = bring_up(make_stack(load_settings().home, store=store))
    return {**status(), "seconds": took}


def status() -> Document:
    """Services, addresses and logins; passwords are in the file that is named."""
    from mtl.stack.look import look

    return look(_stack())


def env() -> Document:
    """The variables that lead to the stack, logins included."""
    from mtl.stack.environment import client_environment

    direct = {name: value for name, value in current().items() if name in ("NO_PROXY", "no_proxy")}
    return client_environment(_stack()) | direct


def rotate() -> Document:
    """New passwords and keys for every service. Errors: InputError while the stack runs."""
    from mtl.stack import supervisor
    from mtl.stack.state import rotate_secrets

    stack = _stack()
    if supervisor.processes(stack):
        raise InputError(
            "passwords cannot be rotated while the stack runs", field="MTL_HOME", hint="run mtl stack down first"
        )
    return {"rotated": rotate_secrets(stack)}


def rotate_text(result: Document) -> str:
    """What is new, and how it comes into force."""
    return f'new: {", ".join(result["rotated"])}\nnext: mtl stack up, then eval "$(mtl stack env)" in every shell'


def down(wait: float) -> Document:
    """Drain the worker and stop all services."""
    from mtl.stack.down import bring_down

    with progress_bars():
        return bring_down(_stack(), wait=wait)


def deploy(config: Path | None, cron: str | None, timezone: str | None) -> Document:
    """Register everything with the Prefect server. Errors: InputError without one."""
    if prefect_settings().url is None:
        raise InputError(
            "no Prefect server to deploy to",
            field="PREFECT_API_URL",
            hint='run mtl stack up and eval "$(mtl stack env)", or set PREFECT_API_URL',
        )
    quiet_prefect()
    check_server(prefect_settings())
    from flows.deploying import deploy as register

    done = register(Path.cwd(), config=str(config) if config else None, cron=cron, timezone=timezone)
    return done | {"warnings": _data_faults(Path(done["nightly"]["config"]))}


def _data_faults(config: Path) -> list[str]:
    """What the first run would stumble over, were it to run here; a worker elsewhere may have other files."""
    from mtl.config.retrain import load_config
    from mtl.doctor.data import data
    from mtl.doctor.result import guarded

    found = guarded("data", lambda: data(load_settings(), load_config(config)))
    return [f"{finding.detail}; {finding.do}" for finding in found if finding.level != "ok"]


def deploy_text(result: Document) -> str:
    """What is there now."""
    lines = [f"deployed to work pool {result['pool']}:", *(f"  {name}" for name in result["deployments"])]
    lines += [f"one training at a time: concurrency limit {result['limit']}"]
    lines += [f"automation: {name}" for name in result["automations"]]
    nightly = result["nightly"]
    lines += [f'retrain/nightly: {nightly["config"]} at "{nightly["cron"]}", {nightly["timezone"]}']
    lines += [f"  next runs: {' and '.join(moment.replace('T', ' ') for moment in nightly['next'])}"]
    if nightly["skipped"]:
        day, _, time = nightly["skipped"].partition("T")
        lines += [f"  clocks skip {time} on {day}: Prefect runs it an hour earlier or later that night"]
    lines += [f"renamed: {old} is now {new}" for old, new in result["renamed"].items()]
    if not result["first"]:
        lines += [f"changed: {change}" for change in result["changes"]] or ["nothing changed"]
    lines += [f"warning: on this machine a run would fail: {fault}" for fault in result["warnings"]]
    return "\n".join([*lines, "next: mtl status; at once: prefect deployment run retrain/nightly, or the Prefect UI"])


def _stack() -> Stack:
    return open_stack(load_settings().home)


def status_text(result: Document) -> str:
    """A line a service, then where to go and how to log in."""
    lines = [
        f"{service['name']:<12}{service['state']:<10}{service['memory_mb']:>6} MB  {service['url'] or ''}".rstrip()
        for service in result["services"]
    ]
    lines += [f"! {warning}" for warning in result["warnings"]]
    lines += ["", f"{'all healthy' if result['healthy'] else 'NOT all healthy'}, {result['memory_mb']} MB in all"]
    lines += [f"log in to {name} as {how}" for name, how in result["logins"].items()]
    lines += [f"logs in {result['logs']}", f"next: {result['next']}"]
    return "\n".join(lines)


def env_text(variables: Document) -> str:
    """Lines for `eval "$(mtl stack env)"`."""
    return "\n".join(f"export {name}={shlex.quote(value)}" for name, value in variables.items())


def down_text(result: Document) -> str:
    """What was stopped, and which runs will go on."""
    lines = [f"{name} resumes when the stack is up again" for name in result["interrupted"]]
    return "\n".join([*lines, "the stack is down; its data are kept", "next: mtl stack up"])
