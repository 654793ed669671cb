"""A training on the machines of a Ray cluster: Ray Train takes all of them at once, and gives them back at the end.

What is trained, saved and fenced is that of one machine; mtl.training.ray_worker is what runs on the others. A worker
that is lost is an error that the flow tries again: Ray Train itself starts nothing twice.
"""

from __future__ import annotations

import contextlib
import signal
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from mtl.cluster import connected
from mtl.config.retrain import RetrainConfig
from mtl.errors import MtlError, TransientError
from mtl.settings import current
from mtl.settings.environment import set_defaults
from mtl.training.ending import AGAIN, error_event, the_better
from mtl.training.events import parse_event
from mtl.training.plan import TrainPlan
from mtl.training.process import GRACE, on_sigterm
from mtl.training.ray_worker import STOPPED, Board, End, work

Event = Mapping[str, Any]
_SECONDS_BETWEEN_LOOKS = 1.0
_SECONDS_TO_STOP = GRACE + 3  # a worker kills its trainer after the grace
_PATIENCE = "RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S"
_PATIENCE_DEFAULT = "900"  # seconds until there is room: the cluster may have to start machines


def follow_on_ray(plan: TrainPlan, on_event: Callable[[Event], None]) -> tuple[int, Event, str]:
    """(exit code, the event that says most of the end, end of standard error) of the trainers of the cluster."""
    with connected() as ray:
        try:
            return _follow(ray, plan, on_event)
        except ray.exceptions.RayError as error:
            hint = f"start it again (ray status shows its machines), then {AGAIN}"
            raise TransientError(f"the Ray cluster is gone: {_first_line(error)}", hint=hint) from None


def _follow(ray: Any, plan: TrainPlan, on_event: Callable[[Event], None]) -> tuple[int, Event, str]:
    node = ray.get_runtime_context().get_node_id()
    here = ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy(node, soft=False)
    board = ray.remote(Board).options(num_cpus=0, scheduling_strategy=here).remote()
    failures: list[MtlError] = []
    # In a thread: in the main one, Ray Train would take over Ctrl-C for good.
    fit = threading.Thread(target=_fit, args=(plan, board, failures), daemon=True, name="ray-train")
    fit.start()

    def stop() -> float:
        """Have the trainers save and end; how many seconds that may take."""
        return _SECONDS_TO_STOP if ray.get(board.stop.remote()) else 0.0

    asked, until = threading.Event(), float("inf")
    last: Event = {}
    try:
        with on_sigterm(asked.set):
            while fit.is_alive() and time.monotonic() < until:
                fit.join(_SECONDS_BETWEEN_LOOKS)
                last = _passed_on(ray.get(board.take.remote()), last, on_event)
                if asked.is_set() and until == float("inf"):
                    until = time.monotonic() + stop()
            # What was said while on_event ran for the last time.
            last = _passed_on(ray.get(board.take.remote()), last, on_event)
    except BaseException:
        with contextlib.suppress(ray.exceptions.RayError):
            fit.join(stop())
        raise
    return end_of(ray.get(board.ends.remote()), last, failures[0] if failures else None)


def _passed_on(lines: Sequence[str], last: Event, on_event: Callable[[Event], None]) -> Event:
    """The event that says most, of those in `lines` and the one before."""
    for event in map(parse_event, lines):
        if event is not None:
            last = the_better(last, event)
            on_event(event)
    return last


def end_of(ends: Sequence[End], last: Event, failure: MtlError | None) -> tuple[int, Event, str]:
    """What became of a training whose trainers ended so; failure: of Ray Train, for a worker or node that is gone."""
    if last.get("event") == "done":
        return 0, last, ""
    if failure is not None and last.get("cause") in (None, "peer_lost"):
        words = error_event(failure)
        return words["exit_code"], {"event": "error", **words}, ""
    end = min((end for end in ends if end.code != 0), key=_order, default=STOPPED)
    return end.code, last, end.tail


def _order(end: End) -> int:
    """The one that says most comes first: killed, failed, stopped. A trainer that fails has the others stopped."""
    if end.code in (-signal.SIGTERM, STOPPED.code):
        return 2
    return 0 if end.code < 0 else 1


def _fit(plan: TrainPlan, board: Any, failures: list[MtlError]) -> None:
    config = plan.parsed()
    try:
        _trainer(plan, config, board).fit()
    except Exception as error:  # Ray's, and what its own controller raised
        failures.append(_failure(error, config))


def _trainer(plan: TrainPlan, config: RetrainConfig, board: Any) -> Any:
    from ray.train import FailureConfig, RunConfig, ScalingConfig
    from ray.train.v2.api.data_parallel_trainer import DataParallelTrainer  # TorchTrainer without torch in its workers

    # Otherwise Ray Train changes its workers' directory, in which relative paths of the configuration are.
    set_defaults({_PATIENCE: _PATIENCE_DEFAULT, "RAY_CHDIR_TO_TRIAL_DIR": "0"})
    return DataParallelTrainer(
        work,
        train_loop_config={"plan": plan, "board": board, "gpu": config.run.gpu},
        scaling_config=ScalingConfig(
            num_workers=config.run.trainers,
            use_gpu=config.run.gpu,
            resources_per_worker={"CPU": config.train.threads},
            placement_strategy="SPREAD",
        ),
        run_config=RunConfig(
            name="ray",
            storage_path=plan.work,
            failure_config=FailureConfig(max_failures=0, max_preemption_failures=0, controller_failure_limit=0),
        ),
    )


def _failure(error: Exception, config: RetrainConfig) -> MtlError:
    """A failure of Ray Train, as one that is worth another try."""
    from ray.train import ControllerError, WorkerGroupError

    if isinstance(error, WorkerGroupError):
        number, why = min(error.worker_failures.items())
        return TransientError(f"trainer {number} was lost with its Ray worker: {_first_line(why)}", hint=AGAIN)
    cause = error.controller_failure if isinstance(error, ControllerError) else error
    if type(cause).__name__ in ("WorkerGroupStartupTimeoutError", "InsufficientClusterResourcesError"):
        each = f"{config.train.threads} CPUs" + (" and a GPU" if config.run.gpu else "")
        return TransientError(
            f"the Ray cluster had no room for {config.run.trainers} trainers of {each} within {current()[_PATIENCE]} s",
            field="run.trainers",
            hint=f"add nodes (ray status shows what there is), or lower run.trainers; {_PATIENCE} is the time to wait",
        )
    return TransientError(f"Ray Train failed: {_first_line(cause)}", hint=AGAIN)


def _first_line(error: BaseException) -> str:
    return f"{type(error).__name__}: {str(error).strip().splitlines()[0]}" if str(error).strip() else repr(error)
