"""What an answer follows from besides its inputs: the model byte by byte, and all that computes with it.

Nothing here loads a model: who has kept all of its answers is never loaded.
"""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from mtl.errors import ModelError
from mtl.fingerprint import sha256_json, sha256_sources, sha256_unchanged
from mtl.model.adapter import ADAPTER_FILES
from mtl.model.base import BaseRef, weights_of
from mtl.model.load import base_of
from mtl.model.precision import device_kind
from mtl.settings.environment import current

_LIBRARIES = ("torch", "transformers", "peft", "tokenizers")
_TOKENIZER = (
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "spiece.model",
    "spm.model",
    "sentencepiece.bpe.model",
    "vocab.txt",
    "vocab.json",
    "merges.txt",
)
_NAMES = ("base_model_name_or_path", "revision")
"""Fields of an adapter's configuration that say where its base is, which differs between a run and its release."""
_SOURCE = (
    "mtl.decoding",
    "mtl.evaluation.candidates",
    "mtl.evaluation.ctranslate",
    "mtl.evaluation.drawing",
    "mtl.evaluation.engine",
    "mtl.evaluation.predictor",
    "mtl.evaluation.reader",
    "mtl.evaluation.side",
    "mtl.evaluation.usable",
    "mtl.metrics.text",
    "mtl.model",
    "mtl.tasks",
)
"""What turns inputs into answers here."""
_SWITCHES = (
    "CT2_FORCE_CPU_ISA",
    "CT2_USE_EXPERIMENTAL_PACKED_GEMM",
    "CT2_USE_MKL",
    "CUBLAS_WORKSPACE_CONFIG",
    "DNNL_MAX_CPU_ISA",
    "MKL_CBWR",
    "MKL_ENABLE_INSTRUCTIONS",
    "NVIDIA_TF32_OVERRIDE",
    "ONEDNN_MAX_CPU_ISA",
    "TORCH_ALLOW_TF32_CUBLAS_OVERRIDE",
)
"""Variables of the environment by which the libraries choose other kernels, and so another rounding."""


def model_identity(folder: Path, *, trained: bool) -> dict[str, Any]:
    """Of the model in `folder`, or of its base without the adapter, with the tokenizer of the folder.

    Errors: as of `mtl.model.load.base_of`.
    """
    found = {name: path for name in _TOKENIZER if (path := folder / name).is_file()}
    tokenizer = {name: sha256_unchanged(path) for name, path in found.items()}
    return {
        "adapter": _adapter(folder) if trained else None,
        "base": _weights(base_of(folder)),
        "tokenizer": tokenizer,
    }


def reader_identity(ref: BaseRef) -> dict[str, Any]:
    """Of a reader that this project did not train. Errors: ModelError without safetensors weights."""
    found = {name: path for name in _TOKENIZER if (path := ref.file(name)) is not None}
    return {
        "adapter": None,
        "base": _weights(ref),
        "tokenizer": {name: sha256_unchanged(path) for name, path in found.items()},
    }


def machine_identity(engine: str, precision: str) -> dict[str, Any]:
    """What computes: engine, number format, libraries, this project's own code, processor, threads."""
    libraries = _LIBRARIES + (("ctranslate2",) if engine == "ctranslate2" else ())
    on_cpu = device_kind() != "cuda" or engine == "ctranslate2"  # which never runs on a GPU here
    return {
        "engine": engine,
        "precision": precision,
        "libraries": {name: version(name) for name in libraries},
        "source": _source(),
        "environment": {name: value for name, value in current().items() if name in _SWITCHES},
        "matmul": torch.get_float32_matmul_precision(),
        "device": device_kind(),
        "gpu": _gpu() if device_kind() == "cuda" else None,
        "processor": _cpu() if on_cpu else None,
        "threads": torch.get_num_threads() if on_cpu else None,
    }


def _adapter(folder: Path) -> dict[str, str]:
    weights, configuration = ADAPTER_FILES
    said = {name: value for name, value in _read(folder / configuration).items() if name not in _NAMES}
    return {"weights": sha256_unchanged(folder / weights), "config": sha256_json(said)}


def _weights(ref: BaseRef) -> dict[str, Any]:
    """Of the base's bytes, its configuration by its values: a release writes the same JSON otherwise."""
    generation = ref.file("generation_config.json")
    return {
        "config": sha256_json(ref.config),
        "generation": None if generation is None else sha256_json(_read(generation)),
        "weights": {path.name: sha256_unchanged(path) for path in weights_of(ref)},
    }


def _read(path: Path) -> Mapping[str, Any]:
    try:
        value = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise ModelError(f"{path} cannot be read: {error}", field="model") from None
    return value if isinstance(value, dict) else {}


@cache
def _source() -> str:
    return sha256_sources(_SOURCE)


@cache
def _cpu() -> str:
    """The model of the processor and what it can do: libraries choose their kernels, and so their rounding, by it."""
    return sha256_json([platform.machine(), torch.backends.cpu.get_cpu_capability(), _cpuinfo()])


def _cpuinfo() -> dict[str, str]:
    """What Linux says of the first processor; elsewhere its name."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").partition("\n\n")[0]
    except OSError:
        return {"name": platform.processor()}
    said = dict(line.partition(":")[::2] for line in text.splitlines())
    fields = {name.strip(): value.strip() for name, value in said.items()}
    return {name: fields[name] for name in (*_X86, *_ARM) if name in fields}


_X86 = ("vendor_id", "model name", "cache size", "flags")
_ARM = ("CPU implementer", "CPU architecture", "CPU variant", "CPU part", "CPU revision", "Features")


def _gpu() -> list[Any]:
    return [torch.cuda.get_device_name(), list(torch.cuda.get_device_capability()), torch.version.cuda]
