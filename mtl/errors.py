"""One tree of errors.

    MtlError
    ├── PermanentError            trying again cannot help               exit 1
    │   ├── InputError            what the user gave is wrong            exit 2
    │   │   ├── ConfigError       a configuration, all its faults at once
    │   │   ├── DataError         a data set that must not be trained on
    │   │   └── ModelError        a base model or adapter that does not fit
    │   ├── NotFoundError         a name that nothing answers to         exit 2
    │   ├── DamageError           bytes that are not what was written    exit 1
    │   │   └── SignatureError    unsigned, or not by a trusted key
    │   ├── MismatchError         a resume that would not be the same run exit 2
    │   └── NotPromotedError      the gate said no                       exit 1
    ├── TransientError            the same call may succeed later        exit 1
    ├── FencedError               somebody else owns this run now        exit 75
    ├── PreemptedError            asked to stop; the checkpoint is safe  exit 143
    ├── InterruptedByUser         Ctrl-C at the command line             exit 130
    └── InternalError             what nobody foresaw: a fault of mtl    exit 1

The flow retries a step by the branch its error hangs on, never blanket. `to_dict` is the JSON that commands print.
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from functools import partial
from typing import Any


class MtlError(Exception):
    """Base of all errors of this package: what was wrong, in which field, and what to do."""

    kind = "error"
    exit_code = 1

    def __init__(self, message: str, *, field: str | None = None, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.field = field
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}\n  {self.hint}" if self.hint else self.message

    def to_dict(self) -> dict[str, object]:
        """The document `{"error": {...}}` that `--json` prints."""
        return {"error": {"kind": self.kind, "message": self.message, "field": self.field, "hint": self.hint}}


class PermanentError(MtlError):
    kind = "permanent"


class InputError(PermanentError):
    kind = "input"
    exit_code = 2


class ConfigError(InputError):
    """A configuration with one or more faults, each `(field, what is wrong)`."""

    kind = "config"

    def __init__(self, source: str, faults: list[tuple[str, str]], *, hint: str | None = None) -> None:
        lines = "\n".join(f"  {field}: {problem}" for field, problem in faults)
        noun = "fault" if len(faults) == 1 else "faults"
        super().__init__(f"{source}: {len(faults)} {noun}\n{lines}", field=faults[0][0], hint=hint)
        self.faults = faults
        self.source = source

    def __reduce__(self) -> tuple[Any, ...]:
        """How another process makes it again: by default from the message alone, which is not what it takes."""
        return partial(type(self), hint=self.hint), (self.source, self.faults)

    def to_dict(self) -> dict[str, object]:
        document = super().to_dict()
        document["faults"] = [{"field": field, "message": problem} for field, problem in self.faults]
        return document


class DataError(InputError):
    kind = "data"


class ModelError(InputError):
    kind = "model"


class NotFoundError(PermanentError):
    kind = "not_found"
    exit_code = 2


class DamageError(PermanentError):
    kind = "damage"


class SignatureError(DamageError):
    kind = "signature"


class MismatchError(PermanentError):
    kind = "mismatch"
    exit_code = 2


class NotPromotedError(PermanentError):
    kind = "not_promoted"


class TransientError(MtlError):
    kind = "transient"


class FencedError(MtlError):
    kind = "fenced"
    exit_code = 75


class PreemptedError(MtlError):
    kind = "preempted"
    exit_code = 143


class InterruptedByUser(MtlError):
    kind = "interrupted"
    exit_code = 130


class InternalError(MtlError):
    kind = "internal"


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """'did you mean X?' where something known is close to `name`, else the list of what is known."""
    names = sorted(known)
    close = get_close_matches(name, names, n=1)
    return f"did you mean {close[0]!r}?" if close else f"known: {', '.join(names) or 'none'}"
