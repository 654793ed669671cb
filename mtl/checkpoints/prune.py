"""What may be deleted, and deleting it. Behind `mtl checkpoints prune`.

Only blobs and manifests that no kept commit needs, a day after they were written. Log entries stay until the whole
run is removed: a deleted number could be put again by a writer that slept.
"""

from __future__ import annotations

from dataclasses import dataclass

from mtl.checkpoints.fetch import load_manifest
from mtl.checkpoints.policies import GRACE_SECONDS, collectable
from mtl.checkpoints.records import NAMES, manifest_key
from mtl.checkpoints.related import all_runs
from mtl.checkpoints.state import RunState, read_state
from mtl.errors import DamageError, NotFoundError
from mtl.layout import blob_key, run_prefix
from mtl.store.base import ObjectInfo, ObjectStore
from mtl.store.searched import searched


@dataclass(frozen=True, slots=True)
class PrunePlan:
    """What would be deleted, in order of keys, and which runs are left alone and why."""

    objects: tuple[ObjectInfo, ...]
    skipped: tuple[tuple[str, str], ...] = ()

    @property
    def bytes(self) -> int:
        return sum(info.size for info in self.objects)

    def to_dict(self) -> dict[str, object]:
        """For `mtl checkpoints prune --json`."""
        return {
            "objects": [info.key for info in self.objects],
            "bytes": self.bytes,
            "skipped": [{"identity": identity, "reason": reason} for identity, reason in self.skipped],
        }


def plan_prune(store: ObjectStore, *, now: float | None = None, grace: float = GRACE_SECONDS) -> PrunePlan:
    """What no kept commit of any run needs, written more than `grace` seconds before `now`. Deletes nothing.

    now: by default what the store's own clock says; this machine's may be wrong, and counts for nothing.
    A run whose log or manifests are damaged is skipped: what it needs cannot be known.
    """
    now = store.now() if now is None else now
    objects: list[ObjectInfo] = []
    skipped: list[tuple[str, str]] = []
    for run in all_runs(store):
        identity = run.identity.sha256
        try:
            objects += _plan_run(store, identity, run.state, now=now, grace=grace)
        except DamageError as error:
            skipped.append((identity, error.message))
    return PrunePlan(tuple(objects), tuple(skipped))


def prune(store: ObjectStore, plan: PrunePlan, *, now: float | None = None, grace: float = GRACE_SECONDS) -> int:
    """Delete what `plan` names, unless it was written again or became needed since; sweep leftovers of killed writers.

    Returns how many objects were deleted.
    """
    now = store.now() if now is None else now
    still = {info.key: info for info in plan_prune(store, now=now, grace=grace).objects}
    deleted = 0
    for info in plan.objects:
        if still.get(info.key) == info and _unchanged(store, info):
            store.delete(info.key)
            deleted += 1
    store.sweep(before=now - grace)
    return deleted


def run_objects(store: ObjectStore, identity: str) -> PrunePlan:
    """All of a run, for removing it whole: also the way to give up an unfinished run. NotFoundError if unknown."""
    listed = [info for info in store.list(NAMES) if info.key.endswith(f"/{identity}.json")]
    objects = [*store.list(f"{run_prefix(identity)}/"), *listed]
    if not objects:
        raise NotFoundError(f"no run {identity}", hint=f"mtl checkpoints list shows what there is; {searched(store)}")
    return PrunePlan(tuple(objects))


def remove_run(store: ObjectStore, identity: str) -> int:
    """Delete a whole run, its log last but for its name, so that a killed removal can be done again."""
    objects = run_objects(store, identity).objects
    order = sorted(objects, key=lambda info: (info.key.startswith(NAMES), "/log/" in info.key, info.key))
    for info in order:
        store.delete(info.key)
    return len(order)


def _unchanged(store: ObjectStore, info: ObjectInfo) -> bool:
    """Not written again since it was listed. Some S3 servers list milliseconds and answer HEAD in whole seconds."""
    found = store.head(info.key)
    return found is not None and found.size == info.size and found.modified < info.modified + 1


def _plan_run(store: ObjectStore, identity: str, state: RunState, *, now: float, grace: float) -> list[ObjectInfo]:
    """What run `identity` does not need. Its objects are listed before its log is read a last time.

    In that order a commit that is made meanwhile can only add to what is needed.
    """
    if state.seq == 0:
        return []
    prefix = run_prefix(identity)
    objects = [*store.list(f"{prefix}/blobs/"), *store.list(f"{prefix}/manifests/")]
    state = read_state(store, identity)
    if state.damaged:
        raise DamageError(f"{state.damaged[0]} is damaged")
    return collectable(objects, _referenced(store, identity, state), now=now, head_modified=state.modified, grace=grace)


def _referenced(store: ObjectStore, identity: str, state: RunState) -> set[str]:
    """Keys that the kept commits need. DamageError if a manifest of theirs is missing or damaged."""
    keys = set()
    for commit in state.commits:
        keys.add(manifest_key(identity, commit))
        keys |= {blob_key(identity, file.sha256) for file in load_manifest(store, identity, commit).files}
    return keys
