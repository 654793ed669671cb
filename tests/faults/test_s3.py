"""Between the trainer and S3: slow, gone, lossy, or saying no. The same adapter, and one entry for each commit."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from mtl.checkpoints.state import read_state
from mtl.checkpoints.verify import verify_run
from tests.faults.conftest import Cloud, only_run
from tests.support.preludes import COMMIT, STEP, Slow, Strike

pytestmark = pytest.mark.timeout(240)


def entries(cloud: Cloud) -> int:
    """How many entries the run's log has."""
    run = only_run(cloud.store)
    assert verify_run(cloud.store, run).intact
    return read_state(cloud.store, run).seq


MINUTES = 2.0  # that S3 is down; a call may take 5 by default
WHOLE = 1 + 3 + 1  # acquire, three commits, finish


def test_a_fresh_machine_goes_on_where_the_dead_one_stopped(cloud: Cloud, plain: str, tmp_path: Path) -> None:
    """It has the configuration and S3, and nothing else."""
    assert cloud.machine.train(Strike(COMMIT, 3)).code == -9
    again = cloud.machine.other(tmp_path / "fresh").train()
    assert again.result["resumed_from"] == 4
    assert again.adapter == plain


@pytest.mark.slow
def test_row_21_s3_answers_503(cloud: Cloud, plain: str) -> None:
    """At blobs, manifests and log entries, some of them twice in a row."""
    for what in (b"/blobs/", b"/manifests/", b"/log/"):
        cloud.proxy.fail("unavailable", times=3, containing=what)
    assert cloud.machine.train().adapter == plain
    assert cloud.proxy.injected == ["unavailable"] * 9
    assert entries(cloud) == WHOLE


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["end_body", "cut_body"])
def test_row_41_the_body_of_an_answer_breaks_off(cloud: Cloud, plain: str, tmp_path: Path, kind: str) -> None:
    """On the way to a fresh machine: of the data set, the log, the manifest and the blobs, some of them twice."""
    assert cloud.machine.train(Strike(COMMIT, 3)).code == -9
    for what in (b"/datasets/", b"/log/", b"/manifests/", b"/blobs/"):
        cloud.proxy.fail(kind, times=3, after=100, containing=what)
    again = cloud.machine.other(tmp_path / "fresh").train()
    assert cloud.proxy.injected == [kind] * 12
    assert again.result["resumed_from"] == 4
    assert again.adapter == plain
    assert entries(cloud) == WHOLE + 1


@pytest.mark.slow
def test_row_42_the_body_of_an_answer_stops(cloud: Cloud, plain: str, tmp_path: Path) -> None:
    """A body of which nothing more comes is given up after 20 seconds, and read on from there."""
    assert cloud.machine.train(Strike(COMMIT, 3)).code == -9
    cloud.proxy.fail("stall_body", times=1, after=100, containing=b"/blobs/")
    began = time.monotonic()
    again = cloud.machine.other(tmp_path / "fresh").train()
    assert cloud.proxy.injected == ["stall_body"]
    assert 20 <= time.monotonic() - began < 60
    assert again.result["resumed_from"] == 4
    assert again.adapter == plain


@pytest.mark.slow
def test_row_22_s3_is_slow(cloud: Cloud, plain: str) -> None:
    cloud.proxy.fail("delay", times=None, seconds=0.2)
    assert cloud.machine.train().adapter == plain
    assert entries(cloud) == WHOLE


@pytest.mark.slow
def test_row_22_s3_is_a_black_hole(cloud: Cloud, plain: str) -> None:
    """A request that nobody answers is given up after 20 seconds and made again."""
    cloud.proxy.fail("black_hole", times=1, containing=b"/blobs/")
    began = time.monotonic()
    assert cloud.machine.train().adapter == plain
    assert cloud.proxy.injected == ["black_hole"]
    assert 20 <= time.monotonic() - began < 60
    assert entries(cloud) == WHOLE


@pytest.mark.slow
def test_row_23_s3_is_down_for_minutes(cloud: Cloud, plain: str) -> None:
    """Training goes on beside it, waits at the next commit, and ends once S3 is back."""
    trainer = cloud.machine.start(Slow(STEP, 0.1))
    trainer.until("step", 1)
    cloud.proxy.fail("refuse", times=None)
    cloud.proxy.cut_all()
    time.sleep(MINUTES * 60)
    assert trainer.process.is_alive()
    assert trainer.of("commit") == []
    assert trainer.of("step")[-1]["step"] >= 3  # the steps after a save do not wait for it
    cloud.proxy.heal()
    assert trainer.end() == 0
    assert trainer.of("done")[0]["adapter_sha256"] == plain
    assert entries(cloud) == WHOLE


@pytest.mark.parametrize("what", [b"/log/", pytest.param(b"/blobs/", marks=pytest.mark.slow)])
def test_row_24_the_answer_to_a_write_is_lost(cloud: Cloud, plain: str, what: bytes) -> None:
    """The entry that got through is known again by its write id: one commit, not two, and nobody is fenced."""
    cloud.proxy.fail("lose_answer", times=3, containing=what)
    assert cloud.machine.train().adapter == plain
    assert cloud.proxy.injected == ["lose_answer"] * 3
    assert entries(cloud) == WHOLE


@pytest.mark.slow
def test_row_25_s3_is_down_for_longer_than_the_budget(cloud: Cloud, plain: str) -> None:
    trainer = cloud.machine.start(Slow(STEP, 0.3), MTL_STORE_PATIENCE="2")
    trainer.until("commit", 2)
    cloud.proxy.fail("refuse", times=None)
    cloud.proxy.cut_all()
    began = time.monotonic()
    assert trainer.end() == 69
    assert time.monotonic() - began < 30
    (error,) = trainer.of("error")
    assert error["kind"] == "transient"
    assert "gave up after" in error["message"]
    cloud.proxy.heal()
    again = cloud.machine.train()
    assert again.result["resumed_from"] >= 2
    assert again.adapter == plain


@pytest.mark.slow
def test_row_25_shards_that_are_read_while_training(cloud: Cloud, plain: str) -> None:
    """Without room for the data set: the batches to come are read from S3, which fails for them alone."""
    trainer = cloud.machine.start(Slow(STEP, 0.3), MTL_STORE_PATIENCE="2", MTL_DATASET_CACHE_MB="0")
    trainer.until("commit", 2)
    cloud.proxy.fail("unavailable", times=None, containing=b"/datasets/")
    assert trainer.end() == 69
    (error,) = trainer.of("error")
    assert error["kind"] == "transient"
    assert "-train-0.parquet" in error["message"]
    assert "gave up after" in error["message"]
    cloud.proxy.heal()
    cloud.proxy.fail("cut_body", times=3, after=100, containing=b"/datasets/")
    again = cloud.machine.train(MTL_DATASET_CACHE_MB="0")
    assert again.result["resumed_from"] >= 2
    assert again.adapter == plain


@pytest.mark.slow
def test_row_26_wrong_credentials_fail_at_once(cloud: Cloud, plain: str) -> None:
    """As expired ones do (tests/store/test_s3.py has every error code): told at once, and not tried again."""
    if cloud.kind != "radosgw":
        pytest.skip("moto takes any secret; radosgw is asked")
    assert cloud.machine.train(Strike(COMMIT, 3)).code == -9
    began = time.monotonic()
    refused = cloud.machine.train(AWS_SECRET_ACCESS_KEY="not-the-secret")
    assert refused.code == 1
    assert time.monotonic() - began < 30
    assert refused.error["kind"] == "permanent"
    assert "access denied" in refused.error["message"]
    assert "they are wrong or have expired" in refused.error["hint"]
    assert "not-the-secret" not in refused.stderr + str(refused.events)
    assert cloud.machine.train().adapter == plain


@pytest.mark.slow
def test_row_13_on_s3_two_owners_at_once(cloud: Cloud, plain: str) -> None:
    """One ends with exit 75; what it wrote before that is not what the other one's commits are made of."""
    first, second = cloud.machine.start(Slow(STEP, 0.2)), cloud.machine.start(Slow(STEP, 0.2))
    codes = {first.end(): first, second.end(): second}
    assert set(codes) == {0, 75}
    assert codes[0].of("done")[0]["adapter_sha256"] == plain
    assert verify_run(cloud.store, only_run(cloud.store)).intact
