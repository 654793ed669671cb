"""Which errors are tried again; and a run that dies every time is not started for ever."""

from __future__ import annotations

import uuid
from typing import Any

import pytest
from prefect.client.schemas.objects import State
from prefect.states import Failed
from prefect.variables import Variable

from flows.retrying import MAX_RUNS, VARIABLE, is_resumable, is_transient, refuse_endless
from mtl.errors import (
    ConfigError,
    DataError,
    FencedError,
    MtlError,
    PermanentError,
    PreemptedError,
    TransientError,
)


@pytest.mark.parametrize(
    ("error", "transient", "resumable"),
    [
        (TransientError("S3 answers 503"), True, True),
        (PreemptedError("stopped on request"), False, True),
        (FencedError("another owner"), False, False),
        (DataError("empty"), False, False),
        (ConfigError("c.yaml", [("seed", "wrong")]), False, False),
        (RuntimeError("a bug"), False, False),
    ],
)
def test_by_kind_never_blanket(error: MtlError | RuntimeError, transient: bool, resumable: bool) -> None:
    state: State[Any] = Failed(data=error)
    assert is_transient(None, None, state) is transient
    assert is_resumable(None, None, state) is resumable


@pytest.fixture
def deployed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREFECT__RUNTIME__DEPLOYMENT__ID", str(uuid.uuid4()))


def started(monkeypatch: pytest.MonkeyPatch, times: int) -> None:
    monkeypatch.setenv("PREFECT__RUNTIME__FLOW_RUN__RUN_COUNT", str(times))


@pytest.mark.usefixtures("deployed")
def test_the_eleventh_start_is_refused_for_good_and_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    started(monkeypatch, MAX_RUNS)
    refuse_endless()
    started(monkeypatch, MAX_RUNS + 1)
    with pytest.raises(PermanentError, match="started 11 times without an end") as refused:
        refuse_endless()
    assert "raise the Prefect variable mtl_max_runs and press Retry" in str(refused.value.hint)


@pytest.mark.usefixtures("deployed")
def test_a_variable_of_the_server_changes_how_often(monkeypatch: pytest.MonkeyPatch) -> None:
    Variable.set(VARIABLE, "2", overwrite=True)
    try:
        started(monkeypatch, 3)
        with pytest.raises(PermanentError, match="started 3 times"):
            refuse_endless()
    finally:
        Variable.unset(VARIABLE)
    refuse_endless()
