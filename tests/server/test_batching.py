"""The batcher and a model that is exchanged while it runs."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Mapping
from typing import Any

import pytest

from mtl.errors import TransientError
from mtl.server.batching import Batcher, Closed, Wanted
from mtl.server.served import ServedModel
from tests.server.toy import Writer, served


class Exchanged:
    """Models of which the test says which one it is."""

    def __init__(self, model: ServedModel | None) -> None:
        self.model = model
        self.asked = 0

    def current(self) -> ServedModel:
        self.asked += 1
        if self.model is None:
            raise TransientError("there is no champion in memory yet")
        return self.model

    def health(self) -> Mapping[str, Any]:
        return {}


def test_a_request_is_answered_by_one_model_and_the_exchanged_one_is_let_go() -> None:
    writer = Writer()
    models = Exchanged(served(writer, version=1).current())
    batcher = Batcher(models)
    try:
        writer.may.clear()
        first = batcher.submit(Wanted("summarize", ("a b", "a c"))).future
        assert writer.begun.wait(60)
        old = weakref.ref(models.current().generator)
        models.model = served(Writer(), version=2).current()
        writer.may.set()
        assert first.result(60).model.version == 1
        assert batcher.submit(Wanted("summarize", ("a b",))).future.result(60).model.version == 2
        del first
        gc.collect()
        assert old() is None
    finally:
        batcher.close()
    assert models.asked == 2 + 1, "once for each batch, and by the test"


def test_without_a_model_the_error_is_the_requests_and_later_ones_are_answered() -> None:
    models = Exchanged(None)
    batcher = Batcher(models)
    with pytest.raises(TransientError, match="no champion in memory"):
        batcher.submit(Wanted("summarize", ("a b",))).future.result(60)
    models.model = served(Writer()).current()
    assert batcher.submit(Wanted("summarize", ("a b",))).future.result(60).model.version == 7
    batcher.close()
    with pytest.raises(Closed, match="this server ends"):
        batcher.submit(Wanted("summarize", ("a b",)))


def test_the_end_does_not_wait_for_a_batch_that_hangs(caplog: pytest.LogCaptureFixture) -> None:
    writer = Writer()
    writer.may.clear()
    batcher = Batcher(served(writer))
    hangs = batcher.submit(Wanted("summarize", ("a b",)))
    assert writer.begun.wait(60)
    waits = batcher.submit(Wanted("summarize", ("a c",)))
    batcher.close(0.05)
    assert "the server ends without it" in caplog.text
    with pytest.raises(Closed):
        waits.future.result(0)
    writer.may.set()
    assert hangs.future.result(60).model.version == 7
