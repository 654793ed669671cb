"""RunState: what the log of a run says, read from its highest intact entry."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from typing import Any

from mtl.checkpoints.policies import retained, with_commit
from mtl.checkpoints.records import Commit
from mtl.document import Line, Sha256, Size, check_record
from mtl.errors import DamageError
from mtl.layout import run_prefix
from mtl.store.base import ObjectStore
from mtl.store.log import Entry, Log

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class RunState:
    """A run as its log has it.

    seq: number of the highest entry, 0 for none. epoch: goes up with each acquire. owner: who wrote that entry.
    commits: those that are kept, lowest step first. finished: step of the last commit of a run that is done.
    modified: when the store took the highest entry. damaged: keys of entries above the one that was read.
    """

    seq: int = 0
    epoch: int = 0
    owner: str = ""
    commits: tuple[Commit, ...] = ()
    finished: int | None = None
    modified: float = 0.0
    damaged: tuple[str, ...] = ()

    @property
    def finished_commit(self) -> Commit | None:
        """The last commit of a finished run."""
        return next((commit for commit in self.commits if commit.step == self.finished), None)

    @property
    def newest(self) -> Commit | None:
        """The commit with the highest step."""
        return self.commits[-1] if self.commits else None

    def to_document(self, kind: str, *, identity: str, write_id: str) -> dict[str, Any]:
        """The log entry that makes this state the run's."""
        return {
            "kind": kind,
            "epoch": self.epoch,
            "owner": self.owner,
            "identity": identity,
            "write_id": write_id,
            "finished": self.finished,
            "commits": [commit.to_document() for commit in self.commits],
        }


def committed(state: RunState, new: Commit, *, damaged: tuple[Commit, ...], keep: int) -> RunState:
    """`state` with a new commit, after retention; a finished run whose last commit was lost is unfinished again."""
    commits = retained(with_commit(state.commits, new, damaged=damaged), keep=keep)
    done = state.finished if any(commit.step == state.finished for commit in commits) else None
    return replace(state, commits=commits, finished=done)


def run_log(store: ObjectStore, identity: str) -> Log:
    """The log of a run."""
    return Log(store, f"{run_prefix(identity)}/log")


def read_state(store: ObjectStore, identity: str) -> RunState:
    """The state of run `identity`, from its highest intact entry; damaged entries above it are named in a warning.

    Each entry raises the epoch by at most one, so adding their number keeps the epoch above all that were ever given.
    """
    log = run_log(store, identity)
    sequence = log.sequence()
    damaged: list[str] = []
    for seq, info in reversed(sequence):
        try:
            entry = log.read(seq)
            state = state_of(entry, identity) if entry else None
        except DamageError as error:
            _log.warning("%s; falling back to the entry before it", error.message)
            damaged.append(info.key)
            continue
        if state is not None:
            return replace(
                state,
                seq=sequence[-1][0],
                epoch=state.epoch + len(damaged),
                modified=sequence[-1][1].modified,
                damaged=tuple(damaged),
            )
    top = sequence[-1] if sequence else None
    return RunState(
        seq=top[0] if top else 0,
        epoch=len(damaged),
        modified=top[1].modified if top else 0.0,
        damaged=tuple(damaged),
    )


def state_of(entry: Entry, identity: str) -> RunState:
    """What one entry of the run's log says. DamageError for what no run's owner writes, or another's entry."""
    name = f"log entry {entry.seq} of run {identity[:12]}"
    said = check_record(_Said, entry.document, name)
    if said.identity != identity:
        raise DamageError(f"{name} is damaged: it belongs to run {said.identity[:12]}", field="identity")
    return RunState(
        entry.seq,
        epoch=said.epoch,
        owner=said.owner,
        commits=tuple(sorted(said.commits, key=lambda commit: commit.step)),
        finished=said.finished,
        modified=entry.modified,
    )


@dataclass(frozen=True)
class _Said:
    """The fields of an entry that are read; see `RunState.to_document`."""

    epoch: Size
    owner: Line
    identity: Sha256
    commits: tuple[Commit, ...]
    finished: Size | None = None
