"""What becomes of a training on a cluster, from how its trainers ended; the cluster itself is in tests/cluster."""

from __future__ import annotations

from typing import Any

import pytest

from mtl.config.retrain import RetrainConfig, parse_config
from mtl.errors import FencedError, MtlError, PreemptedError, TransientError
from mtl.training.ending import ending_of, error_event, error_of
from mtl.training.on_ray import end_of
from mtl.training.plan import pinned, world_size
from mtl.training.ray_worker import STOPPED, Board, End

STEP = {"event": "step", "step": 1}
PEER = {"event": "error", "cause": "peer_lost", "kind": "transient", "message": "a peer", "exit_code": 76}
FENCED = {"event": "error", **error_event(FencedError("another owns the run"))}
LOST = TransientError("trainer 1 was lost")


@pytest.mark.parametrize(
    ("ends", "last", "failure", "kind", "message"),
    [
        ([End(76, ""), End(-9, "")], PEER, None, TransientError, "the trainer was killed by SIGKILL"),
        ([End(-9, ""), End(76, "")], STEP, None, TransientError, "the trainer was killed by SIGKILL"),
        ([End(76, "")], PEER, LOST, TransientError, "trainer 1 was lost"),
        ([], STEP, LOST, TransientError, "trainer 1 was lost"),
        ([End(75, ""), STOPPED], FENCED, None, FencedError, "another owns the run"),
        ([End(75, "")], FENCED, LOST, FencedError, "another owns the run"),
        ([STOPPED, STOPPED], {}, None, PreemptedError, "stopped on request"),
        ([], {}, None, PreemptedError, "stopped on request"),
    ],
)
def test_the_end_is_told_by_its_cause(
    ends: list[End], last: dict[str, Any], failure: MtlError | None, kind: type[MtlError], message: str
) -> None:
    error = error_of(ending_of(*end_of(ends, last, failure)))
    assert type(error) is kind
    assert message in error.message


def test_a_run_that_is_finished_stays_so_if_a_node_dies_then() -> None:
    assert end_of([End(0, "")], {"event": "done"}, LOST) == (0, {"event": "done"}, "")


def test_a_trainer_that_fails_stops_the_others() -> None:
    board = Board()
    board.ended(End(0, ""))
    assert not board.stopping()
    board.ended(End(1, "why"))
    assert board.stopping()
    assert board.ends() == [End(0, ""), End(1, "why")]


def test_nobody_waits_for_trainers_that_have_not_begun() -> None:
    board = Board()
    assert not board.stop()
    assert board.stopping()
    assert board.stop()


def configured(engine: str, threads: int | None = None) -> RetrainConfig:
    sources = [{"task": "summarize", "uri": "demo"}, {"task": "mcq", "uri": "demo"}]
    return parse_config(
        {"data": {"sources": sources}, "train": {"threads": threads}, "run": {"engine": engine, "trainers": 3}}
    )


def test_what_a_cluster_trains_with_does_not_depend_on_the_machine_that_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MTL_TRAINER_PROCESSES", "2")
    assert (world_size(configured("local")), world_size(configured("ray"))) == (2, 3)
    assert pinned(configured("local")).train.threads is None
    assert [pinned(configured("ray", threads)).train.threads for threads in (None, 4)] == [1, 4]
