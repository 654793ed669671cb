"""Is every byte of a run right? Behind `mtl checkpoints verify`."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from mtl.checkpoints.fetch import Damage, fetch_commit
from mtl.checkpoints.policies import REQUIRED_FILES
from mtl.checkpoints.records import Commit
from mtl.checkpoints.related import load_identity
from mtl.checkpoints.state import read_state, run_log, state_of
from mtl.errors import DamageError, NotFoundError
from mtl.layout import run_prefix
from mtl.store.base import ObjectStore
from mtl.store.searched import searched


@dataclass(frozen=True, slots=True)
class VerifyReport:
    """What `verify_run` read: the commits that are kept, and all that is not what was written."""

    identity: str
    commits: tuple[Commit, ...]
    damage: tuple[Damage, ...]

    @property
    def intact(self) -> bool:
        return not self.damage

    def to_dict(self) -> dict[str, object]:
        """For `--json`."""
        return {
            "identity": self.identity,
            "steps": [commit.step for commit in self.commits],
            "intact": self.intact,
            "damage": [{"step": d.step, "file": d.file, "key": d.key, "problem": d.problem} for d in self.damage],
        }


def verify_run(
    store: ObjectStore, identity: str, *, required: Collection[str] = REQUIRED_FILES, scratch: Path | None = None
) -> VerifyReport:
    """Read everything that run `identity` (its sha256) keeps and check it; nothing is changed.

    scratch: folder for one commit at a time, by default the system's. Raises NotFoundError if there is no such run,
    and what the store raises for trouble other than damage.
    """
    damage = [*_identity_damage(store, identity), *_log_damage(store, identity)]
    state = read_state(store, identity)
    for commit in state.commits:
        with TemporaryDirectory(dir=scratch) as folder:
            damage += fetch_commit(store, identity, commit=commit, folder=Path(folder), required=required)
    return VerifyReport(identity, state.commits, tuple(damage))


def _identity_damage(store: ObjectStore, identity: str) -> Iterator[Damage]:
    key = f"{run_prefix(identity)}/identity.json"
    try:
        intact = load_identity(store, identity).sha256 == identity
    except DamageError:
        intact = False
    except NotFoundError:
        if not run_log(store, identity).sequence():
            hint = f"mtl checkpoints list shows what there is; {searched(store)}"
            raise NotFoundError(f"no run {identity}", hint=hint) from None
        intact = False
    if not intact:
        yield Damage(0, key, "identity.json", "missing, or not the identity of this run")


def _log_damage(store: ObjectStore, identity: str) -> Iterator[Damage]:
    log = run_log(store, identity)
    for seq, info in log.sequence():
        try:
            entry = log.read(seq)
            if entry is not None:
                state_of(entry, identity)
        except DamageError as error:
            yield Damage(0, info.key, f"log entry {seq}", error.message)
