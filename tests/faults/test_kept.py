"""Killed while answers are kept, an evaluation that is done again reports the same, and takes what was kept."""

from __future__ import annotations

import multiprocessing
import signal
from pathlib import Path

import pytest

from mtl.evaluation.report import CANDIDATE, CHAMPION
from mtl.layout import PREDICTIONS
from mtl.store.folder import FolderStore
from tests.evaluation.test_kept_report import House, everything, taken
from tests.support.preludes import WRITE, Strike
from tests.support.trained import trained_model

pytestmark = pytest.mark.slow
_SPAWN = multiprocessing.get_context("spawn")  # torch's threads do not survive a fork


def evaluate(folders: dict[str, Path], store: Path, out: Path, strike: Strike | None) -> None:
    """The work of the process that is killed; what it measured is the content of `out`."""
    if strike is not None:
        strike()
    report = House(folders, FolderStore(str(store))).measure()
    out.write_text(everything(report) + f"\n{sum(taken(report).values())}")


def run(folders: dict[str, Path], store: Path, out: Path, strike: Strike | None = None) -> int | None:
    process = _SPAWN.Process(target=evaluate, args=(folders, store, out, strike))
    process.start()
    process.join()
    return process.exitcode


@pytest.mark.parametrize(("nth", "late"), [(2, False), *((n, late) for n in (1, 3, 6) for late in (False, True))])
def test_killed_while_answers_are_kept(tmp_path: Path, nth: int, late: bool) -> None:
    folders = {name: trained_model(tmp_path / name, seed=n) for n, name in enumerate((CANDIDATE, CHAMPION))}
    whole = everything(House(folders, FolderStore(str(tmp_path / "another"))).measure(store=False))
    store, out = tmp_path / "store", tmp_path / "report"
    assert run(folders, store, out, Strike(WRITE, nth, late=late)) == -signal.SIGKILL
    assert not out.exists()
    kept = len(list(FolderStore(str(store)).list(PREDICTIONS)))
    assert kept == (nth if late else nth - 1), "nothing half-written is there"
    assert run(folders, store, out) == 0
    measured, _, number = out.read_text().rpartition("\n")
    assert measured == whole
    assert (int(number) > 0) == (kept > 0)
