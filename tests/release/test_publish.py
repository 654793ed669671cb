"""A release is there when its manifest is, and is never anything but whole."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from mtl.errors import DamageError, InputError, ModelError, NotFoundError, PermanentError
from mtl.fingerprint import sha256_bytes
from mtl.layout import check_model_name
from mtl.model.base import base_sha256, resolve_base
from mtl.model.load import load_for_generation, load_spec
from mtl.release.layout import (
    check_release_path,
    find_manifest,
    parse_manifest,
    parse_version,
    published_versions,
    read_manifest,
)
from mtl.release.licences import UNKNOWN, licence_of
from mtl.release.publish import publish
from mtl.release.pull import pull
from mtl.release.signature import verify_release
from mtl.store.memory import MemoryStore
from tests.release.toy import MODEL, facts, publish_toy, toy_adapter
from tests.support.trained import trained_model


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


def test_a_release_holds_adapter_tokenizer_report_card_and_the_manifest_last(
    store: MemoryStore, tmp_path: Path
) -> None:
    written: list[str] = []
    store.after = lambda operation, key: written.append(key) if operation.startswith("put") else None
    manifest = publish_toy(store, tmp_path, 1)
    names = [file.path for file in manifest.files]
    adapter = ["adapter_config.json", "adapter_model.safetensors", "mtl_model.json"]
    assert names == ["README.md", *adapter, "report.md", "tokenizer.json"]
    assert written[-1] == "releases/toy/v1/manifest.json"
    assert verify_release(store, MODEL, 1) == manifest
    document = json.loads(store.get("releases/toy/v1/manifest.json"))
    assert document["identity"] == f"{1:064}"
    assert document["adapter_sha256"] == sha256_bytes(b"weights 1")
    assert {"path": "tokenizer.json", "bytes": 2, "sha256": sha256_bytes(b"{}")} in document["files"]


def test_publishing_again_changes_nothing(store: MemoryStore, tmp_path: Path) -> None:
    first = publish_toy(store, tmp_path, 1)
    before = {info.key: store.get(info.key) for info in store.list("")}
    assert publish_toy(store, tmp_path, 1) == first
    assert {info.key: store.get(info.key) for info in store.list("")} == before


def test_another_model_under_a_published_version_is_refused(store: MemoryStore, tmp_path: Path) -> None:
    publish_toy(store, tmp_path, 1)
    with pytest.raises(PermanentError, match="release v1 of toy is another model"):
        publish_toy(store, tmp_path, 1, weights=b"other")


@pytest.mark.parametrize("puts", range(7))
def test_killed_at_any_write_there_is_no_release_and_a_second_call_makes_it(
    store: MemoryStore, tmp_path: Path, puts: int
) -> None:
    class Killed(BaseException):
        pass

    count = 0

    def kill(operation: str, key: str) -> None:
        nonlocal count
        count += operation.startswith("put")
        if operation.startswith("put") and count > puts:
            raise Killed

    store.before = kill
    with pytest.raises(Killed):
        publish_toy(store, tmp_path, 1)
    store.before = lambda operation, key: None
    assert find_manifest(store, MODEL, 1) is None
    publish_toy(store, tmp_path, 1)
    verify_release(store, MODEL, 1)


def test_a_lost_answer_to_the_manifest_is_no_second_release(store: MemoryStore, tmp_path: Path) -> None:
    def lose(operation: str, key: str) -> None:
        if key.endswith("manifest.json") and operation == "put_if_absent":
            raise ConnectionError

    store.after = lose
    with pytest.raises(ConnectionError):
        publish_toy(store, tmp_path, 1)
    store.after = lambda operation, key: None
    assert publish_toy(store, tmp_path, 1) == verify_release(store, MODEL, 1)


def test_two_publishers_with_different_reports_agree(store: MemoryStore, tmp_path: Path) -> None:
    adapter = toy_adapter(tmp_path)
    other = {"done": False}

    def interleave(operation: str, key: str) -> None:
        if key.endswith("report.md") and not other["done"]:
            other["done"] = True
            publish(store, adapter, model=MODEL, version=1, facts=facts(), documents={"report.md": "took 3 s"})

    store.before = interleave
    publish(store, adapter, model=MODEL, version=1, facts=facts(), documents={"report.md": "took 4 s"})
    verify_release(store, MODEL, 1)
    assert store.get("releases/toy/v1/report.md") == b"took 3 s"


def test_leftovers_of_another_model_are_removed(store: MemoryStore, tmp_path: Path) -> None:
    store.put("releases/toy/v1/adapter_model.safetensors", b"of a registry that is gone")
    store.put("releases/toy/v1/report.md", b"of a registry that is gone")
    publish_toy(store, tmp_path, 1)
    assert store.get("releases/toy/v1/report.md") == b"# Report"


def test_the_card_loads_with_peft_alone_and_names_metrics_and_origin(store: MemoryStore, tmp_path: Path) -> None:
    publish_toy(store, tmp_path, 3)
    card = store.get("releases/toy/v3/README.md").decode()
    assert 'from_pretrained("google/flan-t5-base", revision="abc123")' in card
    assert "| summarize | rougeLsum | 0.4100 |" in card
    assert "broken" not in card
    assert "f" * 64 in card


def test_a_base_without_a_hub_name_travels_along(store: MemoryStore, tmp_path: Path) -> None:
    base = tmp_path / "machines" / "tiny-t5"
    base.mkdir(parents=True)
    (base / "config.json").write_text('{"model_type": "t5"}')
    (base / "model.safetensors").write_bytes(b"base")
    (base / "training_args.bin").write_bytes(b"pickle")
    adapter = toy_adapter(tmp_path / "adapter", base=str(base))
    with pytest.raises(ModelError, match=r"tiny-t5' is not the one this adapter was trained on .* not bbbbbbbbbbbb"):
        publish(store, adapter, model=MODEL, version=1, facts=facts())
    assert list(store.list("")) == []
    spec = replace(load_spec(adapter), base_sha256=base_sha256(resolve_base(str(base))))
    spec.save(adapter)
    manifest = publish(store, adapter, model=MODEL, version=1, facts=facts())
    assert [f.path for f in manifest.files if f.path.startswith("base/")] == [
        "base/config.json",
        "base/model.safetensors",
    ]
    config = json.loads(store.get("releases/toy/v1/adapter_config.json"))
    assert (config["base_model_name_or_path"], config["revision"]) == ("base", None)
    for name in ("mtl_model.json", "README.md"):
        assert str(tmp_path) not in store.get(f"releases/toy/v1/{name}").decode()


def test_a_folder_that_is_no_adapter_is_refused(store: MemoryStore, tmp_path: Path) -> None:
    adapter = toy_adapter(tmp_path / "a")
    (adapter / "adapter_model.safetensors").unlink()
    with pytest.raises(InputError, match=r"is not a trained adapter: it has no adapter_model\.safetensors"):
        publish(store, adapter, model=MODEL, version=1, facts=facts())
    assert list(store.list("")) == []


@pytest.mark.parametrize("name", ["../x", "/etc/passwd", "a/b/c", ".hidden", "base/.x", "manifest.json", "a b", ""])
def test_unsafe_names_never_get_into_a_release(name: str) -> None:
    with pytest.raises(InputError):
        check_release_path(name)


@pytest.mark.parametrize("name", ["..", "a/b", "", "-x", "a..b", "a b"])
def test_bad_model_names(name: str) -> None:
    with pytest.raises(InputError, match="bad model name"):
        check_model_name(name)


def test_versions() -> None:
    assert [parse_version(ref) for ref in ("v7", "7", "v0", "v", "champion", "v1x")] == [7, 7, None, None, None, None]


def test_an_unknown_release_lists_what_exists(store: MemoryStore, tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match=r"no release v9 of toy in memory:\n  nothing is published yet"):
        read_manifest(store, MODEL, 9)
    publish_toy(store, tmp_path, 1)
    publish_toy(store, tmp_path, 10)
    publish_toy(store, tmp_path, 2)
    assert published_versions(store, MODEL) == [1, 2, 10]
    with pytest.raises(NotFoundError, match="known: v1, v2, v10"):
        read_manifest(store, MODEL, 9)


def test_every_flipped_byte_of_a_manifest_is_damage(store: MemoryStore, tmp_path: Path) -> None:
    data = publish_toy(store, tmp_path, 1).to_bytes()
    for position in range(0, len(data), 7):
        flipped = data[:position] + bytes([data[position] ^ 1]) + data[position + 1 :]
        try:
            assert parse_manifest(flipped, "m") == parse_manifest(data, "m")  # only white space changed
        except DamageError as error:
            assert error.field == "m"


@pytest.mark.parametrize("name", ["adapter_model.safetensors", "report.md", "tokenizer.json"])
def test_a_damaged_or_missing_file_is_named(store: MemoryStore, tmp_path: Path, name: str) -> None:
    publish_toy(store, tmp_path, 1)
    key = f"releases/toy/v1/{name}"
    store.put(key, store.get(key) + b"x")
    with pytest.raises(DamageError, match=f"{key} is damaged"):
        verify_release(store, MODEL, 1)
    store.delete(key)
    with pytest.raises(DamageError, match=f"{key} is missing"):
        verify_release(store, MODEL, 1)


def test_the_card_says_how_sure_a_metric_is_and_under_which_licences(tmp_path: Path) -> None:
    store = MemoryStore()
    licences = {uri: licence_of(uri, {"s3://own": "ours | all"}) for uri in ("google/flan-t5-base", "s3://own", "x")}
    publish(
        store,
        toy_adapter(tmp_path / "adapter"),
        model=MODEL,
        version=1,
        facts=facts(),
        differences={"summarize": {"rougeLsum": "+0.0100 [+0.0050, +0.0150] against the champion"}},
        licences=licences,
    )
    card = store.get("releases/toy/v1/README.md").decode()
    assert "| summarize | rougeLsum | 0.4100 | +0.0100 [+0.0050, +0.0150] against the champion |" in card
    assert "| google/flan-t5-base | Apache-2.0 |" in card
    assert "| s3://own | ours \\| all |" in card
    assert f"| x | {UNKNOWN} |" in card


def test_the_merged_model_is_hashed_and_loads_with_transformers_alone(store: MemoryStore, tmp_path: Path) -> None:
    """In a process that cannot import peft nor this package it gives the adapter's logits within 1e-4."""
    folder = trained_model(tmp_path / "adapter")
    manifest = publish(store, folder, model=MODEL, version=1, facts=facts(), merged=True)
    names = {file.path for file in manifest.files if file.path.startswith("merged/")}
    assert {"merged/config.json", "merged/model.safetensors", "merged/tokenizer.json"} <= names
    assert verify_release(store, MODEL, 1) == manifest
    pull(store, "v1", tmp_path / "pulled", model=MODEL)
    assert 'from_pretrained("merged")' in (tmp_path / "pulled" / "README.md").read_text()
    command = [sys.executable, "-c", _WITHOUT_PEFT, str(tmp_path / "pulled" / "merged")]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=tmp_path)
    spec = load_spec(folder)
    model, tokenizer = load_for_generation(spec.base, spec.revision, folder, merged=False)
    ids = tokenizer(_TEXT, return_tensors="pt").input_ids
    with torch.no_grad():
        logits = model(input_ids=ids, decoder_input_ids=ids[:, :6]).logits[0]
    alone = torch.tensor(json.loads(done.stdout.splitlines()[-1]))
    assert (alone - logits).abs().max() < 1e-4


_TEXT = "<mcq> Generate MCQs (Easy: 1, Medium: 0, Hard: 0): Boats came to the lake."
_WITHOUT_PEFT = f"""
import json, sys
sys.modules["peft"] = sys.modules["mtl"] = None
import torch
from transformers import AutoModelForSeq2SeqLM, AutoTokenizer
model = AutoModelForSeq2SeqLM.from_pretrained(sys.argv[1]).eval()
ids = AutoTokenizer.from_pretrained(sys.argv[1])({_TEXT!r}, return_tensors="pt").input_ids
with torch.no_grad():
    print(json.dumps(model(input_ids=ids, decoder_input_ids=ids[:, :6]).logits[0].tolist()))
"""
