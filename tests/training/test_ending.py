"""What the end of a trainer means, told from its exit code and its events."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from functools import reduce
from typing import Any

import pytest

from mtl.errors import FencedError, PermanentError, PreemptedError, TransientError
from mtl.training.ending import cause_of, ending_of, error_of, exit_code, the_better, translate

STEP = {"event": "step", "step": 3}
LOG = {"event": "log", "message": "m"}


def error(cause: str, kind: str = "transient", code: int = 69) -> dict[str, Any]:
    return {"event": "error", "cause": cause, "kind": kind, "message": cause, "exit_code": code}


@pytest.mark.parametrize(
    ("events", "best"),
    [
        ([STEP, LOG], STEP),
        ([STEP, error("fenced")], error("fenced")),
        ([error("fenced"), STEP, LOG], error("fenced")),
        ([error("peer_lost"), error("permanent")], error("permanent")),
        ([error("permanent"), error("peer_lost")], error("permanent")),
        ([error("peer_lost"), STEP], error("peer_lost")),
    ],
)
def test_of_several_processes_the_one_that_knows_why_is_heard(events: list[Any], best: Any) -> None:
    nothing: Mapping[str, Any] = {}
    assert reduce(the_better, events, nothing) == best


@pytest.mark.parametrize(
    ("code", "last", "tail", "kind", "words"),
    [
        (-9, STEP, "", TransientError, "killed by SIGKILL"),
        (137, STEP, "", TransientError, "killed by SIGKILL"),
        (137, error("peer_lost"), "", TransientError, "killed by SIGKILL"),
        (1, error("peer_lost"), "", TransientError, "peer_lost"),
        (137, error("permanent", "permanent", 1), "", PermanentError, "permanent"),
        (1, error("fenced", "fenced", 75), "", FencedError, "fenced"),
        (143, {}, "", PreemptedError, "stopped on request"),
        (-15, {}, "", PreemptedError, "stopped on request"),
        (-99, STEP, "", PermanentError, "ended with exit code -99"),
        (255, STEP, "", PermanentError, "ended with exit code 255"),
        (1, STEP, "Traceback", PermanentError, "ended with exit code 1 and said nothing\nTraceback"),
    ],
)
def test_the_error_that_an_end_stands_for(code: int, last: Any, tail: str, kind: type[Exception], words: str) -> None:
    found = error_of(ending_of(code, last, tail))
    assert type(found) is kind
    assert words in found.message


@pytest.mark.parametrize(
    "caught",
    [
        RuntimeError("[../gloo/transport/tcp/pair.cc:534] Connection closed by peer [127.0.0.1]:36012"),
        type("DistBackendError", (RuntimeError,), {})("NCCL communicator was aborted on rank 1"),
    ],
)
def test_a_peer_that_is_gone_is_worth_another_try(caught: Exception) -> None:
    found = translate(caught)
    assert isinstance(found, TransientError)
    assert "another process of this training is gone" in found.message
    assert exit_code(found, cause_of(caught)) == 76


def test_a_pickle_that_would_run_is_damage() -> None:
    caught = pickle.UnpicklingError("Weights only load failed. Re-running with weights_only set to False will succeed")
    found = translate(caught)
    assert (found.kind, exit_code(found, cause_of(caught))) == ("damage", 1)
    assert "False" not in str(found), "no advice to load it all the same"
    assert found.hint is not None and "mtl checkpoints prune" in found.hint


@pytest.mark.parametrize(
    ("file", "raised", "cause"),
    [
        (
            "/venv/torch/utils/data/dataloader.py",
            "ConnectionResetError(104, 'reset by peer')",
            "loader_died",
        ),
        ("/venv/torch/utils/data/dataloader.py", "EOFError()", "loader_died"),
        ("/venv/torch/utils/data/dataloader.py", "ValueError('a bug')", "crash"),
        ("/venv/somewhere/else.py", "ConnectionResetError(104, 'reset by peer')", "crash"),
    ],
)
def test_a_loader_that_died_while_it_handed_a_batch_over_is_told_by_where_the_connection_broke(
    file: str, raised: str, cause: str
) -> None:
    with pytest.raises((OSError, EOFError, ValueError)) as caught:
        exec(compile(f"raise {raised}", file, "exec"))  # as if the library had raised it
    assert cause_of(caught.value) == cause
    assert isinstance(caught.value, Exception)
    assert isinstance(translate(caught.value), TransientError) or cause == "crash"
