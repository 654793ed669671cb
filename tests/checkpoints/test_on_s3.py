"""Checkpoints on S3, with a wire that cuts and loses answers."""

from __future__ import annotations

import random
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from mtl.checkpoints.checkpoint_store import CheckpointStore
from mtl.checkpoints.prune import plan_prune, prune
from mtl.checkpoints.verify import verify_run
from mtl.errors import FencedError
from mtl.store.retry import Patience
from mtl.store.s3 import S3Store
from tests.support.checkpoints import checkpoint_files, checkpoint_folder, contents, identity
from tests.support.proxy import FaultProxy

RUN = identity()
QUICK = Patience(seconds=10.0, first=0.01, longest=0.05)
DAY = 24 * 3600.0


@pytest.mark.parametrize("seed", range(2))
def test_a_run_over_a_bad_wire_loses_and_doubles_nothing(
    aws: str, bucket: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, seed: int
) -> None:
    """About every third request is cut or its answer lost; the log has one entry for each call all the same."""
    target = urlsplit(aws)
    chance = random.Random(seed)
    with FaultProxy(target.hostname or "", target.port or 0) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", proxy.url)
        store = S3Store(bucket, "p", patience=QUICK)
        checkpoints = CheckpointStore(store, RUN, "a")
        checkpoints.acquire()
        for step in (10, 20, 30):
            for _ in range(5):
                kind = chance.choice(["cut", "lose_answer", "refuse"])
                proxy.fail(
                    kind, after=chance.randrange(600), containing=chance.choice([b"PUT", b"GET", b"HEAD", b"log"])
                )
            checkpoints.commit(step, checkpoint_folder(tmp_path, step), metric=-step)
        checkpoints.finish(30)
        restored = CheckpointStore(store, RUN, "b").restore(tmp_path / "restored")
        assert restored is not None
        assert contents(tmp_path / "restored") == checkpoint_files(30)
        assert len(proxy.injected) > 5
        proxy.heal()
        assert checkpoints.state().seq == 5
        assert [commit.step for commit in checkpoints.commits()] == [10, 20, 30]
        assert verify_run(store, RUN.sha256).intact


def test_takeover_and_prune(aws: str, bucket: str, tmp_path: Path) -> None:
    store = S3Store(bucket, "p", patience=QUICK)
    first = CheckpointStore(store, RUN, "a", keep=1)
    first.acquire()
    for step in (10, 20):
        first.commit(step, checkpoint_folder(tmp_path, step))
    second = CheckpointStore(store, RUN, "b")
    assert second.acquire() == 2
    with pytest.raises(FencedError):
        first.commit(50, checkpoint_folder(tmp_path, 50))
    info = store.head(f"runs/{RUN.sha256}/identity.json")
    assert info is not None
    assert plan_prune(store, now=info.modified + 60).objects == ()
    later = info.modified + DAY + 3600
    plan = plan_prune(store, now=later)
    assert prune(store, plan, now=later) == len(plan.objects)
    assert verify_run(store, RUN.sha256).intact
