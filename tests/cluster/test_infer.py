"""Generation and evaluation on two nodes that share nothing: what one process gives, whatever happens to a node."""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from threading import Timer
from typing import Any

import pytest
import torch

from mtl.cluster import actors, connected
from mtl.cluster.code import versions
from mtl.config.retrain import RetrainConfig, parse_config
from mtl.config.run import RunConfig
from mtl.errors import InputError, TransientError
from mtl.evaluation.report import BEST, CANDIDATE, CHAMPION, EvalReport
from mtl.layout import PREDICTIONS, requests_prefix
from mtl.pipeline import generate_on_ray
from mtl.pipeline.evaluate import measure
from mtl.pipeline.generate import BatchJob, plan, run_shard
from mtl.pipeline.prepare import prepare
from mtl.pipeline.traffic import traffic_sample
from mtl.progress import ProgressEvent, subscribe
from mtl.store.base import ObjectStore
from mtl.store.open import open_store
from mtl.store.s3 import make_client
from mtl.task import BadRequest
from mtl.traffic.records import ServedAnswer
from mtl.traffic.sample import TrafficSample
from mtl.traffic.store import part_of
from mtl.workspace import Workspace, open_workspace
from tests.cluster.nodes import Nodes
from tests.support.bases import save_base
from tests.support.retrains import small_values
from tests.support.s3 import moto
from tests.support.trained import trained_model

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
NOW = datetime(2026, 11, 27, 12, tzinfo=UTC)


@pytest.fixture(scope="module")
def s3() -> Iterator[str]:
    """URI of a store in the environment of this process, and so of the nodes."""
    bucket = f"bucket-{uuid.uuid4().hex}"
    with moto() as environment, pytest.MonkeyPatch.context() as patch:
        for name, value in {**environment, "MTL_STORE": f"s3://{bucket}/prefix"}.items():
            patch.setenv(name, value)
        make_client().create_bucket(Bucket=bucket)
        yield f"s3://{bucket}/prefix"


def test_nodes_share_no_folder(s3: str, nodes: Nodes) -> None:
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy as On

    (nodes.folder / "driver" / "mine").write_text("x")

    def look(others: list[str]) -> tuple[str, list[list[str]]]:
        home = os.environ["MTL_HOME"]
        (Path(home) / "own").write_text("x")
        return home, [[item.name for item in Path(folder).iterdir()] for folder in others if folder != home]

    folders = [str(node.home) for node in nodes.workers]
    with connected() as ray:
        task = ray.remote(num_cpus=1)(look)
        on = [On(node["NodeID"], soft=False) for node in ray.nodes() if node["Resources"].get("CPU")]
        asked = [*folders, str(nodes.folder / "driver")]
        seen = ray.get([task.options(scheduling_strategy=strategy).remote(asked) for strategy in on])
    assert {home for home, _ in seen} == set(folders)
    assert all(names == [] for _, others in seen for names in others)


@dataclass
class Cluster:
    """driver: a folder that no node sees."""

    nodes: Nodes
    driver: Path
    store: ObjectStore


@pytest.fixture(scope="module")
def cluster(s3: str, nodes: Nodes) -> Iterator[Cluster]:
    driver = nodes.folder / "driver"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MTL_HOME", str(driver / "home"))
        yield Cluster(nodes, driver, open_store(s3))


@pytest.fixture(scope="module")
def job(cluster: Cluster) -> BatchJob:
    """Ten shards, with rows that are refused."""
    texts = [f"Boat {n} came." if n % 7 else n for n in range(30)]
    source = cluster.driver / "texts.jsonl"
    source.write_text("\n".join(json.dumps({"text": text}) for text in texts))
    return job_of(source, trained_model(cluster.driver / "model"))


def job_of(source: Path, model: Path, **request: Any) -> BatchJob:
    asked: dict[str, Any] = {"task": "mcq" if request else "summarize", "request": request, "model": "none"}
    return plan(open_workspace(), source, ref=str(model), shard_rows=3, truncate=True, **asked)


@pytest.fixture(scope="module")
def parts(job: BatchJob, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """What one process writes."""
    folder = tmp_path_factory.mktemp("parts")
    for number in range(job.shards):
        run_shard(job, number, folder)
    return files(folder)


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@contextmanager
def when(done: int, do: Callable[[], object]) -> Iterator[list[ProgressEvent]]:
    """Do something as soon as so much is done; the events."""
    seen: list[ProgressEvent] = []

    def look(event: ProgressEvent) -> None:
        before = seen[-1].done if seen else -1
        seen.append(event)
        if before < done <= event.done:
            do()

    with subscribe(look):
        yield seen


def test_finished_shards_are_found_again_and_a_paused_node_is_waited_for(
    cluster: Cluster, job: BatchJob, parts: dict[str, bytes], tmp_path: Path
) -> None:
    finished = run_shard(job, 4, tmp_path)
    written = Path(finished.path).stat().st_mtime_ns
    node = cluster.nodes.workers[0]

    def pause() -> None:
        node.pause()
        Timer(3.0, node.go_on).start()

    with when(3, pause) as seen:
        found = generate_on_ray.run_shards(job, tmp_path)
    assert files(tmp_path) == parts
    assert [Path(part.path).name for part in found] == sorted(parts)
    assert sum(part.refused for part in found) == 5
    assert [event.done for event in seen] == list(range(1, job.shards + 1))
    assert Path(finished.path).stat().st_mtime_ns == written


def test_what_is_wrong_with_a_request_is_said_as_by_one_process(
    cluster: Cluster, job: BatchJob, tmp_path: Path
) -> None:
    wrong = job_of(Path(job.source), Path(job.folder), easy=99)
    with pytest.raises(BadRequest) as here:
        run_shard(wrong, 0, tmp_path)
    with pytest.raises(BadRequest) as there:
        generate_on_ray.run_shards(wrong, tmp_path)
    assert there.value.to_dict() == here.value.to_dict()
    assert files(tmp_path) == {}


def test_a_machine_with_another_version_answers_nothing(
    cluster: Cluster, job: BatchJob, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(actors, "versions", lambda: {**versions(), "tokenizers": "0.0"})
    with pytest.raises(InputError, match=r"\(127\.0\.0\.\d\) has other versions .* tokenizers is 0\.0, here it is"):
        generate_on_ray.run_shards(job, tmp_path)
    assert files(tmp_path) == {}


def test_a_worker_sees_no_gpu_that_nobody_asked_for(cluster: Cluster) -> None:
    def make() -> Callable[[str], str | None]:
        return lambda name: os.environ.get(name)

    with actors.workers(make, most=1, cpus=1) as pool:
        (found,) = pool.answers({"names": ["CUDA_VISIBLE_DEVICES"]})
    assert found == ("names", 0, "")


def test_parts_are_those_of_one_process_though_a_node_is_killed(
    cluster: Cluster, job: BatchJob, parts: dict[str, bytes], tmp_path: Path
) -> None:
    with when(2, cluster.nodes.workers[0].kill):
        generate_on_ray.run_shards(job, tmp_path)
    assert files(tmp_path) == parts
    cluster.nodes.add()


@dataclass
class House:
    """measured_here: the report of one process, and the answers that it kept."""

    workspace: Workspace
    config: RetrainConfig
    dataset: str
    folders: dict[str, Path]
    traffic: TrafficSample | None

    def measure(self, engine: str) -> tuple[EvalReport, dict[str, bytes]]:
        """The report, and the answers that are kept because of it; none were kept before."""
        store = self.workspace.store
        for info in store.list(PREDICTIONS):
            store.delete(info.key)
        config = self.config.model_copy(update={"run": RunConfig(engine=engine)})
        report = measure(self.workspace, config, self.dataset, self.folders, traffic=self.traffic)
        return report, {info.key: store.get(info.key) for info in store.list(PREDICTIONS)}


@pytest.fixture(scope="module")
def house(cluster: Cluster) -> House:
    values = small_values(save_base(cluster.driver / "base"))
    for source in values["data"]["sources"]:
        source["rows"] = {"train": 4, "validation": 100}
    evaluate = {**values["evaluate"], "max_examples": 50, "traffic_examples": 40}
    config, workspace = parse_config(values | {"evaluate": evaluate}), open_workspace()
    log_requests(workspace.store, config.register_.model)
    folders = {name: trained_model(cluster.driver / name, seed=n) for n, name in enumerate((CANDIDATE, CHAMPION, BEST))}
    dataset = prepare(workspace, config).fingerprint
    traffic = traffic_sample(workspace, config, dataset, folders[CANDIDATE], now=NOW)
    return House(workspace, config, dataset, folders, traffic)


def log_requests(store: ObjectStore, model: str) -> None:
    """The evaluation has candidate and champion answer these too."""
    unused: Any = {"decoding": {}, "truncated": False, "answer": "x", "version": 1, "milliseconds": 1.0}
    at, asked = NOW.replace(hour=9).isoformat(), {"summarize": {}, "mcq": {"easy": 1}}
    answers = [
        ServedAnswer(f"{n:032x}", at, task, f"Boat {n} came home late.", asked[task], **unused)
        for n, task in enumerate(["summarize", "mcq"] * 40)
    ]
    store.put(f"{requests_prefix(model)}/{NOW:%Y-%m-%d}/a.parquet", part_of(answers))


@pytest.fixture(scope="module")
def here(house: House) -> tuple[EvalReport, dict[str, bytes]]:
    return house.measure("local")


@pytest.fixture(autouse=True, scope="module")
def two_threads() -> Iterator[None]:
    """Not what a worker has of itself."""
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def everything(report: EvalReport) -> str:
    """All that was measured, to the last bit; NaN equals itself."""
    return json.dumps(report.measured(), sort_keys=True) + repr(report.scores)


def test_a_report_and_what_it_keeps_are_those_of_one_process(
    cluster: Cluster, house: House, here: tuple[EvalReport, dict[str, bytes]]
) -> None:
    report, kept = house.measure("ray")
    assert everything(report) == everything(here[0])
    assert report.origin == here[0].origin
    assert report.traffic is not None and here[0].traffic is not None
    assert report.traffic.examples == {"summarize": 40, "mcq": 40}, "logged texts"
    assert report.traffic.origin == here[0].traffic.origin
    assert kept == here[1]


def test_a_report_is_that_of_one_process_though_a_node_is_killed(
    cluster: Cluster, house: House, here: tuple[EvalReport, dict[str, bytes]]
) -> None:
    with when(1, cluster.nodes.workers[-1].kill):
        report, kept = house.measure("ray")
    assert everything(report) == everything(here[0])
    assert kept == here[1]


def test_without_its_head_finished_shards_are_kept_for_the_next_cluster(
    cluster: Cluster, job: BatchJob, parts: dict[str, bytes], tmp_path: Path
) -> None:
    head = cluster.nodes.head
    assert head is not None
    with when(2, head.kill), pytest.raises(TransientError, match="Ray cluster"):
        generate_on_ray.run_shards(job, tmp_path)
    kept = files(tmp_path)
    assert len(kept) >= 2 and kept.items() <= parts.items()
    cluster.nodes.restart()
    generate_on_ray.run_shards(job, tmp_path)
    assert files(tmp_path) == parts
