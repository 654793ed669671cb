"""A trained model, ready to generate: base + adapter folder -> model and tokenizer."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import ConfigDict, with_config

from mtl.document import Line, Positive, Sha256, Size, check_record, parse_json
from mtl.errors import DamageError
from mtl.model.adapter import load_adapter
from mtl.model.base import BaseRef, check_base, load_base, resolve_base
from mtl.model.tokenizer import load_tokenizer

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast, T5ForConditionalGeneration

MODEL_FILE = "mtl_model.json"


@with_config(ConfigDict(extra="forbid"))
@dataclass(frozen=True, slots=True)
class ModelSpec:
    """What a consumer must know to use an adapter; kept beside it as `mtl_model.json`.

    tokens: task -> its token; max_new_tokens: task -> longest answer in tokens; task_versions: task -> version.
    """

    base: Line
    revision: Line | None
    base_sha256: Sha256
    tokens: dict[Line, Line]
    max_input_tokens: Positive
    max_new_tokens: dict[Line, Positive]
    task_versions: dict[Line, Size] = field(default_factory=dict)

    def save(self, folder: Path) -> None:
        (folder / MODEL_FILE).write_text(json.dumps(asdict(self), indent=2, sort_keys=True) + "\n", encoding="utf-8")


def load_spec(folder: Path) -> ModelSpec:
    """Errors: DamageError if the folder has no readable spec."""
    try:
        data = (folder / MODEL_FILE).read_bytes()
    except OSError as error:
        raise DamageError(f"{folder} is not a trained model: {MODEL_FILE}: {error}") from None
    name, hint = f"{folder}/{MODEL_FILE}", "pull the model again, or give the folder of another one"
    return check_record(ModelSpec, parse_json(data, name, hint=hint), name, hint=hint)


def load_for_generation(
    base: str, revision: str | None, adapter: Path, *, merged: bool = True
) -> tuple[T5ForConditionalGeneration, PreTrainedTokenizerFast]:
    """(model in evaluation mode, tokenizer) of an adapter folder that also holds its tokenizer.

    merged: fold the adapter into the weights, which generates faster and equals the unmerged model within 1e-4.
    """
    tokenizer = load_tokenizer(adapter, [])
    model = load_adapter(load_base(_beside(adapter, base, revision), rows=len(tokenizer)), adapter)
    return (model.merge_and_unload().eval() if merged else model), tokenizer


def load_untrained(
    base: str, revision: str | None, tokenizer: Path
) -> tuple[T5ForConditionalGeneration, PreTrainedTokenizerFast]:
    """(base without adapter, the trained model's tokenizer): what a candidate is compared with."""
    tok = load_tokenizer(tokenizer, [])
    return load_base(_beside(tokenizer, base, revision), rows=len(tok)).eval(), tok


def base_of(folder: Path) -> BaseRef:
    """The base of the trained model in `folder`. Errors: as of loading it."""
    spec = load_spec(folder)
    return _beside(folder, spec.base, spec.revision)


def _beside(folder: Path, base: str, revision: str | None) -> BaseRef:
    """The base that travels with a release, if it does; else the one that the name stands for.

    The first is checked as a part of the release; the registry writes its JSON more shortly. Errors: ModelError if the
    bytes of the second are not those that the adapter was trained on.
    """
    bundled = folder / "base"
    if (bundled / "config.json").is_file():
        return resolve_base(str(bundled))
    return check_base(resolve_base(base, revision), load_spec(folder).base_sha256)
