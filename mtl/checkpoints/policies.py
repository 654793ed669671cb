"""Decisions about checkpoints, as pure functions of records: what a commit needs, what is kept, what is collected.

By step, never by time of modification: a clock that jumps must not delete the newest commit.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterable

from mtl.checkpoints.records import Commit
from mtl.store.base import ObjectInfo

REQUIRED_FILES = frozenset(
    {
        "adapter_model.safetensors",
        "adapter_config.json",
        "optimizer.pt",
        "scheduler.pt",
        "rng_state.pth",
        "trainer_state.json",
    }
)
KEEP_LAST = 3
GRACE_SECONDS = 24 * 3600.0

_FILE_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._=-]*")


def missing_files(names: Collection[str], required: Collection[str] = REQUIRED_FILES) -> list[str]:
    """Required names that are not among `names`, sorted. Without each of them a resume is silently wrong."""
    return sorted(set(required) - set(names))


def unsafe_names(names: Iterable[str]) -> list[str]:
    """Names that must not become files: hidden, with a separator, or not of the safe pattern."""
    return sorted(name for name in names if not _FILE_NAME.fullmatch(name))


def retained(commits: Collection[Commit], *, keep: int = KEEP_LAST) -> tuple[Commit, ...]:
    """The last `keep` commits by step and the best by metric (of equals the earliest), lowest step first."""
    ordered = sorted(commits, key=lambda commit: commit.step)
    measured = [commit for commit in ordered if commit.metric is not None and math.isfinite(commit.metric)]
    best = max(measured, key=lambda commit: commit.metric or 0.0, default=None)
    last = ordered[-keep:]
    return tuple(commit for commit in ordered if commit in last or commit == best)


def with_commit(commits: Collection[Commit], new: Commit, *, damaged: Collection[Commit] = ()) -> tuple[Commit, ...]:
    """`commits` with `new`, which takes the place of one at the same step, and without those known damaged."""
    return (*(c for c in commits if c.step != new.step and c not in damaged), new)


def restore_order(commits: Collection[Commit]) -> tuple[Commit, ...]:
    """Newest first, by step."""
    return tuple(sorted(commits, key=lambda commit: commit.step, reverse=True))


def collectable(
    objects: Iterable[ObjectInfo],
    referenced: Collection[str],
    *,
    now: float,
    head_modified: float,
    grace: float = GRACE_SECONDS,
) -> list[ObjectInfo]:
    """Blobs and manifests that may be deleted: unreferenced, older than `grace` seconds, and older than the log's head.

    The last condition needs no right clock: what a commit in progress has put is newer than the last entry of its log.
    """
    return [
        info
        for info in objects
        if info.key not in referenced and info.modified < now - grace and info.modified < head_modified
    ]
