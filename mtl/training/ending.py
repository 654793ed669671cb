"""How a trainer process ends: exit codes that mean something, by cause, and the error that each end stands for.

0    done                          143  stopped on request, the checkpoint is safe
2    what the user gave is wrong   75   another owner took the run over
1    a permanent failure           69   store away for longer than the patience, or another passing fault
70   a crash (a bug)               71   out of memory
73   the disk is full              74   a data loader process died
76   another process of the same training is gone
-N   killed by signal N            128+N  the same of one of several processes (mtl.training.agent)
"""

from __future__ import annotations

import errno
import pickle
import signal
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mtl.errors import (
    DamageError,
    DataError,
    FencedError,
    InputError,
    MismatchError,
    ModelError,
    MtlError,
    NotFoundError,
    PermanentError,
    PreemptedError,
    TransientError,
)
from mtl.shortages import explained

KINDS: dict[str, type[MtlError]] = {
    cls.kind: cls
    for cls in (
        DamageError,
        DataError,
        FencedError,
        InputError,
        MismatchError,
        ModelError,
        NotFoundError,
        PermanentError,
        PreemptedError,
        TransientError,
    )
}
_CODES = {"transient": 69, "crash": 70, "out_of_memory": 71, "disk_full": 73, "loader_died": 74, "peer_lost": 76}
AGAIN = "run the same command again: it goes on from the last checkpoint"
_PLANTED = "find out who wrote to the store; mtl checkpoints prune --run RUN --yes removes the run, which starts again"
_MEMORY = f"lower train.max_tokens_per_batch or give it more memory; then {AGAIN}"
_SPACE = f"free space, then {AGAIN}"
_NO_SPACE = ("No space left on device", "Disk quota exceeded", "the disk is full", "the disk quota is used up")
_LOADER = "torch/utils/data/dataloader.py"
_NO_MEMORY = ("can't allocate memory", "CUDA out of memory", "not enough memory", "Cannot allocate memory")


def cause_of(error: BaseException) -> str:
    """One word for the log and the exit code: what brought the trainer down."""
    text = " ".join(str(item) for item in _chain(error))
    numbers = {item.errno for item in _chain(error) if isinstance(item, OSError)}
    if numbers & {errno.ENOSPC, errno.EDQUOT} or any(sign in text for sign in _NO_SPACE):
        return "disk_full"
    if isinstance(error, MemoryError) or errno.ENOMEM in numbers or any(sign in text for sign in _NO_MEMORY):
        return "out_of_memory"
    if "DataLoader worker" in text or any(_broke_off_loading(item) for item in _chain(error)):
        return "loader_died"
    if "gloo" in text or any(type(item).__name__.startswith("Dist") for item in _chain(error)):
        return "peer_lost"
    if any(isinstance(item, pickle.UnpicklingError) for item in _chain(error)):
        return "damage"
    return error.kind if isinstance(error, MtlError) else "crash"


def translate(error: Exception) -> MtlError:
    """The error of mtl.errors that an exception in the trainer stands for; whether it is tried again hangs on it."""
    if isinstance(error, MtlError):
        return error
    message = f"{type(error).__name__}: {error}"
    match cause_of(error):
        case "disk_full":
            return PermanentError(f"the disk is full: {message}", hint=_SPACE)
        case "out_of_memory":
            return TransientError(f"out of memory: {message}", hint=_MEMORY)
        case "loader_died":
            return TransientError(message, hint=AGAIN)
        case "peer_lost":
            return TransientError(f"another process of this training is gone: {message}", hint=AGAIN)
        case "damage":
            return DamageError(
                "a file of the checkpoint holds what training never writes and loading would run", hint=_PLANTED
            )
    return explained(error) or PermanentError(message)


def exit_code(error: MtlError, cause: str) -> int:
    """The exit code of the process: that of the error where it says more than 1, else that of the cause."""
    return _CODES.get(cause, error.exit_code) if error.exit_code == 1 else error.exit_code


def error_event(error: Exception) -> dict[str, Any]:
    """What an event says of the exception that ended a trainer."""
    cause, known = cause_of(error), translate(error)
    said = {"kind": known.kind, "message": known.message, "field": known.field, "hint": known.hint}
    return {"exit_code": exit_code(known, cause), "cause": cause, **said}


def the_better(first: Mapping[str, Any], second: Mapping[str, Any]) -> Mapping[str, Any]:
    """Which of two events says more about an end: an error, the first of several, one of a cause before a consequence.

    Several processes of one training may each send one: one tells why, the others that it is gone.
    """
    if second["event"] == "log":
        return first
    if first.get("event") != "error":
        return second
    return second if second["event"] == "error" and first["cause"] == "peer_lost" else first


def ending_of(code: int, last: Mapping[str, Any], tail: str) -> dict[str, Any]:
    """The end of a trainer as a document: exit code or signal, cause, kind, message, field, hint.

    last: the event that says most. tail: the last lines of standard error, told only where nothing better is known.
    """
    number = _signal(code)
    if number not in (0, signal.SIGTERM) and last.get("cause") in (None, "peer_lost"):
        return _killed(number)
    if last.get("event") == "error":
        words = {name: last.get(name) for name in ("cause", "kind", "message", "field", "hint")}
        if last["cause"] == "crash" and tail:
            words["message"] = f"{last['message']}\n{tail}"
        return {"exit_code": last["exit_code"], "signal": None, **words}
    if number == signal.SIGTERM:  # before its own handler was there
        words = {"cause": "preempted", "kind": "preempted", "message": "stopped on request; the last commit counts"}
        return {"exit_code": code, "signal": "SIGTERM", **words, "field": None, "hint": AGAIN}
    message = f"the trainer ended with exit code {code} and said nothing\n{tail}".strip()
    words = {"cause": "crash", "kind": "permanent", "message": message}
    return {"exit_code": code, "signal": None, **words, "field": None, "hint": None}


def _signal(code: int) -> int:
    """The signal that ended the trainer or, by torchrun's code, a rank of it; 0 for none."""
    number = -code if code < 0 else code - 128
    return number if number in set(signal.Signals) else 0


def _killed(number: int) -> dict[str, Any]:
    name = signal.Signals(number).name
    memory = "; SIGKILL without a cause is often the kernel's answer to too little memory" if number == 9 else ""
    words = {"cause": "killed", "kind": "transient", "message": f"the trainer was killed by {name}"}
    return {"exit_code": -number, "signal": name, **words, "field": None, "hint": AGAIN + memory}


def error_of(words: Mapping[str, Any]) -> MtlError:
    """The error that last words stand for."""
    kind = KINDS.get(str(words["kind"]), PermanentError)
    return kind(str(words["message"]), field=words["field"], hint=words["hint"])


def _broke_off_loading(error: BaseException) -> bool:
    """Whether a connection to a data loader process broke: it died while it handed a batch over."""
    if not isinstance(error, ConnectionError | EOFError):
        return False
    files = (frame.f_code.co_filename for frame, _ in traceback.walk_tb(error.__traceback__))
    return any(Path(file).as_posix().endswith(_LOADER) for file in files)


def _chain(error: BaseException) -> list[BaseException]:
    """The error and what it came from."""
    chain: list[BaseException] = []
    item: BaseException | None = error
    while item is not None and item not in chain:
        chain.append(item)
        item = item.__cause__ or item.__context__
    return chain
