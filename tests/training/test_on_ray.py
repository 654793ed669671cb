"""What becomes of a training on a cluster, from how its trainers ended; the cluster itself is in tests/cluster."""

from __future__ import annotations

import contextlib
import json
import sys
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from mtl.checkpoints.identity import RunIdentity
from mtl.config.retrain import RetrainConfig, parse_config
from mtl.errors import FencedError, MismatchError, MtlError, PermanentError, PreemptedError, TransientError
from mtl.training import on_ray, ray_worker
from mtl.training.ending import ending_of, error_event, error_of
from mtl.training.on_ray import end_of
from mtl.training.plan import TrainPlan, check_equal, pinned, world_size
from mtl.training.ray_worker import STOPPED, Board, End
from tests.support.disks import mounted

STEP = {"event": "step", "step": 1}
DONE = {"event": "done"}
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
        ([End(1, "No module named 'x'"), End(-15, "")], {}, None, PermanentError, "No module named 'x'"),
        ([End(-15, ""), End(1, "No module named 'x'")], {}, None, PermanentError, "No module named 'x'"),
        ([STOPPED, End(-15, "")], {}, None, PreemptedError, "stopped on request"),
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
    assert end_of([End(0, "")], DONE, LOST) == (0, DONE, "")


def test_a_trainer_that_fails_stops_the_others() -> None:
    board = Board()
    board.ended(End(0, ""))
    assert not board.stopping()
    board.ended(End(1, "why"))
    assert board.stopping()
    assert board.ends() == [End(0, ""), End(1, "why")]


class Call:
    """A method of an actor that answers at once."""

    def __init__(self, method: Callable[..., Any]) -> None:
        self.remote = method


def test_what_is_said_during_a_slow_event_still_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """The training ends while the driver passes an event on: the result is not lost."""
    board, passed_on = Board(), threading.Event()
    board.tell(json.dumps(STEP))
    actor = SimpleNamespace(**{name: Call(getattr(board, name)) for name in ("take", "stop", "ends")})

    def fit(*_: Any) -> None:
        passed_on.wait(10)
        board.tell(json.dumps(DONE))
        board.ended(End(0, ""))

    def on_event(event: Mapping[str, Any]) -> None:
        heard.append(event)
        passed_on.set()
        for thread in threading.enumerate():
            if thread.name == "ray-train":
                thread.join(10)

    remote = SimpleNamespace(options=lambda **_: SimpleNamespace(remote=lambda: actor))
    ray = SimpleNamespace(
        get=lambda value: value,
        remote=lambda _: remote,
        get_runtime_context=lambda: SimpleNamespace(get_node_id=lambda: "node"),
        util=SimpleNamespace(
            scheduling_strategies=SimpleNamespace(NodeAffinitySchedulingStrategy=lambda *_, **__: None)
        ),
        exceptions=SimpleNamespace(RayError=ConnectionError),
    )
    monkeypatch.setattr(on_ray, "connected", lambda: contextlib.nullcontext(ray))
    monkeypatch.setattr(on_ray, "_fit", fit)
    heard: list[Mapping[str, Any]] = []
    plan = TrainPlan(config={}, dataset="", store="", cache="", work="", owner="")
    assert on_ray.follow_on_ray(plan, on_event) == (0, DONE, "")
    assert heard == [STEP, DONE]


def test_a_full_disk_of_a_node_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And not a lost worker: to try again would not help."""
    board = Board()
    actor = SimpleNamespace(**{name: Call(getattr(board, name)) for name in ("tell", "ended")})
    monkeypatch.setitem(sys.modules, "ray", SimpleNamespace(get=lambda value: value))
    monkeypatch.setattr(ray_worker, "_environment", lambda **_: {})
    plan = TrainPlan(config={"much": "x" * 100_000}, dataset="", store="", cache="", work="", owner="")
    with mounted(tmp_path / "small", "size=64k") as home:
        monkeypatch.setenv("MTL_HOME", str(home))
        ray_worker.work({"plan": plan, "board": actor, "gpu": False})
    (line,) = board.take()
    error = error_of(ending_of(*end_of(board.ends(), json.loads(line), None)))
    assert type(error) is PermanentError
    assert "the disk is full" in error.message


def test_machines_that_differ_are_told_apart_by_field_and_rank() -> None:
    here, other = (RunIdentity.of("run", {"library.torch": version, "seed": 1}) for version in ("2.13.0", "2.12.1"))
    check_equal([here])
    check_equal([here, here, here])
    with pytest.raises(MismatchError, match=r"library\.torch: 2\.13\.0 for rank 0, 2\.12\.1 for rank 2\n") as caught:
        check_equal([here, here, other])
    assert caught.value.field == "library.torch"


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
