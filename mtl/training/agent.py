"""torchrun, whose exit code says what became of its ranks.

    python -m mtl.training.agent [OPTIONS OF TORCHRUN] -m mtl.training PLAN

0        every rank ended well
128 + N  signal N killed a rank, or asked torchrun itself to stop
1        a rank failed, and has said why by an event of its own
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Any, Protocol


class Failure(Protocol):
    """A rank that failed, as torch's ProcessFailure has it. exitcode: negative for a signal."""

    exitcode: int
    timestamp: int


def exit_code(failures: Iterable[Failure]) -> int:
    """That of the first rank that a signal killed: the others fail because it is gone."""
    killed = [failure for failure in failures if failure.exitcode < 0]
    return 128 - min(killed, key=lambda failure: failure.timestamp).exitcode if killed else 1


def main(arguments: list[str]) -> int:
    """Run torchrun; the exit code of this process."""
    from torch.distributed import run
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError

    torchrun: Any = run  # untyped
    try:
        torchrun.run(torchrun.parse_args(arguments))
    except ChildFailedError as error:
        print(error, file=sys.stderr)  # noqa: T201  # for a rank that could not say why
        return exit_code(error.failures.values())
    except SignalException as stop:
        return 128 + stop.sigval
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
