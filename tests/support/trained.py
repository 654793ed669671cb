"""Trained models as training exports them: a random adapter on a tiny base, for tests of those who use models."""

from __future__ import annotations

import atexit
import shutil
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import torch

from mtl.model.adapter import attach_lora, save_adapter
from mtl.model.base import base_sha256, load_base, resolve_base
from mtl.model.load import ModelSpec
from mtl.model.tokenizer import load_tokenizer
from mtl.tasks.table import TASKS
from tests.support.bases import save_base

MAX_INPUT_TOKENS = 200


def trained_model(folder: Path, *, base: str | None = None, seed: int = 0) -> Path:
    """A model folder whose adapter is a function of `seed`. base: `demo`, or a tiny base that is made for it."""
    made = _made(base or str(tiny_base()), seed)
    shutil.copytree(made, folder, dirs_exist_ok=True)
    return folder


@cache
def tiny_base() -> Path:
    return save_base(_temporary() / "base")


@cache
def _made(base: str, seed: int) -> Path:
    ref = resolve_base(base)
    tokens = [task.token for task in TASKS.values()]
    tokenizer = load_tokenizer(ref.location, tokens)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = attach_lora(
            load_base(ref, rows=len(tokenizer)),
            tokenizer.convert_tokens_to_ids(tokens),
            r=2,
            alpha=4,
            dropout=0.0,
            target_modules=["q", "v"],
            rslora=False,
            base_name=base,
            revision=None,
        )
        for name, parameter in model.named_parameters():
            if "lora_B" in name:  # zero at first, and then the adapter would do nothing
                torch.nn.init.normal_(parameter, std=0.5)
    return save_model(_temporary() / "adapter", model, tokenizer, base=base, max_new_tokens=12)


def save_model(folder: Path, model: Any, tokenizer: Any, *, base: str, max_new_tokens: int) -> Path:
    """Adapter, tokenizer and spec, as training exports them."""
    save_adapter(model, folder)
    tokenizer.save_pretrained(folder)
    ModelSpec(
        base=base,
        revision=None,
        base_sha256=base_sha256(resolve_base(base)),
        tokens={name: task.token for name, task in TASKS.items()},
        max_input_tokens=MAX_INPUT_TOKENS,
        max_new_tokens=dict.fromkeys(TASKS, max_new_tokens),
        task_versions={name: task.version for name, task in TASKS.items()},
    ).save(folder)
    return folder


def _temporary() -> Path:
    """A folder for as long as the process lives."""
    folder = Path(tempfile.mkdtemp(prefix="mtl-trained-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder
