"""Bytes that rot, vanish or never reached the disk: the commit before, or scratch, and the same adapter."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from mtl.checkpoints.fetch import load_manifest
from mtl.checkpoints.policies import REQUIRED_FILES
from mtl.checkpoints.state import read_state
from mtl.checkpoints.verify import verify_run
from mtl.layout import blob_key
from mtl.store.folder import FolderStore
from tests.faults.conftest import only_run
from tests.support.mutations import seal, tree
from tests.support.preludes import WRITE, PowerLoss, Strike, after_power_loss
from tests.support.trainers import Machine

pytestmark = pytest.mark.slow
FILES = sorted(REQUIRED_FILES)


def blob(machine: Machine, step: int, name: str) -> Path:
    """Where a file of the commit at `step` is kept."""
    store = FolderStore(machine.store)
    run = only_run(store)
    commit = next(commit for commit in read_state(store, run).commits if commit.step == step)
    file = next(file for file in load_manifest(store, run, commit).files if file.name == name)
    return Path(machine.store, blob_key(run, file.sha256))


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def zero(path: Path) -> None:
    path.write_bytes(bytes(path.stat().st_size))


DAMAGE: list[Callable[[Path], None]] = [flip, truncate, zero, Path.unlink]
OWN = [name for name in FILES if name != "adapter_config.json"]  # the others share its blob, which is the same


@pytest.mark.parametrize("name", OWN)
def test_row_18_one_flipped_bit_in_each_file(halfway: Machine, plain: str, name: str) -> None:
    flip(blob(halfway, 4, name))
    again = halfway.train()
    assert again.result["resumed_from"] == 2
    assert [name in event["message"] for event in again.of("log")] == [True]
    assert again.adapter == plain


@pytest.mark.parametrize("damage", DAMAGE[1:])
@pytest.mark.parametrize("name", OWN)
def test_row_19_a_truncated_zeroed_or_missing_file(
    halfway: Machine, plain: str, name: str, damage: Callable[[Path], None]
) -> None:
    damage(blob(halfway, 4, name))
    again = halfway.train()
    assert again.result["resumed_from"] == 2
    assert again.adapter == plain


@pytest.mark.parametrize("damage", DAMAGE)
def test_row_20_every_commit_damaged(halfway: Machine, plain: str, damage: Callable[[Path], None]) -> None:
    """What all commits share is gone, so none is whole: from scratch, and loudly."""
    damage(blob(halfway, 4, "adapter_config.json"))
    again = halfway.train()
    assert again.result["resumed_from"] is None
    assert "STARTING FROM SCRATCH" in " ".join(event["message"] for event in again.of("log"))
    assert again.adapter == plain
    assert verify_run(FolderStore(halfway.store), only_run(FolderStore(halfway.store))).intact


@pytest.mark.parametrize("nth", [5, 9, 11, 12, 14, 20])
def test_row_40_power_loss(machine: Machine, plain: str, tmp_path: Path, nth: int) -> None:
    """Power goes right after a write: only what was fsynced is left, and it is a whole commit or none."""
    durable = tmp_path / "durable"
    durable.mkdir()
    assert machine.train(PowerLoss(str(durable)), Strike(WRITE, nth, late=True)).code == -signal.SIGKILL
    left = machine.other(tmp_path / "left")
    left.store = str(tmp_path / "left-store")
    after_power_loss(durable, Path(machine.store), Path(left.store))
    data = Path(machine.store, "datasets")  # prepared before, and not part of this
    FolderStore(left.store).put("datasets/here", b"")
    for path in data.rglob("*"):
        if path.is_file():
            FolderStore(left.store).put_file(path.relative_to(machine.store).as_posix(), path)
    assert verify_run(FolderStore(left.store), only_run(FolderStore(left.store))).intact
    again = left.train()
    commit = 4 if nth > 18 else 2
    assert again.result["resumed_from"] == (None if nth < 12 else commit)
    assert again.adapter == plain


def newest_entry(machine: Machine) -> Path:
    """Of the log: that of the commit at step 4."""
    return max(Path(machine.store).glob("runs/*/log/*.json"))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("manifest", "../../../../outside"),
        ("sha256", "../../../../outside"),
        ("step", "4"),
        ("metric", {}),
    ],
)
def test_row_43_a_crafted_log_entry(halfway: Machine, plain: str, tmp_path: Path, field: str, value: object) -> None:
    """Its check fits, a field of it leads elsewhere or is of another kind: the commit before, and no file outside."""
    (tmp_path / "outside").write_text("mine")
    entry = newest_entry(halfway)
    document = json.loads(entry.read_bytes())
    document["commits"][-1][field] = value
    entry.write_text(json.dumps(seal(document)))
    again = halfway.train()
    assert again.result["resumed_from"] == 2
    assert again.adapter == plain
    assert f"commits.1.{field}: " in " ".join(event["message"] for event in again.of("log"))
    ours = ("halfway", "said-")  # the machine, and what its trainer said
    assert {path for path in tree(tmp_path) if not path.startswith(ours)} == {"outside"}


def test_row_45_an_older_entry_put_back_under_a_newer_number(halfway: Machine, plain: str) -> None:
    """Intact, but not where it was written: it does not rule."""
    entry = newest_entry(halfway)
    older = entry.with_name(f"{int(entry.stem) - 1:012}.json")
    entry.with_name(f"{int(entry.stem) + 1:012}.json").write_bytes(older.read_bytes())
    again = halfway.train()
    assert again.result["resumed_from"] == 4
    assert "was written as another entry" in " ".join(event["message"] for event in again.of("log"))
    assert again.adapter == plain
