"""CheckResult: what a check of `mtl doctor` found. A fault stops retrains; a warning will, or slows them down."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from typing import Any, Literal

from mtl.errors import MtlError
from mtl.redact import clean

Level = Literal["ok", "warning", "fault"]


@dataclass(frozen=True, slots=True)
class CheckResult:
    """check: what was looked at. detail: what was found. do: what to do about it, None where all is well."""

    check: str
    level: Level
    detail: str
    do: str | None = None

    def to_dict(self) -> dict[str, Any]:
        return {name: clean(value) if isinstance(value, str) else value for name, value in asdict(self).items()}


def ok(check: str, detail: str) -> CheckResult:
    return CheckResult(check, "ok", detail)


def warning(check: str, detail: str, do: str) -> CheckResult:
    return CheckResult(check, "warning", detail, do)


def fault(check: str, detail: str, do: str) -> CheckResult:
    return CheckResult(check, "fault", detail, do)


def guarded(check: str, look: Callable[[], Iterable[CheckResult]]) -> Iterator[CheckResult]:
    """What `look` finds; an error of it is a fault of its own, and no check stops another."""
    try:
        yield from look()
    except MtlError as error:
        yield fault(check, error.message, error.hint or "see the message")
    except Exception as error:  # a doctor that crashes helps nobody
        detail = f"{type(error).__name__}: {str(error)[:300]}"
        yield fault(check, detail, "this is an unexpected error: read the message, and report it if it does not help")
