"""Bring the stack up: each service as soon as those that it needs are healthy."""

from __future__ import annotations

import shutil
import time
from collections.abc import Collection, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from graphlib import TopologicalSorter

from mtl import progress
from mtl.errors import InputError, TransientError
from mtl.ports import holder
from mtl.stack import drain, supervisor
from mtl.stack.down import stop_runs
from mtl.stack.service import Service
from mtl.stack.services import all_services
from mtl.stack.state import Stack, forget_previous_secrets, port_is_free

_SECONDS = 150.0
_SERVICES = {"s3_monitor": "s3-monitor", "s3_monitor_old": "s3-monitor"}
"""The service that a port belongs to, where it is not called like it."""


def bring_up(stack: Stack, *, seconds: float = _SECONDS) -> dict[str, float]:
    """Start what does not run, in order, and wait until all is healthy: service -> seconds since the start.

    Progress is reported with the service's name as stage. Errors: InputError for a port that another program has;
    PermanentError for a low limit of open files; TransientError, with the end of the log, for a service that does not
    become healthy in `seconds`; what was started by then is stopped again.
    """
    began = time.monotonic()
    supervisor.allow_descriptors()
    services = {service.name: service for service in all_services(stack)}
    if not supervisor.manager_runs(stack):
        _end_unmanaged(stack)
        shutil.rmtree(stack.temporary, ignore_errors=True)
    check_ports(stack)
    stack.temporary.mkdir(mode=0o700, exist_ok=True)
    before = supervisor.running(stack)
    supervisor.start_manager(stack, list(services.values()))
    took = {}
    try:
        for name in _started(stack, services, deadline=began + seconds):
            took[name] = round(time.monotonic() - began, 1)
            progress.report(name, 1, 1, services[name].public or "healthy")
    except BaseException:
        _stop_what_was_started(stack, before)
        raise
    forget_previous_secrets(stack)
    drain.resume(stack)
    return took


def _stop_what_was_started(stack: Stack, before: Collection[str]) -> None:
    """After a start that failed nothing of it is left; services that ran before it stay."""
    if not before:
        supervisor.stop_manager(stack)
        return
    for name in reversed([service.name for service in all_services(stack)]):
        if name not in before:
            supervisor.stop_process(stack, name)


def _end_unmanaged(stack: Stack) -> None:
    """End processes whose manager was killed, or does not answer; a training among them saves a checkpoint first."""
    if supervisor.processes(stack):
        progress.report("stack", 0, 1, "runs without its manager; it is stopped at a safe point and started again")
        stop_runs(stack, wait=0)
        supervisor.end_processes(supervisor.processes(stack), seconds=30)


def check_ports(stack: Stack) -> None:
    """Errors: InputError for a port that another program has, of a service that has no process."""
    processes = supervisor.states(stack)
    ours = {name for name, process in processes.items() if process["pid"]} | ({"manager"} if processes else set())
    for name, port in stack.ports.items():
        if _SERVICES.get(name, name) not in ours and not port_is_free(port):
            raise InputError(
                f"port {port}, which the stack keeps for {name}, is taken by {holder(port)}",
                field="ports",
                hint=f"stop that program (ss -ltnp | grep {port}), or give {name} another port in "
                f"{stack.folder / 'stack.json'}",
            )


def _started(stack: Stack, services: Mapping[str, Service], *, deadline: float) -> Iterator[str]:
    """Yields the name of each service once it is healthy."""
    order = TopologicalSorter({name: service.needs for name, service in services.items()})
    order.prepare()
    running: dict[Future[None], str] = {}
    with ThreadPoolExecutor(len(services)) as pool:
        while order.is_active():
            for name in order.get_ready():
                progress.report(name, 0, 1, "starting")
                running[pool.submit(_start, stack, services[name], deadline)] = name
            done, _ = wait(running, return_when=FIRST_COMPLETED)
            for future in done:
                future.result()
                order.done(running[future])
                yield running.pop(future)


def _start(stack: Stack, service: Service, deadline: float) -> None:
    if service.name == "worker" and service.name not in supervisor.running(stack):
        drain.settle(stack)  # what ran when the machine stopped
    service.before()
    supervisor.start_process(stack, service.name)
    while not (service.name in supervisor.running(stack) and service.healthy()):
        if time.monotonic() > deadline or supervisor.gave_up(stack, service.name):
            raise TransientError(
                f"{service.name} does not become healthy:\n{supervisor.last_lines(stack, service.name)}",
                hint=f"its log is {stack.logs / service.name}.log",
            )
        time.sleep(0.2)
    service.after()
