"""A run that dies every time is not started for ever. Prefect's runtime is told through its own variables for tests."""

from __future__ import annotations

import uuid

import pytest
from prefect.variables import Variable

from flows.rerunning import MAX_RUNS, VARIABLE, refuse_endless
from mtl.errors import PermanentError


@pytest.fixture(autouse=True)
def deployed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREFECT__RUNTIME__DEPLOYMENT__ID", str(uuid.uuid4()))


def started(monkeypatch: pytest.MonkeyPatch, times: int) -> None:
    monkeypatch.setenv("PREFECT__RUNTIME__FLOW_RUN__RUN_COUNT", str(times))


def test_the_eleventh_start_is_refused_for_good_and_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    started(monkeypatch, MAX_RUNS)
    refuse_endless()
    started(monkeypatch, MAX_RUNS + 1)
    with pytest.raises(PermanentError, match="started 11 times without an end") as refused:
        refuse_endless()
    assert "after raising the variable" in str(refused.value.hint)


def test_a_variable_of_the_server_changes_how_often(monkeypatch: pytest.MonkeyPatch) -> None:
    Variable.set(VARIABLE, "2", overwrite=True)
    try:
        started(monkeypatch, 3)
        with pytest.raises(PermanentError, match="started 3 times"):
            refuse_endless()
    finally:
        Variable.unset(VARIABLE)
    refuse_endless()
