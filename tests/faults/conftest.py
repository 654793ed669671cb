"""One small data set, and one uninterrupted run of each configuration, for all tests of faults."""

from __future__ import annotations

import signal
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from mtl.config.retrain import RetrainConfig
from mtl.pipeline.prepare import prepare as prepare_dataset
from mtl.store.base import ObjectStore
from mtl.store.s3 import S3Store, make_client
from mtl.workspace import open_workspace
from tests.support.preludes import COMMIT, Strike
from tests.support.proxy import FaultProxy
from tests.support.radosgw import radosgw, why_not
from tests.support.retrains import small_config
from tests.support.s3 import moto
from tests.support.trainers import Machine, machine_with

NewMachine = Callable[[str], Machine]


def only_run(store: ObjectStore) -> str:
    """Identity of the one run that a store holds."""
    (run,) = {info.key.split("/")[1] for info in store.list("runs/")}
    return run


@pytest.fixture(scope="session")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("faults")


@pytest.fixture(scope="session")
def config(workshop: Path) -> RetrainConfig:
    """Six steps, a commit after every second one."""
    return small_config(workshop)


@pytest.fixture(scope="session")
def dataset(workshop: Path, config: RetrainConfig) -> str:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MTL_HOME", str(workshop / "home"))
        patch.delenv("MTL_STORE", raising=False)
        return prepare_dataset(open_workspace(), config).fingerprint


@pytest.fixture
def new_machine(workshop: Path, config: RetrainConfig, dataset: str, tmp_path: Path) -> Iterator[NewMachine]:
    """Makes fresh machines, each with a store of its own that holds the prepared data set."""
    made: list[Machine] = []

    def make(name: str) -> Machine:
        made.append(machine_with(tmp_path / name, workshop / "home" / "store" / "datasets", config, dataset))
        return made[-1]

    yield make
    for machine in made:
        for trainer in machine.started:
            trainer.discard()


@pytest.fixture
def machine(new_machine: NewMachine) -> Machine:
    return new_machine("machine")


@pytest.fixture(scope="session")
def plain(workshop: Path, config: RetrainConfig, dataset: str) -> str:
    """Sha256 of the adapter that the uninterrupted run ends with."""
    made = machine_with(workshop / "plain", workshop / "home" / "store" / "datasets", config, dataset)
    return made.train().adapter


@pytest.fixture(scope="session")
def killed(workshop: Path, config: RetrainConfig, dataset: str) -> Machine:
    """A machine whose trainer was killed with commits at 2 and 4. Not to be changed: copy it."""
    made = machine_with(workshop / "killed", workshop / "home" / "store" / "datasets", config, dataset)
    assert made.train(Strike(COMMIT, 3)).code == -signal.SIGKILL
    return made


@pytest.fixture
def halfway(killed: Machine, tmp_path: Path) -> Machine:
    """A machine of one's own whose trainer was killed with commits at 2 and 4."""
    return killed.copy(tmp_path / "halfway")


@pytest.fixture(scope="session")
def s3_server(request: pytest.FixtureRequest) -> Iterator[tuple[str, dict[str, str]]]:
    """(kind, environment) of an S3 server over real HTTP: moto's, or Ceph's radosgw where it is installed."""
    kind = request.param
    if kind == "radosgw":
        if why_not():
            pytest.skip(why_not())
        with radosgw() as server:
            yield kind, server.environment()
        return
    with moto() as environment:
        yield kind, environment


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Tests on S3 run on moto's server, and in the slow tier on radosgw; slow ones on radosgw alone where it is."""
    if "s3_server" in metafunc.fixturenames:
        real = pytest.param("radosgw", marks=pytest.mark.slow)
        slow = any(mark.name == "slow" for mark in metafunc.definition.iter_markers())
        kinds = ["moto" if why_not() else real] if slow else ["moto", real]
        metafunc.parametrize("s3_server", kinds, indirect=True, scope="session")


@dataclass(frozen=True)
class Cloud:
    """A machine whose store is a bucket, behind a proxy that can be told to fail. store: the same, past the proxy."""

    kind: str
    machine: Machine
    store: S3Store
    proxy: FaultProxy


@pytest.fixture
def cloud(
    s3_server: tuple[str, dict[str, str]],
    new_machine: NewMachine,
    workshop: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Cloud]:
    kind, environment = s3_server
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    client, bucket = make_client(), f"bucket-{uuid.uuid4().hex}"
    client.create_bucket(Bucket=bucket)
    store = S3Store(bucket, "some/prefix", client)
    for path in (workshop / "home" / "store" / "datasets").rglob("*"):
        if path.is_file():
            store.put_file(path.relative_to(workshop / "home" / "store").as_posix(), path)
    target = urlsplit(environment["AWS_ENDPOINT_URL_S3"])
    with FaultProxy(str(target.hostname), int(target.port or 0)) as proxy:
        machine = new_machine("machine")
        machine.store = store.uri
        machine.environment = {**environment, "AWS_ENDPOINT_URL_S3": proxy.url}
        yield Cloud(kind, machine, store, proxy)
