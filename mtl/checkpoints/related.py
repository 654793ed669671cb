"""Runs of one name: why a resume would not be the same run, and where a compatible one goes on from."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from mtl.checkpoints.identity import IDENTITY_HINT, ResumeMode, RunIdentity, check_resume, refused_fields
from mtl.checkpoints.records import NAMES, name_prefix
from mtl.checkpoints.state import RunState, read_state
from mtl.document import Line, Sha256, Size, check_record
from mtl.errors import DamageError, InputError, NotFoundError
from mtl.layout import run_prefix
from mtl.store.base import ObjectInfo, ObjectStore
from mtl.store.documents import delete_document, put_document, read_document
from mtl.store.searched import searched

_log = logging.getLogger(__name__)


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
    passed_by: the unfinished run of the same name that was not gone on from, because the wanted one is `unlike` it in
    these fields.
    """

    identity: RunIdentity
    differing: tuple[str, ...] = ()
    passed_by: RunIdentity | None = None
    unlike: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Lineage:
    """Kept beside a run that went on from another run's commit: it is no longer bit-exact, for ever."""

    source: Sha256
    step: Size
    differing: tuple[Line, ...]

    def to_dict(self) -> dict[str, Any]:
        return {"source": self.source, "step": self.step, "differing": list(self.differing)}


def keep_lineage(store: ObjectStore, identity: str, lineage: Lineage | None) -> None:
    """Note where run `identity` came from; None: from nowhere, whatever an earlier try noted."""
    if lineage is None:
        delete_document(store, _lineage_key(identity))
    else:
        put_document(store, _lineage_key(identity), lineage.to_dict())


def read_lineage(store: ObjectStore, identity: str) -> Lineage | None:
    """Where run `identity` came from; None if it began by itself."""
    key = _lineage_key(identity)
    hint = f"where the run came from is lost: mtl checkpoints prune --run {identity[:12]} removes it, to train it again"
    try:
        document = read_document(store, key, hint=hint)
    except NotFoundError:
        return None
    return check_record(Lineage, document, key, hint=hint)


def _lineage_key(identity: str) -> str:
    return f"{run_prefix(identity)}/lineage.json"


def all_runs(store: ObjectStore) -> Iterator[Run]:
    """Every run of the store, by name."""
    return _runs(store, store.list(NAMES))


def find_related(store: ObjectStore, wanted: RunIdentity) -> Iterator[Run]:
    """Other runs with the name of `wanted`, the one begun last first; each is read only when it is asked for."""
    infos = sorted(store.list(name_prefix(wanted.name)), key=lambda info: info.modified, reverse=True)
    return (run for run in _runs(store, infos) if run.identity.sha256 != wanted.sha256)


def resume_source(
    store: ObjectStore, wanted: RunIdentity, *, mode: ResumeMode = "exact", demanded: str | None = None
) -> ResumeSource:
    """Which checkpoints `wanted` goes on from.

    Its own, if it has any. Otherwise, in mode `compatible`, those of the unfinished run of this name that was begun
    last, if `mode` lets all fields in which they differ differ. Otherwise none: changed data or another configuration
    is another run, and an old unfinished one is in nobody's way; it is named in `passed_by`.

    demanded: an identity, or the beginning of one. That very run must be gone on from: raises MismatchError, naming
    each refused field with both values, NotFoundError or InputError if it names no run or several.
    """
    before = find_run(store, demanded) if demanded else _unfinished_before(store, wanted)
    if before is None or before.identity == wanted:
        return ResumeSource(wanted)
    if demanded:
        differing = tuple(check_resume(before.identity, wanted, mode=mode))
    else:
        differing = tuple(wanted.difference(before.identity))
        if mode == "exact" or refused_fields(differing, mode):
            return ResumeSource(wanted, passed_by=before.identity, unlike=differing)
    if read_state(store, wanted.sha256).commits or not before.state.commits:
        return ResumeSource(wanted)
    return ResumeSource(before.identity, differing)


def find_run(store: ObjectStore, prefix: str) -> Run:
    """The run whose identity begins with `prefix`. Errors: NotFoundError for none, InputError for several."""
    infos = [info for info in store.list(NAMES) if info.key.rpartition("/")[2].startswith(prefix)]
    found = list(_runs(store, infos))
    if not found:
        hint = f"mtl checkpoints list shows what there is; {searched(store)}"
        raise NotFoundError(f"no run {prefix}", field="run", hint=hint)
    if len(found) > 1:
        names = ", ".join(run.identity.sha256[: len(prefix) + 8] for run in found)
        raise InputError(
            f"{prefix} is the beginning of {len(found)} runs: {names}", field="run", hint="give more of it"
        )
    return found[0]


def _unfinished_before(store: ObjectStore, wanted: RunIdentity) -> Run | None:
    """The other run of this name that was begun last, if it is unfinished and `wanted` has nothing of its own yet."""
    if read_state(store, wanted.sha256).commits:
        return None
    before = next(find_related(store, wanted), None)
    return before if before is not None and before.unfinished else None


def load_identity(store: ObjectStore, identity: str) -> RunIdentity:
    """The fields behind an identity hash. NotFoundError for an unknown one, DamageError if they rotted."""
    key = f"{run_prefix(identity)}/identity.json"
    found = RunIdentity.from_json(store.get(key), key=key)
    if found.sha256 != identity:
        raise DamageError(f"{key} is the identity of another run", field=key, hint=IDENTITY_HINT)
    return found


def find_identity(store: ObjectStore, identity: str) -> RunIdentity:
    """The same from whichever copy is intact: the one beside the run, or the one that lists it."""
    try:
        return load_identity(store, identity)
    except (DamageError, NotFoundError) as error:
        for info in store.list(NAMES):
            if info.key.endswith(f"/{identity}.json"):
                return _listed(store, info, identity)
        raise error


def _listed(store: ObjectStore, info: ObjectInfo, identity: str) -> RunIdentity:
    found = RunIdentity.from_json(store.get(info.key), key=info.key)
    if found.sha256 != identity:
        raise DamageError(f"{info.key} is the identity of another run", field=info.key, hint=IDENTITY_HINT)
    return found


def _runs(store: ObjectStore, infos: Iterable[ObjectInfo]) -> Iterator[Run]:
    """The runs listed by `infos`; from the copy of the identity there, or else from the one beside the run.

    One that neither names is passed over with a warning: it must not stand in the way of the others.
    """
    for info in infos:
        sha256 = info.key.rpartition("/")[2].removesuffix(".json")
        try:
            identity = _listed(store, info, sha256)
        except NotFoundError:
            continue  # removed since it was listed
        except DamageError:
            try:
                identity = load_identity(store, sha256)
            except (DamageError, NotFoundError) as error:
                _log.warning("run %s is passed over: %s (%s)", sha256[:12], error.message, IDENTITY_HINT)
                continue
        yield Run(identity, read_state(store, identity.sha256))
