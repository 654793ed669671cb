"""TrainPlan: all that the trainer process is told, in one JSON file; and the identity of its run."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from mtl.checkpoints.identity import RunIdentity
from mtl.config.retrain import RetrainConfig, parse_config
from mtl.errors import MismatchError
from mtl.fingerprint import canonical_json, sha256_sources
from mtl.settings import trainer_processes
from mtl.training.parent import Parent, as_trained, parent_fields, parse_parent

# Rooms whose code decides what the weights become.
_SOURCE = ("mtl.training", "mtl.model", "mtl.mixture", "mtl.data.selection")
_LIBRARIES = ("torch", "transformers", "peft", "accelerate", "numpy", "safetensors")
# Fields that change what is watched or kept, never the weights.
_NEUTRAL = {"train.logging_steps", "train.save_steps", "train.resume", "train.dataloader_num_workers", "train.threads"}
# What chooses the start. A run without a parent depends on none of it; of one with a parent, see `parent_fields`.
_OF_START = {
    f"train.{name}"
    for name in ("from_", "warm_steps", "warm_learning_rate", "replay_share", "full_every", "full_above")
}


@dataclass(frozen=True, slots=True)
class TrainPlan:
    """config: of the retrain, as plain values. dataset: fingerprint. store: URI. work: folder of this process.

    resume: identity (or the beginning of one) of the run that must be gone on from; None: as the policy says.
    parent: the version whose adapter is started from, as plain values; None for a new adapter.
    """

    config: dict[str, Any]
    dataset: str
    store: str
    cache: str
    work: str
    owner: str
    resume: str | None = None
    parent: dict[str, Any] | None = None

    def save(self, path: Path) -> None:
        path.write_bytes(canonical_json(asdict(self)))

    def parsed(self) -> RetrainConfig:
        """The configuration as the trainer follows it."""
        return as_trained(parse_config(self.config), self.parent_version())

    def parent_version(self) -> Parent | None:
        return parse_parent(self.parent, "the plan's parent")


def thread_count(configured: int | None) -> int:
    """CPU threads of the trainer: as configured, else the cores this process may use."""
    return configured or len(os.sched_getaffinity(0))


def pinned(config: RetrainConfig) -> RetrainConfig:
    """With the number of threads said that a trainer on a cluster uses, whichever machine it comes to run on."""
    if config.run.engine == "local" or config.train.threads:
        return config
    return config.model_copy(update={"train": config.train.model_copy(update={"threads": 1})})


def world_size(config: RetrainConfig) -> int:
    """Processes of a training that is started here."""
    return config.run.trainers if config.run.engine == "ray" else trainer_processes()


def identity_fields(
    config: RetrainConfig,
    *,
    dataset: str,
    base_sha256: str,
    device: str,
    world_size: int,
    parent: Parent | None = None,
) -> dict[str, Any]:
    """Everything that decides the final weights bit for bit, by name, so that a mismatch can name its field."""
    config = as_trained(config, parent)
    plain = config.model_dump(mode="json")
    fields = {
        f"{section}.{name}": value
        for section in ("model", "lora", "train")
        for name, value in plain[section].items()
        if f"{section}.{name}" not in _NEUTRAL | _OF_START
    }
    mixture = {f"data.mixture.{name}": value for name, value in plain["data"]["mixture"].items()}
    libraries = {f"library.{name}": version(name) for name in _LIBRARIES}
    return {
        **fields,
        **mixture,
        **libraries,
        "seed": config.seed,
        "dataset": dataset,
        "base": base_sha256,
        "source": sha256_sources(_SOURCE),
        "python": platform.python_version(),
        "threads": thread_count(config.train.threads),
        "device": device,
        "world_size": world_size,
        **parent_fields(config, parent),
    }


def check_equal(identities: Sequence[RunIdentity]) -> None:
    """Whether the processes of one training, in order of their ranks, are of one identity. Errors: MismatchError."""
    for field in sorted({name for other in identities[1:] for name in identities[0].difference(other)}):
        first, *others = [identity.values().get(field) for identity in identities]
        found = ", ".join(f"{value} for rank {rank}" for rank, value in enumerate(others, 1) if value != first)
        raise MismatchError(
            f"the machines of this training differ in {field}: {first} for rank 0, {found}",
            field=field,
            hint="install the same versions on all machines; mtl doctor names those that differ",
        )
