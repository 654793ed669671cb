"""From a finished run to a model folder: adapter, tokenizer and what a consumer must know."""

from __future__ import annotations

import shutil
from pathlib import Path
from tempfile import TemporaryDirectory

from mtl.checkpoints.checkpoint_store import CheckpointStore
from mtl.checkpoints.identity import RunIdentity
from mtl.checkpoints.records import run_prefix
from mtl.config.retrain import RetrainConfig
from mtl.errors import DamageError
from mtl.fingerprint import sha256_file
from mtl.model.adapter import ADAPTER_FILES
from mtl.model.base import base_sha256, resolve_base
from mtl.model.load import MODEL_FILE, ModelSpec
from mtl.model.tokenizer import load_tokenizer
from mtl.store.base import ObjectStore
from mtl.tasks.table import get_task
from mtl.training.history import result_adapter


def export_model(
    config: RetrainConfig, tasks: list[str], store: ObjectStore, *, identity: str, adapter_sha256: str, cache: Path
) -> Path:
    """The model folder of run `identity`, made from its last commit; a folder that is there and right is used again.

    Errors: DamageError if the commit does not hold the adapter that the run reported.
    """
    folder = cache / "models" / identity
    if (folder / MODEL_FILE).is_file() and sha256_file(folder / ADAPTER_FILES[0]) == adapter_sha256:
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=folder.parent) as temporary:
        aside = Path(temporary) / "model"
        aside.mkdir()
        _adapter(store, identity, Path(temporary) / "commit", aside)
        if sha256_file(aside / ADAPTER_FILES[0]) != adapter_sha256:
            raise DamageError(
                f"run {identity[:12]} reported adapter {adapter_sha256[:12]}, its last good commit holds another",
                hint="train again: the run goes on from that commit",
            )
        _companions(config, tasks, aside)
        shutil.rmtree(folder, ignore_errors=True)
        aside.rename(folder)
    return folder


def _adapter(store: ObjectStore, identity: str, commit: Path, folder: Path) -> None:
    fields = RunIdentity.from_json(store.get(f"{run_prefix(identity)}/identity.json"))
    if CheckpointStore(store, fields, "export").restore(commit) is None:
        raise DamageError(f"run {identity[:12]} has no good commit", hint="train again: it starts from scratch")
    for source, name in zip((result_adapter(commit), commit / ADAPTER_FILES[1]), ADAPTER_FILES, strict=True):
        shutil.copyfile(source, folder / name)


def _companions(config: RetrainConfig, tasks: list[str], folder: Path) -> None:
    """The tokenizer with the task tokens, and the model's spec."""
    ref = resolve_base(config.model.base, config.model.revision)
    known = [get_task(name) for name in tasks]
    tokenizer = load_tokenizer(
        config.model.tokenizer or ref.location, [task.token for task in known], revision=ref.revision
    )
    tokenizer.save_pretrained(folder)
    limits = {task.name: config.evaluate.max_new_tokens.get(task.name, config.data.max_target_tokens) for task in known}
    ModelSpec(
        base=config.model.base,
        revision=config.model.revision,
        base_sha256=base_sha256(ref),
        tokens={task.name: task.token for task in known},
        max_input_tokens=config.data.max_input_tokens,
        max_new_tokens=limits,
        task_versions={task.name: task.version for task in known},
    ).save(folder)
