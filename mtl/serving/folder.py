"""The folder of a model that leaves training: adapter, tokenizer, `mtl_model.json`, and the base if it has no Hub name.

The registered model and the release hold the same files, by the names here.
"""

from __future__ import annotations

from fnmatch import fnmatch
from pathlib import Path

from mtl.errors import InputError
from mtl.model.adapter import ADAPTER_FILES
from mtl.model.base import DEMO, check_base, resolve_base
from mtl.model.load import MODEL_FILE, load_spec

ADAPTER, ADAPTER_CONFIG = ADAPTER_FILES
BASE = "base"
MERGED = "merged"
MAX_BASE_BYTES = 200 * 2**20
# What a consumer needs. A training folder also holds optimizer and random state, which never leave it.
_ADAPTER_FILES = (
    ADAPTER,
    ADAPTER_CONFIG,
    MODEL_FILE,
    "tokenizer*",
    "special_tokens_map.json",
    "added_tokens.json",
    "spiece.model",
)
_BASE_FILES = ("config.json", "generation_config.json", "model*.safetensors", "model.safetensors.index.json")


def model_files(folder: Path, base: Path | None) -> dict[str, Path]:
    """Name -> file of everything that travels: the adapter's files, and those of `base` (if any) under base/.

    Errors: InputError if `folder` is not a trained adapter.
    """
    for name in (ADAPTER, ADAPTER_CONFIG, MODEL_FILE):
        if not (folder / name).is_file():
            raise InputError(f"{folder} is not a trained adapter: it has no {name}")
    found = _matching(folder, _ADAPTER_FILES)
    if base is not None:
        found |= {f"{BASE}/{name}": path for name, path in _matching(base, _BASE_FILES).items()}
    return found


def travelling_files(model: Path) -> dict[str, Path]:
    """Name -> file of everything that another machine needs of a model, its base included if that has no Hub name.

    Errors: as of `model_files` and `bundled_base`.
    """
    return model_files(model, bundled_base(model))


def bundled_base(model: Path) -> Path | None:
    """The folder of a base that has no Hub name and so must travel with its `model`; None for a pinned Hub name.

    That of a pulled release is inside it. Errors: NotFoundError, ModelError if the base is not there, or is not of the
    bytes that the model was trained on; InputError if the folder is too large to copy each time.
    """
    if (model / BASE / "config.json").is_file():
        return model / BASE
    spec = load_spec(model)
    base, revision = spec.base, spec.revision
    if base != DEMO and revision is not None and not Path(base).is_dir():
        return None
    folder = Path(check_base(resolve_base(base, revision), spec.base_sha256).location)
    size = sum(path.stat().st_size for path in _matching(folder, _BASE_FILES).values())
    if size > MAX_BASE_BYTES:
        raise InputError(
            f"base {base!r} is a folder of {size / 2**20:.0f} MiB, too much to copy into each release (limit 200)",
            field="model.base",
            hint="name it by its Hub name and revision, which consumers can fetch once",
        )
    return folder


def _matching(folder: Path, patterns: tuple[str, ...]) -> dict[str, Path]:
    names = {path.name: path for path in sorted(folder.iterdir()) if any(fnmatch(path.name, p) for p in patterns)}
    return {name: path for name, path in names.items() if path.is_file()}
