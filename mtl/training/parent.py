"""Parent: the version whose adapter a training starts from, and the schedule and identity that follow from it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pydantic import ConfigDict, with_config

from mtl import layout
from mtl.config.retrain import RetrainConfig
from mtl.document import Line, Positive, Sha256, check_record
from mtl.errors import DamageError, NotFoundError
from mtl.fingerprint import sha256_file
from mtl.model.adapter import ADAPTER_FILES
from mtl.store.base import ObjectStore


@with_config(ConfigDict(extra="ignore"))
@dataclass(frozen=True, slots=True)
class Parent:
    """A released version that a run starts from.

    dataset: fingerprint of the data that it was trained on, which tell the old rows from the new ones.
    warm_starts: length of the chain of warm starts from a full run to a run from this parent.
    """

    model: Line
    version: Positive
    adapter_sha256: Sha256
    dataset: Sha256
    warm_starts: Positive

    def __str__(self) -> str:
        return f"v{self.version} (adapter {self.adapter_sha256[:12]}, data set {self.dataset[:12]})"

    @property
    def key(self) -> str:
        """Where the store has its adapter."""
        return f"{layout.release_prefix(self.model, self.version)}/{ADAPTER_FILES[0]}"

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def parse_parent(document: Mapping[str, Any] | None, name: str) -> Parent | None:
    """Inverse of `to_dict`; None for None. Errors: DamageError, naming `name`."""
    return None if document is None else check_record(Parent, document, name)


def as_trained(config: RetrainConfig, parent: Parent | None) -> RetrainConfig:
    """The configuration as the trainer follows it: a warm start has a schedule of its own."""
    if parent is None:
        return config
    train, steps, rate = config.train, config.train.steps_of_warm_start, config.train.learning_rate_of_warm_start
    rows = train.embedding_learning_rate
    schedule = {
        "learning_rate": rate,
        "warm_learning_rate": rate,
        "embedding_learning_rate": None if rows is None else rows * rate / train.learning_rate,
        "max_steps": steps,
        "warm_steps": steps,
        "warmup_steps": min(train.warmup_steps, steps // 4),
        "save_steps": min(train.save_steps, steps),
        "eval_steps": None if train.eval_steps is None else min(train.eval_steps, steps),
    }
    return config.model_copy(update={"train": train.model_copy(update=schedule)})


def parent_fields(config: RetrainConfig, parent: Parent | None) -> dict[str, Any]:
    """What a parent adds to the identity of a run; nothing for a run without one."""
    if parent is None:
        return {}
    return {
        "parent.version": parent.version,
        "parent.adapter_sha256": parent.adapter_sha256,
        "parent.dataset": parent.dataset,
        "train.replay_share": config.train.replay_share,
    }


def fetch_parent(store: ObjectStore, parent: Parent, cache: Path) -> Path:
    """The parent's adapter as a file of this machine, compared with its hash.

    Errors: DamageError if the store does not hold it, or holds other bytes.
    """
    path = cache / "parents" / f"{parent.adapter_sha256}.safetensors"
    if path.is_file() and sha256_file(path) == parent.adapter_sha256:
        return path
    path.parent.mkdir(parents=True, exist_ok=True)
    name = f"{parent.model} v{parent.version}"
    hint = f"the adapter of {name} cannot be started from: restore it, or set train.from to scratch"
    try:
        store.get_file(parent.key, path)
    except NotFoundError:
        raise DamageError(f"{parent.key} is missing from the release", field=parent.key, hint=hint) from None
    if sha256_file(path) != parent.adapter_sha256:
        path.unlink(missing_ok=True)
        raise DamageError(
            f"{parent.key} is damaged: its sha256 is not {parent.adapter_sha256[:12]}", field=parent.key, hint=hint
        )
    return path
