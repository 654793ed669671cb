"""Runs of one name: why a resume would not be the same run, and where a compatible one goes on from."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from mtl.checkpoints.identity import ResumeMode, RunIdentity, check_resume
from mtl.checkpoints.records import NAMES, name_prefix, run_prefix
from mtl.checkpoints.state import RunState, read_state
from mtl.errors import DamageError, NotFoundError
from mtl.store.base import ObjectInfo, ObjectStore


@dataclass(frozen=True, slots=True)
class Run:
    """A run in the store. unfinished: it has commits, and was not finished."""

    identity: RunIdentity
    state: RunState

    @property
    def unfinished(self) -> bool:
        return bool(self.state.commits) and self.state.finished_commit is None

    def to_dict(self) -> dict[str, object]:
        """For `mtl checkpoints list --json`."""
        return {
            "identity": self.identity.sha256,
            "name": self.identity.name,
            "owner": self.state.owner,
            "epoch": self.state.epoch,
            "steps": [commit.step for commit in self.state.commits],
            "finished": self.state.finished_commit is not None,
            "modified": self.state.modified,
        }


@dataclass(frozen=True, slots=True)
class ResumeSource:
    """Where to restore from: the run's own checkpoints, or those of a compatible run.

    differing: fields in which `identity` differs from the wanted one; not empty means no longer bit-exact.
    """

    identity: RunIdentity
    differing: tuple[str, ...] = ()


def all_runs(store: ObjectStore) -> Iterator[Run]:
    """Every run of the store, by name."""
    return _runs(store, store.list(NAMES))


def find_related(store: ObjectStore, wanted: RunIdentity) -> Iterator[Run]:
    """Other runs with the name of `wanted`, the one begun last first; each is read only when it is asked for."""
    infos = sorted(store.list(name_prefix(wanted.name)), key=lambda info: info.modified, reverse=True)
    return (run for run in _runs(store, infos) if run.identity.sha256 != wanted.sha256)


def resume_source(store: ObjectStore, wanted: RunIdentity, *, mode: ResumeMode = "exact") -> ResumeSource:
    """Which checkpoints `wanted` goes on from: its own, or (mode compatible) those of the run before it.

    Raises MismatchError, naming the fields and both values, if `wanted` has no commits yet and the other run of
    this name that was begun last is unfinished and differs in a field that `mode` does not allow.
    """
    if read_state(store, wanted.sha256).commits:
        return ResumeSource(wanted)
    before = next(find_related(store, wanted), None)
    if before is None or not before.unfinished:
        return ResumeSource(wanted)
    return ResumeSource(before.identity, tuple(check_resume(before.identity, wanted, mode=mode)))


def load_identity(store: ObjectStore, identity: str) -> RunIdentity:
    """The fields behind an identity hash. NotFoundError for an unknown one, DamageError if they rotted."""
    key = f"{run_prefix(identity)}/identity.json"
    return RunIdentity.from_json(store.get(key), key=key)


def _runs(store: ObjectStore, infos: Iterable[ObjectInfo]) -> Iterator[Run]:
    """The runs listed by `infos`; from the copy of the identity there, or else from the one beside the run."""
    for info in infos:
        sha256 = info.key.rpartition("/")[2].removesuffix(".json")
        try:
            identity = RunIdentity.from_json(store.get(info.key), key=info.key)
        except DamageError:
            identity = load_identity(store, sha256)
        except NotFoundError:
            continue  # removed since it was listed
        yield Run(identity, read_state(store, identity.sha256))
