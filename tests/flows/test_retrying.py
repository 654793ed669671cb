"""Which errors are tried again."""

from __future__ import annotations

from typing import Any

import pytest
from prefect.client.schemas.objects import State
from prefect.states import Failed

from flows.retrying import is_resumable, is_transient
from mtl.errors import ConfigError, DataError, FencedError, MtlError, PreemptedError, TransientError


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
