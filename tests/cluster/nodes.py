"""A Ray cluster of several nodes on loopback, each of which sees a folder that the others and the tests do not see."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from mtl.ports import hold

RAY = str(Path(sys.executable).parent / "ray")
_HIDDEN = 'for folder in $HIDDEN; do mount -t tmpfs none "$folder"; done; exec "$@"'
_UP = "will now block forever"
_PATIENCE = 200.0
_TRIES = 3  # Ray gives the agents of a node 15 s to start, which is too short where other work goes on


@dataclass
class Node:
    """One `ray start`. address: its own loopback address. home: its MTL_HOME, which only its processes see."""

    process: subprocess.Popen[bytes]
    address: str
    home: Path
    log: Path

    def processes(self) -> list[psutil.Process]:
        try:
            own = psutil.Process(self.process.pid)
            return [own, *own.children(recursive=True)]
        except psutil.NoSuchProcess:
            return []

    def signal(self, number: int) -> None:
        """To every process of the node, workers included."""
        for process in self.processes():
            if process.is_running():
                process.send_signal(number)

    def kill(self) -> None:
        """As when the machine loses its power."""
        self.signal(signal.SIGKILL)
        self.process.wait()

    def pause(self) -> None:
        self.signal(signal.SIGSTOP)

    def go_on(self) -> None:
        self.signal(signal.SIGCONT)


@dataclass
class Nodes:
    """The head, which does no work, and nodes that do. hidden: folders that the nodes must not see."""

    folder: Path
    hidden: tuple[Path, ...]
    environment: dict[str, str]
    port: int
    object_store: int
    head: Node | None = None
    workers: list[Node] = field(default_factory=list)

    @property
    def address(self) -> str:
        return f"127.0.0.2:{self.port}"

    def start_head(self) -> Node:
        more = ("--head", f"--port={self.port}", "--num-cpus=0", "--include-dashboard=false")
        self.head = self._start("head", "127.0.0.2", "--no-monitor", *more)
        return self.head

    def add(self, cpus: int = 1) -> Node:
        number = len(self.workers) + 3
        node = self._start(f"node-{number}", f"127.0.0.{number}", f"--address={self.address}", f"--num-cpus={cpus}")
        self.workers.append(node)
        return node

    def restart(self) -> None:
        """Head and as many nodes as there were, as after a power cut: none of them remembers anything."""
        count = len(self.workers)
        self.stop()
        self.start_head()
        self.workers.clear()
        for _ in range(count):
            self.add()

    def stop(self) -> None:
        for node in [*self.workers, *([self.head] if self.head else [])]:
            node.go_on()
            node.kill()

    def _start(self, name: str, address: str, *arguments: str) -> Node:
        home, log = self.folder / name, self.folder / f"{name}.log"
        home.mkdir(parents=True, exist_ok=True)
        command = [*("unshare", "--mount", "--propagation", "private", "sh", "-c", _HIDDEN, "sh")]
        command += [RAY, "start", "--block", f"--node-ip-address={address}", "--disable-usage-stats"]
        command += [f"--object-store-memory={self.object_store}", *_ports(address), *arguments]
        command += ["--include-log-monitor=false"]  # nobody reads it, and each process takes seconds to start
        hidden = " ".join(map(str, (home, *self.hidden)))
        environment = {**os.environ, **self.environment, "MTL_HOME": str(home), "HIDDEN": hidden}
        environment.pop("RAY_ADDRESS", None)
        for _ in range(_TRIES):
            with log.open("wb") as out:
                process = subprocess.Popen(command, env=environment, stdout=out, stderr=out, start_new_session=True)
            node, until = Node(process, address, home, log), time.monotonic() + _PATIENCE
            while process.poll() is None and time.monotonic() < until:
                if _UP in log.read_text(errors="replace"):
                    return node
                time.sleep(0.1)
            node.kill()  # what is left of it holds its ports
        raise AssertionError(log.read_text(errors="replace"))


def _ports(address: str) -> list[str]:
    """Ports of a node's agents, chosen for it: for one that they choose, it waits 15 s and ends if they are slower."""
    names = (
        "dashboard-agent-grpc-port",
        "dashboard-agent-listen-port",
        "runtime-env-agent-port",
        "metrics-export-port",
    )
    with ExitStack() as stack:
        held = [stack.enter_context(hold(address, 0))[0] for _ in names]
        return [f"--{name}={listener.getsockname()[1]}" for name, listener in zip(names, held, strict=True)]


@contextmanager
def ray_nodes(
    folder: Path, count: int, object_store: int = 200_000_000, /, *, hidden: tuple[Path, ...] = (), **environment: str
) -> Iterator[Nodes]:
    """A cluster of a head and `count` nodes of one CPU. object_store: bytes of each node's.
    environment: of every node, such as MTL_STORE's credentials."""
    with hold("127.0.0.2", 0) as (held,):
        port = held.getsockname()[1]
    nodes = Nodes(folder, hidden, environment, port, object_store)
    try:
        nodes.start_head()
        for _ in range(count):
            nodes.add()
        yield nodes
    finally:
        nodes.stop()
