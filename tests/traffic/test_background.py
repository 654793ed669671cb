"""A function that is called now and then goes on being called after whatever it raises."""

from __future__ import annotations

import logging
import threading

import pytest

from mtl.traffic.background import Every


def test_an_error_that_nobody_foresaw_is_logged_and_the_next_call_comes(caplog: pytest.LogCaptureFixture) -> None:
    calls, again = [], threading.Event()

    def work() -> None:
        calls.append(1)
        if len(calls) == 1:
            raise UnicodeError("not foreseen")
        again.set()

    with caplog.at_level(logging.WARNING, logger="mtl"):
        every = Every(0.01, work, what="counting sheep")
        assert again.wait(60)
        every.close()
    assert "counting sheep failed 1 times: UnicodeError" in caplog.text
    assert "not foreseen" in caplog.text, "the stack trace is there"
