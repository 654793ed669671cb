"""Preparation beyond one machine: the same pieces of work, handed to a Prefect task runner.

    python -m flows.prepare conf/flan-t5-base.yaml --shards 8 --ray auto

`--ray` takes the address of a cluster (`auto` for the one this machine belongs to, `local` for one started here); it
needs the extra: pip install 'mtl-retrain[ray]'. All workers must see the same MTL_HOME. The bytes are those of
`mtl prepare`.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any, TypeVar

from prefect import flow, task
from prefect.cache_policies import NO_CACHE
from prefect.task_runners import TaskRunner
from pydantic import Field

from flows import events
from flows.retrying import is_transient
from mtl.config.retrain import RetrainConfig, load_config
from mtl.pipeline.prepare import prepare as prepare_dataset
from mtl.workspace import open_workspace

T = TypeVar("T")
R = TypeVar("R")


@task(
    name="piece of preparation",
    cache_policy=NO_CACHE,
    retries=2,
    retry_delay_seconds=2,
    retry_condition_fn=is_transient,
)
def piece(work: Callable[[Any], Any], item: Any) -> Any:
    """One piece: it writes its own files whole, so trying it again is harmless."""
    return work(item)


class PrefectRunner:
    """A runner of `mtl.data` that submits each piece to the task runner of the flow it is used in."""

    def __init__(self, shards: int) -> None:
        self.shards = shards

    def map(self, work: Callable[[T], R], items: Sequence[T], tick: Callable[[], None]) -> list[R]:
        futures = [piece.submit(work, item) for item in items]
        results = []
        for future in futures:
            results.append(future.result())
            tick()
        return results


@flow(
    name="prepare",
    description="Prepare the data set in shards.",
    validate_parameters=True,
    on_failure=[events.run_ended_badly],
    on_crashed=[events.run_ended_badly],
)
def prepare(
    config: RetrainConfig,
    shards: Annotated[int, Field(ge=1, description="Number of shards that are prepared at the same time.")] = 2,
) -> dict[str, Any]:
    """The manifest of the data set; the task runner decides where the pieces are worked on."""
    return prepare_dataset(open_workspace(), config, runner=PrefectRunner(shards)).to_json()


def ray_runner(address: str) -> TaskRunner[Any]:
    """Prefect's task runner for the Ray cluster at `address`; `local` starts one."""
    from prefect_ray import RayTaskRunner

    runner: TaskRunner[Any] = RayTaskRunner(address=None if address == "local" else address)
    return runner


def main(arguments: Sequence[str]) -> None:
    """The command line above; prints the manifest."""
    parser = argparse.ArgumentParser(description="Make the data set in shards, on Prefect's task runners")
    parser.add_argument("config", type=Path)
    parser.add_argument("--shards", type=int, default=2)
    parser.add_argument("--ray", metavar="ADDRESS", help="auto, local or ray://HOST:PORT; without it: threads")
    options = parser.parse_args(arguments)
    chosen = prepare.with_options(task_runner=ray_runner(options.ray)) if options.ray else prepare
    print(json.dumps(chosen(load_config(options.config), options.shards)))  # noqa: T201  # this is its output


if __name__ == "__main__":
    main(sys.argv[1:])
