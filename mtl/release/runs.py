"""The model of a run that nothing was published of, from what the store knows of the run alone."""

from __future__ import annotations

import json
from pathlib import Path

from mtl.checkpoints.related import load_identity
from mtl.config.retrain import RetrainConfig
from mtl.data.dataset import find_manifest
from mtl.errors import NotFoundError
from mtl.store.base import ObjectStore
from mtl.tasks.table import in_order


def export_run(store: ObjectStore, identity: str, *, cache: Path) -> Path:
    """The model folder of a finished run; its answers may be as long as targets are in its data set.

    Errors: NotFoundError for a run that is not finished or whose data set is gone, and those of `export_model`.
    """
    from mtl.training.export import export_model  # torch takes seconds to import
    from mtl.training.result import read_result

    values = {name: json.loads(text) for name, text in load_identity(store, identity).fields}
    try:
        adapter_sha256 = str(read_result(store, identity).adapter_sha256)
    except NotFoundError:
        hint = "mtl train -c CONF goes on with it"
        raise NotFoundError(f"run {identity[:12]} is not finished", field="model", hint=hint) from None
    data = find_manifest(store, str(values["dataset"]))
    if data is None:
        hint = "mtl prepare -c CONF makes it again"
        raise NotFoundError(f"the data set of run {identity[:12]} is gone", field="model", hint=hint)
    limits = {name: data.settings[name] for name in ("max_input_tokens", "max_target_tokens")}
    model = {name.removeprefix("model."): its for name, its in values.items() if name.startswith("model.")}
    sources = [{"task": name, "uri": "demo"} for name in data.tasks]
    config = RetrainConfig.model_validate({"data": {"sources": sources, **limits}, "model": model})
    return export_model(
        config, in_order(data.tasks), store, identity=identity, adapter_sha256=adapter_sha256, cache=cache / "runs"
    )
