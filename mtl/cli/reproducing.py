"""What `mtl reproduce` does, and how its result reads."""

from __future__ import annotations

import sys
from typing import Any

from mtl.cli.terminal import progress_bars
from mtl.printable import printable
from mtl.workspace import open_workspace

Document = dict[str, Any]


def reproduce(
    name: str, ref: str, *, threads: int | None, from_sources: bool, check_only: bool
) -> tuple[Document, int]:
    """The result and the exit code; what differs is told on standard error as soon as it is known."""
    from mtl.pipeline.reproduce import reproduce as train_again
    from mtl.pipeline.reproduction import Difference

    def tell(difference: Difference) -> None:
        if difference.decides:
            hint = f"\n  {difference.hint}" if difference.hint else ""
            print(printable(f"differs: {difference}{hint}"), file=sys.stderr, flush=True)

    with progress_bars():
        found = train_again(
            open_workspace(),
            ref,
            model=name,
            threads=threads,
            from_sources=from_sources,
            check_only=check_only,
            tell=tell,
        )
    return found.to_json() | {"text": found.sentence()}, found.exit_code


def reproduce_text(result: Document) -> str:
    """One sentence."""
    return str(result["text"])
