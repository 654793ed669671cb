"""Pickles planted beside a model's files are not run, not published and not packed, whoever loads the model."""

from __future__ import annotations

import json
from pathlib import Path

import mlflow
import pandas as pd
import pytest

from mtl.errors import MtlError
from mtl.mlflow_backend.package import packaged
from mtl.model.base import load_base, resolve_base
from mtl.release.publish import publish
from mtl.release.pull import pull
from mtl.serving.generate import load_generator
from mtl.store.memory import MemoryStore
from tests.release.toy import facts
from tests.support.bases import save_base
from tests.support.pickles import planted_archive, planted_pickle
from tests.support.trained import trained_model

BESIDE = ["pytorch_model.bin", "adapter_model.bin", "training_args.bin", "optimizer.pt", "rng_state.pth", "model.pkl"]


@pytest.fixture
def sign(tmp_path: Path) -> Path:
    return tmp_path / "ran"


@pytest.fixture
def folder(tmp_path: Path, sign: Path) -> Path:
    """A trained model with pickles beside its files, and code that a configuration names, in its base from the start:
    a base that was changed after the training is refused anyway."""
    plant(save_base(tmp_path / "base"), sign)
    folder = trained_model(tmp_path / "model", base=str(tmp_path / "base"))
    plant(folder, sign)
    assert not sign.exists()
    return folder


def plant(folder: Path, sign: Path) -> None:
    for name in BESIDE:
        (folder / name).write_bytes(planted_pickle(sign))
    (folder / "evil.py").write_text(f"from pathlib import Path\nPath({str(sign)!r}).touch()\nclass Evil: ...\n")
    config = folder / "config.json"
    if config.exists():
        auto_map = {"AutoConfig": "evil.Evil", "AutoModelForSeq2SeqLM": "evil.Evil"}
        config.write_text(json.dumps(json.loads(config.read_text()) | {"auto_map": auto_map}))


def test_a_model_is_loaded_from_its_safetensors_alone(folder: Path, sign: Path) -> None:
    load_generator(folder).generate(["Ann came to the house."], "summarize")
    assert not sign.exists()


def test_nothing_planted_is_published_or_pulled(folder: Path, sign: Path, tmp_path: Path) -> None:
    store = MemoryStore()
    publish(store, folder, model="toy", version=1, facts=facts())
    pull(store, "v1", tmp_path / "pulled", model="toy")
    names = {path.name for path in (tmp_path / "pulled").rglob("*")}
    assert not names & {*BESIDE, "evil.py"}
    plant(tmp_path / "pulled", sign)
    plant(tmp_path / "pulled" / "base", sign)
    load_generator(tmp_path / "pulled").generate(["Ann came to the house."], "summarize")
    assert not sign.exists()


def test_mlflow_packs_and_loads_nothing_planted(folder: Path, sign: Path) -> None:
    with packaged(folder) as packed:
        assert not {path.name for path in packed.rglob("*")} & {*BESIDE, "evil.py"}
        model = mlflow.pyfunc.load_model(str(packed))
        model.predict(pd.DataFrame({"text": ["Ann came to the house."]}))
    assert not sign.exists()


@pytest.mark.parametrize("make", [planted_pickle, planted_archive])
@pytest.mark.parametrize("name", ["adapter_model.safetensors", "model.safetensors"])
def test_a_pickle_under_the_name_of_safetensors_is_refused(
    folder: Path, sign: Path, tmp_path: Path, name: str, make: object
) -> None:
    where = folder if name.startswith("adapter") else tmp_path / "base"
    (where / name).write_bytes(make(sign))  # type: ignore[operator]
    with pytest.raises(MtlError):
        load_generator(folder)
    assert not sign.exists()


def test_a_base_of_pickles_is_refused(tmp_path: Path, sign: Path) -> None:
    base = save_base(tmp_path / "base")
    (base / "model.safetensors").unlink()
    (base / "pytorch_model.bin").write_bytes(planted_archive(sign))
    with pytest.raises(MtlError, match="safetensors"):
        load_base(resolve_base(str(base)))
    assert not sign.exists()
