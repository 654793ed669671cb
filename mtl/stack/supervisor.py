"""The process manager: supervisord keeps each service running, its log short, and stops them in order.

It listens on a loopback port with a password, as the other services do. A Unix socket would be a file that a cleanup
can remove, and its path is limited to 107 bytes.

Its working folder is that of the stack, and its configuration names files relative to that: MTL_HOME may hold
characters that mean something there, such as `%`, `;` and `#`. Services find MTL_HOME in their environment.
"""

from __future__ import annotations

import hashlib
import http.client
import os
import re
import resource
import shlex
import subprocess
import sys
import time
import xmlrpc.client
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psutil

from mtl.errors import InputError, PermanentError, TransientError
from mtl.settings import inherited_environment
from mtl.stack.service import Service
from mtl.stack.state import Stack

_USER = "mtl"
_DESCRIPTORS = 1024
"""supervisord's own minimum, which it also gives its services."""
MARK = "MTL_STACK"
"""Variable that every process of a stack carries, so that those that lost their manager are found."""


def start_manager(stack: Stack, services: Sequence[Service]) -> None:
    """Start supervisord, or have the one that runs know services that are new. It starts none by itself."""
    config = stack.folder / "supervisord.conf"
    text = manager_config(stack, services)
    config.unlink(missing_ok=True)
    config.touch(mode=0o600)
    config.write_text(text)
    if manager_runs(stack):
        _learn_new(stack)
        return
    command = [sys.executable, "-m", "supervisor.supervisord", "-c", config.name]
    own = {MARK: str(stack.folder), "MTL_HOME": str(stack.home)}
    done = subprocess.run(
        command,
        cwd=stack.folder,
        env=inherited_environment(own_store=stack.store is None) | own,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    deadline = time.monotonic() + 20
    while done.returncode == 0 and time.monotonic() < deadline:
        if manager_runs(stack):
            return
        time.sleep(0.1)
    raise TransientError(f"supervisord did not start: {done.stderr.strip() or _end_of(stack.logs / 'supervisord.log')}")


def allow_descriptors() -> None:
    """Let the manager, and each service that it starts, open as many files as it insists on. Errors: PermanentError."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft >= _DESCRIPTORS or soft == resource.RLIM_INFINITY:
        return
    enough = hard if hard == resource.RLIM_INFINITY else max(hard, _DESCRIPTORS)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (_DESCRIPTORS, enough))
    except (OSError, ValueError):
        raise PermanentError(
            f"this process and those that it starts may open {hard} files at once; each service of the stack needs "
            f"{_DESCRIPTORS}",
            hint=f"raise the limit: ulimit -n {_DESCRIPTORS}, LimitNOFILE= in a systemd unit, or nofile in "
            "/etc/security/limits.conf",
        ) from None


def _learn_new(stack: Stack) -> None:
    ((added, _changed, _removed),) = _call(stack, "reloadConfig")
    for name in added:
        _call(stack, "addProcessGroup", name)


def manager_runs(stack: Stack) -> bool:
    """Whether supervisord answers."""
    try:
        _call(stack, "getState")
    except TransientError:
        return False
    return True


def states(stack: Stack) -> dict[str, dict[str, Any]]:
    """service -> {statename, pid, start (seconds since 1970), ...} of supervisord; empty if it does not run."""
    try:
        return {process["name"]: process for process in _call(stack, "getAllProcessInfo")}
    except TransientError:
        return {}


def running(stack: Stack) -> set[str]:
    """The services whose process runs."""
    return {name for name, process in states(stack).items() if process["statename"] == "RUNNING"}


def gave_up(stack: Stack, name: str) -> bool:
    """Whether supervisord stopped trying to start it."""
    return states(stack).get(name, {}).get("statename") in ("FATAL", "EXITED", None)


def start_process(stack: Stack, name: str) -> None:
    """Start a service unless it runs."""
    if states(stack)[name]["statename"] not in ("RUNNING", "STARTING"):
        _call(stack, "startProcess", name, False)


def stop_process(stack: Stack, name: str) -> None:
    """Stop a service and wait for its end."""
    if states(stack).get(name, {}).get("pid"):
        _call(stack, "stopProcess", name)


def stop_manager(stack: Stack, *, seconds: float = 180.0) -> None:
    """Stop all services, the latest started first, and supervisord."""
    if manager_runs(stack):
        _call(stack, "shutdown")
    deadline = time.monotonic() + seconds
    while manager_runs(stack):
        if time.monotonic() > deadline:
            raise TransientError(f"supervisord still runs after {seconds:.0f} s", hint=f"see {stack.logs}")
        time.sleep(0.2)
    end_processes(processes(stack), seconds=30)


def last_lines(stack: Stack, name: str) -> str:
    """The end of a service's log."""
    return _end_of(stack.logs / f"{name}.log")


def processes(stack: Stack) -> list[psutil.Process]:
    """Every live process of the stack, whether its manager answers or not."""
    return [process for process in psutil.process_iter() if _mark(process) == str(stack.folder)]


def end_processes(left: Sequence[psutil.Process], *, seconds: float) -> None:
    """Ask processes to stop, and kill those that have not ended after `seconds`."""
    for process in left:
        _send(process, "terminate")
    _, stubborn = psutil.wait_procs(left, timeout=seconds)
    for process in stubborn:
        _send(process, "kill")


def _send(process: psutil.Process, what: str) -> None:
    try:
        getattr(process, what)()
    except psutil.Error:
        return


def _mark(process: psutil.Process) -> str | None:
    """The stack that a process belongs to. This process and what started it are none of it, whatever they inherited."""
    ours = {os.getpid(), *(parent.pid for parent in psutil.Process().parents())}
    try:
        return None if process.pid in ours else process.environ().get(MARK)
    except (psutil.Error, OSError):
        return None


def _call(stack: Stack, method: str, *arguments: Any) -> Any:
    login = f"{_USER}:{stack.secrets['manager']}"
    proxy = xmlrpc.client.ServerProxy(f"http://{login}@127.0.0.1:{stack.ports['manager']}/RPC2")
    try:
        with proxy:
            return getattr(proxy.supervisor, method)(*arguments)
    except xmlrpc.client.Fault as fault:
        raise TransientError(
            f"supervisord refuses {method} {' '.join(map(str, arguments))}: {fault.faultString}"
        ) from None
    except xmlrpc.client.ProtocolError as error:  # its text has the password
        raise TransientError(f"supervisord does not answer: {error.errcode} {error.errmsg}") from None
    except (OSError, http.client.HTTPException, xmlrpc.client.Error) as error:
        raise TransientError(f"supervisord does not answer: {error}") from None


def _end_of(log: Path) -> str:
    try:
        return "\n".join(log.read_text(errors="replace").splitlines()[-15:])
    except OSError:
        return ""


def manager_config(stack: Stack, services: Sequence[Service]) -> str:
    """supervisord's configuration: a program for each service, and no secret."""
    head = f"""
[inet_http_server]
port=127.0.0.1:{stack.ports["manager"]}
username={_USER}
password={{SHA}}{_digest(stack.secrets["manager"])}
[supervisord]
logfile={stack.logs.name}/supervisord.log
logfile_maxbytes=5MB
logfile_backups=1
pidfile=supervisord.pid
{"" if os.geteuid() else "user=root"}
identifier=mtl
umask=077
[rpcinterface:supervisor]
supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface
"""
    return head + "".join(_program(stack, service, number) for number, service in enumerate(services))


def _program(stack: Stack, service: Service, number: int) -> str:
    """A section. Services are stopped in the reverse order of `priority`; what is secret is not in here."""
    ours = (sys.executable, "-m", "mtl.stack.services", service.name)
    return f"""
[program:{service.name}]
command={_escaped(shlex.join(ours if service.environment else service.command))}
directory={".." if service.environment else "."}
{f"user={service.user}" if service.user else ""}
priority={number}
autostart=false
autorestart=true
startsecs=1
startretries=20
stopsignal={service.stop_signal}
stopwaitsecs={service.stop_seconds}
redirect_stderr=true
stdout_logfile={stack.logs.name}/{service.name}.log
stdout_logfile_maxbytes=10MB
stdout_logfile_backups=2
"""


def _digest(password: str) -> str:
    """What supervisord compares a password with. The password is long and random, so its hash gives nothing away."""
    return hashlib.sha1(password.encode()).hexdigest()  # noqa: S324  # the one hash that supervisord knows


def _escaped(text: str) -> str:
    """supervisord expands %(name)s. Errors: InputError for what begins a comment there, which cannot be escaped."""
    if re.search(r"\s[;#]|[\n\r]", text):
        raise InputError(
            f"supervisord cannot start {text!r}, because it takes ; or # after a space as the beginning of a comment",
            hint="install mtl into an environment whose path has no space before ; or #",
        )
    return text.replace("%", "%%")
