"""From a finished run to a model folder: adapter, tokenizer and what a consumer must know."""

from __future__ import annotations

import json
import logging
import shutil
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from mtl.checkpoints.checkpoint_store import CheckpointStore
from mtl.checkpoints.identity import RunIdentity
from mtl.checkpoints.related import find_identity
from mtl.config.retrain import RetrainConfig
from mtl.data.dataset import look_for_manifest
from mtl.data.tokens import check_tokenizer
from mtl.errors import DamageError, NotFoundError
from mtl.fingerprint import sha256_file
from mtl.model.adapter import ADAPTER_FILES
from mtl.model.base import base_sha256, check_base, resolve_base
from mtl.model.folder import check_folder, seal_folder
from mtl.model.load import ModelSpec
from mtl.model.tokenizer import load_tokenizer
from mtl.store.base import ObjectStore
from mtl.tasks.table import get_task
from mtl.training.history import result_adapter

_log = logging.getLogger(__name__)


def export_model(
    config: RetrainConfig, tasks: list[str], store: ObjectStore, *, identity: str, adapter_sha256: str, cache: Path
) -> Path:
    """The model folder of run `identity`, made from its last commit; one that is there is used if every byte is right.

    Errors: DamageError if the commit does not hold the adapter that the run reported; ModelError if base or tokenizer
    are not those that the run was trained with.
    """
    folder = cache / "models" / identity
    made_of = _made_of(config, tasks, adapter_sha256)
    if _is_kept(folder, made_of):
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=folder.parent) as temporary:
        aside = Path(temporary) / "model"
        aside.mkdir()
        run = find_identity(store, identity)
        _adapter(store, run, Path(temporary) / "commit", aside)
        if sha256_file(aside / ADAPTER_FILES[0]) != adapter_sha256:
            raise DamageError(
                f"run {identity[:12]} reported adapter {adapter_sha256[:12]}, its last good commit holds another",
                hint="train again: the run goes on from that commit",
            )
        _companions(config, tasks, aside, store=store, run=run)
        seal_folder(aside, made_of)
        shutil.rmtree(folder, ignore_errors=True)
        aside.rename(folder)
    return folder


def _made_of(config: RetrainConfig, tasks: list[str], adapter_sha256: str) -> dict[str, Any]:
    """All that the folder follows from, base and tokenizer by their names: the run's identity pins their bytes."""
    return {
        "adapter_sha256": adapter_sha256,
        "model": config.model.model_dump(mode="json"),
        "tasks": {name: get_task(name).version for name in tasks},
        "max_input_tokens": config.data.max_input_tokens,
        "max_new_tokens": _limits(config, tasks),
    }


def _is_kept(folder: Path, made_of: dict[str, Any]) -> bool:
    try:
        return check_folder(folder) == made_of
    except NotFoundError:
        return False
    except DamageError as error:
        _log.warning("%s; the model is exported again from its checkpoint", error.message)
        return False


def _adapter(store: ObjectStore, run: RunIdentity, commit: Path, folder: Path) -> None:
    if CheckpointStore(store, run, "export").restore(commit) is None:
        raise DamageError(f"run {run.sha256[:12]} has no good commit", hint="train again: it starts from scratch")
    for source, name in zip((result_adapter(commit), commit / ADAPTER_FILES[1]), ADAPTER_FILES, strict=True):
        shutil.copyfile(source, folder / name)


def _limits(config: RetrainConfig, tasks: list[str]) -> dict[str, int]:
    return {name: config.evaluate.max_new_tokens.get(name, config.data.max_target_tokens) for name in tasks}


def _companions(config: RetrainConfig, tasks: list[str], folder: Path, *, store: ObjectStore, run: RunIdentity) -> None:
    """The tokenizer with the task tokens, and the model's spec: both of the bytes that the run was trained with."""
    fields = dict(run.fields)
    ref = resolve_base(config.model.base, config.model.revision)
    check_base(ref, json.loads(fields["base"]))
    known = [get_task(name) for name in tasks]
    tokenizer = load_tokenizer(
        config.model.tokenizer or ref.location, [task.token for task in known], revision=ref.revision
    )
    data = look_for_manifest(store, json.loads(fields["dataset"]))
    if data is not None:
        check_tokenizer(tokenizer, data.tokenizer["sha256"])
    tokenizer.save_pretrained(folder)
    ModelSpec(
        base=config.model.base,
        revision=config.model.revision,
        base_sha256=base_sha256(ref),
        tokens={task.name: task.token for task in known},
        max_input_tokens=config.data.max_input_tokens,
        max_new_tokens=_limits(config, tasks),
        task_versions={task.name: task.version for task in known},
    ).save(folder)
