"""The registered model: adapter-sized, loads offline by MLflow alone, answers and refuses like the Generator."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mlflow
import pandas as pd
import pytest
import torch
from mlflow.exceptions import MlflowException
from mlflow.pyfunc.scoring_server import predictions_to_json
from transformers import T5Config, T5ForConditionalGeneration

from mtl.decoding import Decoding
from mtl.mlflow_backend.package import packaged
from mtl.mlflow_backend.registry import MlflowRegistry
from mtl.model.adapter import attach_lora, save_adapter
from mtl.release.publish import publish
from mtl.release.pull import pull
from mtl.serving.generate import load_generator
from mtl.store.memory import MemoryStore
from tests.release.toy import facts
from tests.support.mlflow_db import fresh_tracking
from tests.support.tiny_model import tiny_tokenizer
from tests.support.trained import tiny_base, trained_model

TEXTS = ["Ann came to the house.", "Bob had a long day and went to sleep early."]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return trained_model(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def served(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """The model as a consumer loads it from the registry."""
    tracking = fresh_tracking(tmp_path_factory.mktemp("mlflow"))
    run = tracking.run_for("a", experiment="retrain")
    MlflowRegistry(tracking, "toy").register(run, folder, identity="a", fingerprint="f", code_version="1")
    patch = pytest.MonkeyPatch()
    patch.setenv("HF_HUB_OFFLINE", "1")
    before = mlflow.get_tracking_uri()
    mlflow.set_tracking_uri(tracking.uri)
    yield mlflow.pyfunc.load_model("models:/toy@candidate")
    mlflow.set_tracking_uri(before)
    patch.undo()


def frame(*texts: str) -> pd.DataFrame:
    return pd.DataFrame({"text": list(texts)})


def test_it_answers_like_the_generator(served: Any, folder: Path) -> None:
    generator = load_generator(folder)
    assert served.predict(frame(*TEXTS)) == [answer.to_dict() for answer in generator.generate(TEXTS)]
    asked = served.predict(frame(*TEXTS), params={"task": "mcq", "easy": 1, "hard": 2, "max_new_tokens": 5})
    expected = generator.generate(TEXTS, "mcq", request={"easy": 1, "hard": 2}, max_new_tokens=5)
    assert asked == [answer.to_dict() for answer in expected]
    beams = served.predict(frame(*TEXTS), params={"num_beams": 3, "length_penalty": 0.6})
    found = generator.generate(TEXTS, decoding=Decoding(num_beams=3, length_penalty=0.6))
    assert beams == [answer.to_dict() for answer in found]
    chosen = served.predict(frame(*TEXTS), params={"task": "mcq", "easy": 1, "candidates": 2})
    assert [answer["missing"] for answer in chosen] == [{"easy": 1}] * 2


def test_its_answers_are_json_for_the_scoring_server(served: Any) -> None:
    out = io.StringIO()
    predictions_to_json(served.predict(frame(*TEXTS)), out)
    assert len(json.loads(out.getvalue())["predictions"]) == 2


def test_its_signature_is_the_one_that_was_said(served: Any) -> None:
    signature = served.metadata.signature
    assert signature.inputs.input_names() == ["text"]
    assert {param.name: param.default for param in signature.params.params} == {
        "task": "summarize",
        "easy": 0,
        "medium": 0,
        "hard": 0,
        "max_new_tokens": 0,
        "truncate": False,
        "candidates": 1,
        "num_beams": 1,
        "length_penalty": 1.0,
    }


@pytest.mark.parametrize(
    ("texts", "params", "message"),
    [
        (["x"], {"task": "mqc"}, "did you mean 'mcq'"),
        (["x"], {"easy": 1}, "summarize takes no 'easy'"),
        (["x"], {"task": "mcq", "hard": -1}, "hard must be a whole number from 0 on"),
        (["x"], {"task": "mcq", "hard": 1.5}, "Can not safely convert"),
        (["x"], {"max_new_tokens": 99999}, "max_new_tokens must be 1 to 4096"),
        (["x"], {"candidates": 2}, "summarize asks no questions that could be checked"),
        (["x"], {"task": "mcq", "candidates": 99}, "candidates must be a whole number from 1 to 16, got 99"),
        (["x"], {"num_beams": 2, "candidates": 2}, "exclude each other"),
        (["x", "word " * 300], {}, "text 2 is"),
        ([""], {}, "text 1: the article is empty"),
    ],
)
def test_a_bad_request_is_a_4xx_with_the_reason(
    served: Any, texts: list[str], params: dict[str, Any], message: str
) -> None:
    with pytest.raises(MlflowException, match=message) as caught:
        served.predict(frame(*texts), params=params)
    assert caught.value.get_http_status_code() == 400


def test_truncate(served: Any) -> None:
    (answer,) = served.predict(frame("word " * 300), params={"truncate": True})
    assert answer["truncated"]


def test_no_pickle_and_no_training_state_in_it(folder: Path) -> None:
    (folder / "optimizer.pt").write_bytes(b"stays at home")
    with packaged(folder) as packed:
        names = {path.name for path in packed.rglob("*") if path.is_file()}
        requirements = (packed / "requirements.txt").read_text().splitlines()
    assert not {name for name in names if name.endswith((".pkl", ".pt", ".bin"))}
    assert "model.safetensors" in names  # a base without a Hub name travels along
    assert requirements[0].startswith("mtl-retrain==")
    assert all("==" in line for line in requirements)


def test_the_shipped_base_is_not_copied_in(tmp_path: Path) -> None:
    with packaged(trained_model(tmp_path, base="demo")) as packed:
        names = {path.name for path in packed.rglob("*") if path.is_file()}
        size = sum(path.stat().st_size for path in packed.rglob("*") if path.is_file())
    assert "model.safetensors" not in names
    assert size < 1_000_000


def test_it_loads_with_a_base_given_as_a_folder(folder: Path, served: Any) -> None:
    with packaged(folder) as packed:
        model = mlflow.pyfunc.load_model(str(packed), model_config={"base": str(tiny_base())})
    assert model.predict(frame(*TEXTS)) == served.predict(frame(*TEXTS))


@pytest.mark.parametrize("base", [None, "demo"])
def test_a_pulled_release_loads_with_peft_alone_and_writes_the_same(tmp_path: Path, base: str | None) -> None:
    from peft import PeftModel
    from transformers import AutoModelForSeq2SeqLM, AutoTokenizer

    folder = trained_model(tmp_path / "model", base=base)
    store = MemoryStore()
    publish(store, folder, model="toy", version=1, facts=facts())
    dest = tmp_path / "out"
    pull(store, "v1", dest, model="toy")
    tokenizer = AutoTokenizer.from_pretrained(dest)
    loaded = AutoModelForSeq2SeqLM.from_pretrained(dest / "base")
    model = PeftModel.from_pretrained(loaded, dest).merge_and_unload().eval()
    prompt = f"<summarize> Summarize the following article: {TEXTS[0]}"
    ids = tokenizer(prompt, return_tensors="pt").input_ids
    written = tokenizer.decode(model.generate(ids, max_new_tokens=12, do_sample=False)[0], skip_special_tokens=True)
    for place in (folder, dest):
        assert load_generator(place, precision="fp32").generate(TEXTS[:1])[0].text == written


def test_at_the_shape_of_flan_t5_base_it_is_under_5_mb(tmp_path: Path) -> None:
    """r=8 on q and v, a base with a Hub name, a tokenizer as large as FLAN-T5's."""
    with packaged(hub_sized_model(tmp_path / "model")) as packed:
        files = {str(path.relative_to(packed)): path.stat().st_size for path in packed.rglob("*") if path.is_file()}
    assert files["artifacts/model/adapter_model.safetensors"] > 3_500_000
    assert not any("/base/" in name for name in files)
    assert sum(files.values()) < 5_000_000


def hub_sized_model(folder: Path) -> Path:
    """A trained model of FLAN-T5-base's shape; the base's own matrices never take memory."""
    shape = {"d_model": 768, "d_kv": 64, "d_ff": 2048, "num_layers": 12, "num_decoder_layers": 12, "num_heads": 12}
    config = T5Config(vocab_size=32128, feed_forward_proj="gated-gelu", **shape)
    with torch.device("meta"):
        model = attach_lora(
            T5ForConditionalGeneration(config),
            [32100, 32101],
            r=8,
            alpha=16,
            dropout=0.0,
            target_modules=["q", "v"],
            rslora=False,
            base_name="google/flan-t5-base",
            revision="a" * 40,
        )
    for module in model.modules():
        for name, parameter in module.named_parameters(recurse=False):
            if parameter.requires_grad:
                module.register_parameter(name, torch.nn.Parameter(torch.randn(parameter.shape)))
    save_adapter(model, folder)
    tiny_tokenizer(f"syllables{n}" for n in range(32_000)).save_pretrained(folder)
    spec = json.loads((trained_model(folder.parent / "tiny") / "mtl_model.json").read_text())
    public = spec | {"base": "google/flan-t5-base", "revision": "a" * 40}
    (folder / "mtl_model.json").write_text(json.dumps(public))
    return folder
