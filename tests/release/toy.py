"""A toy adapter folder: the names of a real one, a few bytes each."""

from __future__ import annotations

import json
from pathlib import Path

from mtl.release.layout import ReleaseFacts, ReleaseManifest
from mtl.release.publish import publish
from mtl.store.base import ObjectStore

MODEL = "toy"
SPEC = {
    "base": "google/flan-t5-base",
    "revision": "abc123",
    "base_sha256": "b" * 64,
    "tokens": {"summarize": "<summarize>", "mcq": "<mcq>"},
    "max_input_tokens": 512,
    "max_new_tokens": {"summarize": 128, "mcq": 256},
    "task_versions": {"summarize": 1, "mcq": 1},
}


def toy_adapter(folder: Path, *, weights: bytes = b"weights", base: str = SPEC["base"]) -> Path:  # type: ignore[assignment]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "adapter_model.safetensors").write_bytes(weights)
    (folder / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": base, "revision": "abc123"}))
    (folder / "tokenizer.json").write_text("{}")
    (folder / "mtl_model.json").write_text(json.dumps({**SPEC, "base": base}))
    (folder / "optimizer.pt").write_bytes(b"stays at home")
    return folder


def facts(identity: str = "a" * 64) -> ReleaseFacts:
    metrics = {"summarize": {"rougeLsum": 0.41, "broken": None}}
    return ReleaseFacts(identity=identity, fingerprint="f" * 64, code_version="1.0", metrics=metrics)


def publish_toy(store: ObjectStore, folder: Path, version: int, *, weights: bytes | None = None) -> ReleaseManifest:
    """Version `version` with weights of its own."""
    adapter = toy_adapter(folder / f"v{version}", weights=weights or b"weights %d" % version)
    return publish(
        store, adapter, model=MODEL, version=version, facts=facts(f"{version:064}"), documents={"report.md": "# Report"}
    )
