"""CheckpointStore: commits of one run that survive a kill at any point, on any object store.

The log of the run (mtl.store.log) is the only truth: a commit exists once an entry lists it, and that entry is the
last thing written. Each owner starts with `acquire`, which raises the epoch; an owner that finds the next number taken
by somebody else is fenced off and stops (exit code 75), having changed nothing.

    checkpoints = CheckpointStore(store, identity, owner="host:pid")
    checkpoints.acquire()
    restored = checkpoints.restore(folder)            # None: start from scratch
    checkpoints.commit(100, folder, metric=-loss)
    checkpoints.finish(100)
"""

from __future__ import annotations

import logging
import shutil
import uuid
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from pathlib import Path

from mtl.checkpoints.fetch import Damage, fetch_commit
from mtl.checkpoints.identity import RunIdentity
from mtl.checkpoints.policies import KEEP_LAST, REQUIRED_FILES, missing_files, restore_order, unsafe_names
from mtl.checkpoints.records import (
    Commit,
    FileRecord,
    Manifest,
    commit_of,
    manifest_key,
    name_prefix,
)
from mtl.checkpoints.state import RunState, committed, read_state, run_log, state_of
from mtl.errors import DamageError, FencedError, InputError, NotFoundError, PermanentError, TransientError
from mtl.fingerprint import sha256_file
from mtl.layout import blob_key, run_prefix
from mtl.store.base import ObjectStore
from mtl.store.files import disk_errors, fsync_tree

_log = logging.getLogger(__name__)
_ACQUIRE_TRIES = 20


@dataclass(frozen=True, slots=True)
class Restored:
    """A verified commit in `folder`, and what was damaged in newer ones that had to be passed over."""

    commit: Commit
    folder: Path
    fell_back: tuple[Damage, ...] = ()


class CheckpointStore:
    """Checkpoints of run `identity`. One instance is one owner; not for several threads at once.

    owner: says who this is in messages and in the log. required: file names without which nothing is committed or
    restored. keep: how many of the last commits are kept, beside the best one.
    """

    def __init__(
        self,
        store: ObjectStore,
        identity: RunIdentity,
        owner: str,
        *,
        required: Collection[str] = REQUIRED_FILES,
        keep: int = KEEP_LAST,
    ) -> None:
        if keep < 1:
            raise InputError(f"at least one commit must be kept, got keep={keep}")
        self._store = store
        self._identity = identity
        self._run = identity.sha256
        self._owner = owner
        self._required = frozenset(required)
        self._keep = keep
        self._log = run_log(store, self._run)
        self._session = uuid.uuid4().hex
        self._writes = 0
        self._state: RunState | None = None  # as this owner last wrote it; None before acquire
        self._damaged: tuple[Commit, ...] = ()
        self._blobs: dict[Commit, frozenset[str]] = {}  # of commits that this instance wrote or verified

    @property
    def identity(self) -> RunIdentity:
        return self._identity

    def state(self) -> RunState:
        """The run as its log has it now. Needs no acquire."""
        return read_state(self._store, self._run)

    def commits(self) -> tuple[Commit, ...]:
        """The commits that are kept, lowest step first."""
        return self.state().commits

    def finished(self) -> Commit | None:
        """The last commit of a run that is done. Its bytes are checked by `restore`, not here."""
        return self.state().finished_commit

    def acquire(self) -> int:
        """Become the owner; whoever owned the run before is fenced off. Returns the new epoch.

        Raises FencedError if another one acquires in the same moment and wins.
        """
        self.publish_identity()
        for _ in range(_ACQUIRE_TRIES):
            state = self.state()
            mine = replace(state, epoch=state.epoch + 1, owner=self._owner)
            result = self._log.append(state.seq + 1, self._document("acquire", mine))
            if result.stands:
                self._state = replace(mine, seq=result.entry.seq)
                return mine.epoch
            if result.mine:
                raise self._fenced(state_of(result.head, self._run))
        raise TransientError(f"run {self._run[:12]}: {_ACQUIRE_TRIES} others were faster to append to its log")

    def commit(self, step: int, folder: Path, metric: float | None = None) -> Commit:
        """Make the flat files of `folder` the checkpoint at `step`; durable and visible when it returns.

        metric: higher is better (a loss is given negated); the best commit is kept beside the last ones. Raises
        PermanentError for missing or unsafe file names or a step below the newest good commit, FencedError if another
        one owns the run now. After any error the previous commit stands, or (answer lost) this one.
        """
        self._check_step(step)
        files = self._files(folder)
        kept = self._owned().commits
        reusable = frozenset().union(*(self._blobs.get(commit, frozenset()) for commit in kept))
        for file in files:
            if file.sha256 not in reusable:
                self._put_blob(file, folder)
        manifest = Manifest(self._run, step, files)
        commit = commit_of(manifest, metric)
        self._store.put(manifest_key(self._run, commit), manifest.to_json())
        self._settle(files, folder)
        self._append("commit", lambda state: committed(state, commit, damaged=self._damaged, keep=self._keep))
        self._blobs[commit] = frozenset(file.sha256 for file in files)
        return commit

    def restore(self, dest: Path) -> Restored | None:
        """Put the newest commit whose every byte is right into folder `dest`, replacing what is there.

        Damaged commits are passed over with a warning each; None, with an error in the log, if nothing is left: the
        caller starts from scratch. Needs no acquire. Trouble with the store is raised, never taken for damage.
        """
        found: list[Damage] = []
        commits = self.commits()
        for commit in restore_order(commits):
            damage = self._fetch_into(dest, commit)
            if not damage:
                return Restored(commit, dest, tuple(found))
            for item in damage:
                _log.warning("run %s: damaged checkpoint, going on with the one before it: %s", self._run[:12], item)
            found.extend(damage)
            self._damaged = (*self._damaged, commit)
        if commits:
            _log.error("run %s: all %d checkpoints are damaged; STARTING FROM SCRATCH", self._run[:12], len(commits))
        return None

    def finish(self, step: int) -> Commit:
        """Mark the run as done with the commit at `step`; doing it again changes nothing.

        Raises PermanentError if no commit has that step, FencedError if another one owns the run now.
        """
        state = self._owned()
        commit = next((commit for commit in state.commits if commit.step == step), None)
        if commit is None:
            self._check_owner()  # one that was taken over may have restored a commit that it does not own
            steps = ", ".join(str(commit.step) for commit in state.commits) or "none"
            raise PermanentError(f"run {self._run[:12]} has no commit at step {step}", hint=f"committed steps: {steps}")
        if state.finished != step:
            self._append("finish", lambda state: replace(state, finished=step))
        return commit

    def _owned(self) -> RunState:
        if self._state is None:
            raise PermanentError(f"run {self._run[:12]} is not owned yet", hint="call acquire() first")
        return self._state

    def _check_owner(self) -> None:
        """FencedError if another one owns the run now."""
        now = self.state()
        if now.epoch != self._owned().epoch:
            raise self._fenced(now)

    def _check_step(self, step: int) -> None:
        """A commit below the newest good one would be dropped by retention at once: that is a caller's mistake."""
        newest = max((c.step for c in self._owned().commits if c not in self._damaged), default=-1)
        if step < max(newest, 0):
            raise PermanentError(
                f"run {self._run[:12]}: commit of step {step} after step {newest}",
                field="step",
                hint="restore() first and go on from the step that it gives",
            )

    def _files(self, folder: Path) -> tuple[FileRecord, ...]:
        """The records of the flat files in `folder`, fsynced. PermanentError unless the set is whole and safe."""
        with disk_errors("read", folder):
            paths = sorted(folder.iterdir()) if folder.is_dir() else []
        names = [path.name for path in paths]
        odd = [path.name for path in paths if path.is_symlink() or not path.is_file()]
        if missing := missing_files(names, self._required):
            raise PermanentError(f"{folder} is no whole checkpoint: {', '.join(missing)} missing", field=missing[0])
        if bad := sorted({*odd, *unsafe_names(names)}):
            raise PermanentError(f"{folder}: {', '.join(bad)}: only plain files with plain names can be committed")
        with disk_errors("sync", folder):
            fsync_tree(folder)
            return tuple(FileRecord(path.name, path.stat().st_size, sha256_file(path)) for path in paths)

    def _put_blob(self, file: FileRecord, folder: Path) -> None:
        """Also where a blob of that name exists: only reading it whole would show that it has not rotted."""
        self._store.put_file(blob_key(self._run, file.sha256), folder / file.name)

    def _settle(self, files: tuple[FileRecord, ...], folder: Path) -> None:
        """Look at each blob once more before the log lists it: a prune may have taken an old one meanwhile."""
        for file in files:
            info = self._store.head(blob_key(self._run, file.sha256))
            if info is None or info.size != file.bytes:
                self._put_blob(file, folder)

    def _fetch_into(self, dest: Path, commit: Commit) -> list[Damage]:
        """Bring `commit` to `dest` by way of a folder aside; what is damaged, in which case `dest` is untouched."""
        aside = dest.with_name(f".{dest.name}.{uuid.uuid4().hex}~")
        with disk_errors("write", aside):
            for stale in dest.parent.glob(f".{dest.name}.*~"):
                shutil.rmtree(stale, ignore_errors=True)  # of a restore that was killed
            aside.mkdir(parents=True)
        try:
            damage = list(fetch_commit(self._store, self._run, commit=commit, folder=aside, required=self._required))
            if not damage:
                with disk_errors("write", dest):
                    self._blobs[commit] = frozenset(sha256_file(path) for path in aside.iterdir())
                    if dest.exists():
                        shutil.rmtree(dest)
                    aside.rename(dest)
            return damage
        finally:
            shutil.rmtree(aside, ignore_errors=True)

    def _append(self, kind: str, change: Callable[[RunState], RunState]) -> None:
        """Append what `change` makes of the owned state; FencedError unless that entry stands."""
        while True:
            state = self._owned()
            changed = change(state)
            result = self._log.append(state.seq + 1, self._document(kind, changed))
            if result.stands:
                self._state = replace(changed, seq=result.entry.seq)
                return
            if result.mine or not result.entry.write_id.startswith(self._session):
                raise self._fenced(state_of(result.head, self._run))
            self._state = state_of(result.entry, self._run)  # an own try whose answer never came, before this one

    def _document(self, kind: str, state: RunState) -> dict[str, object]:
        self._writes += 1
        return state.to_document(kind, identity=self._run, write_id=f"{self._session}-{self._writes}")

    def _fenced(self, other: RunState) -> FencedError:
        own = f"{self._owner} (epoch {self._state.epoch})" if self._state else self._owner
        return FencedError(
            f"run {self._run[:12]} belongs to {other.owner} (epoch {other.epoch}) now; {own} stops",
            hint="nothing is lost: the other one goes on from the newest commit",
        )

    def publish_identity(self) -> None:
        """Keep the fields behind the hash, beside the run and under its name; a copy that rotted is written again.

        `acquire` does it before the log's first entry; who only finds a run finished calls it too.
        """
        document = self._identity.to_json()
        for key in (f"{run_prefix(self._run)}/identity.json", f"{name_prefix(self._identity.name)}{self._run}.json"):
            if not self._store.put_if_absent(key, document) and not self._holds(key, document):
                self._store.put(key, document)  # it rotted

    def _holds(self, key: str, data: bytes) -> bool:
        try:
            return self._store.get(key) == data
        except (DamageError, NotFoundError):
            return False
