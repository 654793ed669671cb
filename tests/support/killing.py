"""SIGKILL at a chosen moment: a process is forked, counts its writes to store and MLflow, and dies at one of them."""

from __future__ import annotations

import functools
import json
import os
import signal
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

_STORE = ("put", "put_file", "put_if_absent", "delete")
_MLFLOW = (
    *("create_run", "update_run", "log_batch", "log_inputs", "log_artifact", "log_artifacts", "log_text"),
    *("set_terminated", "create_registered_model", "create_model_version", "set_registered_model_alias"),
    *("set_model_version_tag", "set_registered_model_tag", "delete_model_version"),
)


def forked(work: Callable[[], Any], result: Path, *, kill_after: int | None = None) -> Callable[[], int]:
    """Start `work` in a forked process, which writes {"writes": n, "value": …} to `result`; its exit code when called.

    kill_after: the process kills itself right after its n-th write (0: before the first). The exit code is then
    -SIGKILL, or 0 if it made fewer writes.
    """
    child = os.fork()
    if child == 0:
        _run(work, result, kill_after)
    return lambda: os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def _run(work: Callable[[], Any], result: Path, kill_after: int | None) -> None:
    code = 1
    try:
        writes = _counted(kill_after)
        value = work()
        result.write_text(json.dumps({"writes": writes(), "value": value}))
        code = 0
    except BaseException:
        traceback.print_exc(file=sys.__stderr__)
    finally:
        os._exit(code)


def _counted(kill_after: int | None) -> Callable[[], int]:
    from mlflow import MlflowClient

    from mtl.store.folder import FolderStore

    count = 0
    depth = 0
    if kill_after == 0:
        os.kill(os.getpid(), signal.SIGKILL)

    def wrap(owner: Any, name: str) -> None:
        original = getattr(owner, name)

        @functools.wraps(original)
        def counting(*args: Any, **kwargs: Any) -> Any:
            nonlocal count, depth
            depth += 1  # a write that is made of others is counted as those
            try:
                value = original(*args, **kwargs)
            finally:
                depth -= 1
            if depth == 0:
                count += 1
                if count == kill_after:
                    os.kill(os.getpid(), signal.SIGKILL)
            return value

        setattr(owner, name, counting)

    for name in _STORE:
        wrap(FolderStore, name)
    for name in _MLFLOW:
        wrap(MlflowClient, name)
    return lambda: count
