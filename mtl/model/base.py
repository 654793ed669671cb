"""Bases: any T5-family checkpoint, by name and revision or by folder; `demo` is the one this package ships.

A base is loaded in fp32 from safetensors only, and its output head is checked: FLAN-T5's head is not tied to the
input embedding, and a loader that ties it loses the pretrained head without a word.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mtl.errors import DamageError, ModelError, NotFoundError
from mtl.fingerprint import sha256_unchanged
from mtl.settings import local_path

if TYPE_CHECKING:
    import torch
    from transformers import T5ForConditionalGeneration

DEMO = "demo"
FAMILY = ("t5", "mt5", "umt5")
_SHIPPED = Path(__file__).parent / "demo_base"


@dataclass(frozen=True, slots=True)
class BaseRef:
    """A base that was found: its name in the configuration, where it is, and its configuration.

    location: a folder, or a Hub name for transformers to fetch or find in its cache.
    """

    name: str
    revision: str | None
    location: str
    config: dict[str, Any]

    def file(self, name: str) -> Path | None:
        """Path of a file of the base, or None if it has no such file."""
        return _file(self.location, self.revision, name)


def resolve_base(base: str, revision: str | None = None) -> BaseRef:
    """Find a base and check that it is of the T5 family.

    Errors: NotFoundError if there is nothing there, ModelError if it is something else or unpinned.
    """
    ref = locate(base, revision)
    kind = ref.config.get("model_type")
    if kind not in FAMILY:
        raise ModelError(
            f"base {base!r} is of type {kind!r}, not of the T5 family",
            field="model.base",
            hint=f"expected one of {', '.join(FAMILY)}, e.g. google/flan-t5-base",
        )
    return ref


def locate(
    base: str,
    revision: str | None = None,
    *,
    what: str = "base",
    field: str = "model.base",
    revision_field: str = "model.revision",
) -> BaseRef:
    """Find a model of any family and read its configuration. `what` and the fields are how messages call it.

    Errors: NotFoundError, ModelError as of `resolve_base`.
    """
    local = _SHIPPED if base == DEMO else local_path(base)
    if local.is_dir():
        location = str(local.absolute())
    elif base == DEMO or base.startswith((".", "/", "~")) or base.count("/") != 1:
        raise NotFoundError(f"no {what} model at {base!r}", field=field, hint="give demo, a folder or OWNER/NAME")
    elif revision is None:
        raise ModelError(
            f"{what} {base!r} has no revision, so it could change between two runs",
            field=revision_field,
            hint=f"set {revision_field} to a commit of the Hub repository",
        )
    else:
        location = base
    path = _file(location, revision, "config.json")
    if path is None:
        raise NotFoundError(
            f"{what} {base!r} has no config.json",
            field=field,
            hint="is the folder a saved model, and does a Hub name exist at this revision (or in the offline cache)?",
        )
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        raise ModelError(f"{what} {base!r} has a config.json that is not JSON", field=field) from None
    return BaseRef(base, revision, location, dict(config) if isinstance(config, dict) else {})


def base_sha256(ref: BaseRef) -> str:
    """sha256 over the configuration and the weights, whatever the base is called."""
    digest = hashlib.sha256()
    for path in (ref.file("config.json"), *weights_of(ref)):
        if path is not None:
            digest.update(f"{path.name} {sha256_unchanged(path)}\n".encode())
    return digest.hexdigest()


def check_base(ref: BaseRef, sha256: str) -> BaseRef:
    """`ref`, or ModelError if its bytes are not those of `sha256`: of another base, or of one that rotted."""
    found = base_sha256(ref)
    if found != sha256:
        raise ModelError(
            f"base {ref.name!r} is not the one this adapter was trained on (sha256 {found[:12]}, not {sha256[:12]})",
            field="base",
            hint=f"it was changed, or is damaged: fetch it again ({ref.location}), or train on it as it is now",
        )
    return ref


def load_base(ref: BaseRef, *, rows: int = 0) -> T5ForConditionalGeneration:
    """The base in fp32, with at least `rows` embedding rows (never fewer than it had).

    Errors: ModelError; DamageError for weights that are no safetensors file.
    """
    import torch
    from safetensors import SafetensorError
    from transformers import AutoModelForSeq2SeqLM
    from transformers.utils import logging

    logging.disable_progress_bar()
    try:
        model = AutoModelForSeq2SeqLM.from_pretrained(
            ref.location, revision=ref.revision, dtype=torch.float32, use_safetensors=True, trust_remote_code=False
        )
    except OSError as error:
        raise ModelError(f"base {ref.name!r} cannot be loaded: {error}", field="model.base") from None
    except SafetensorError as error:
        raise DamageError(
            f"the weights of base {ref.name!r} are no safetensors file, or a damaged one: {error}",
            field="model.base",
            hint="fetch the base again; other formats are not loaded",
        ) from None
    check_head(ref, model)
    if rows > model.shared.num_embeddings:
        grow_embeddings(model, rows)
    return model


def check_head(ref: BaseRef, model: T5ForConditionalGeneration) -> None:
    """Errors: ModelError if the checkpoint holds a head of its own but the loaded head is the shared matrix."""
    tied = model.lm_head.weight.data_ptr() == model.shared.weight.data_ptr()
    if tied and (_holds_head(ref) or ref.config.get("tie_word_embeddings") is False):
        raise ModelError(
            f"base {ref.name!r} has an output head of its own, but it was loaded tied to the input embedding",
            field="model.base",
            hint="the pretrained head would be lost; check the versions of transformers and of the checkpoint",
        )


def grow_embeddings(model: T5ForConditionalGeneration, rows: int) -> None:
    """Add rows in place. Not `resize_token_embeddings`, which ties an untied head to the input embedding."""
    import torch

    tied = model.lm_head.weight.data_ptr() == model.shared.weight.data_ptr()
    old = model.shared.weight.data
    fill = old.mean(0, keepdim=True).expand(rows - len(old), -1)
    model.set_input_embeddings(_embedding(torch.cat([old, fill])))
    head = model.lm_head.weight.data
    extra = fill if tied else head.mean(0, keepdim=True).expand(rows - len(head), -1)
    model.lm_head = torch.nn.Linear(head.shape[1], rows, bias=False)
    model.lm_head.weight = model.shared.weight if tied else torch.nn.Parameter(torch.cat([head, extra]))
    model.config.vocab_size = rows


def _embedding(weight: torch.Tensor) -> torch.nn.Embedding:
    import torch

    return torch.nn.Embedding(len(weight), weight.shape[1], _weight=weight.clone())


def _file(location: str, revision: str | None, name: str) -> Path | None:
    if Path(location).is_dir():
        path = Path(location) / name
        return path if path.is_file() else None
    from transformers.utils import cached_file

    found = cached_file(
        location,
        name,
        revision=revision,
        _raise_exceptions_for_gated_repo=False,
        _raise_exceptions_for_missing_entries=False,
        _raise_exceptions_for_connection_errors=False,
    )
    return Path(found) if found else None


def weights_of(ref: BaseRef) -> list[Path]:
    """Files of the weights: one, or the shards that the index names. Errors: ModelError if there is none."""
    single = ref.file("model.safetensors")
    if single is not None:
        return [single]
    index = ref.file("model.safetensors.index.json")
    if index is None:
        raise ModelError(
            f"base {ref.name!r} has no safetensors weights", field="model.base", hint="other formats are not loaded"
        )
    shards = sorted(set(json.loads(index.read_text())["weight_map"].values()))
    return [path for name in shards if (path := ref.file(name)) is not None]


def _holds_head(ref: BaseRef) -> bool:
    from safetensors import safe_open

    for path in weights_of(ref):
        with safe_open(path, framework="pt") as file:
            if "lm_head.weight" in file.keys():  # noqa: SIM118  (safe_open is no mapping)
                return True
    return False
