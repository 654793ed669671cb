"""The files of a release that say how to train it again: what they hold, and what they must not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from packaging.requirements import Requirement

from mtl.checkpoints.identity import RunIdentity
from mtl.config.document import parse_document
from mtl.config.retrain import RetrainConfig, parse_config
from mtl.data.manifest import DatasetManifest
from mtl.release.provenance import CONFIG, CONSTRAINTS, RUN, SBOM, constraints, provenance_files, public
from mtl.training.packages import installed, installed_versions
from mtl.training.plan import pinned
from mtl.training.record import TrainingRecord
from mtl.training.result import TrainedModel
from tests.support.retrains import small_values

BASE = "/home/ann/models/own-base"
FIELDS = {"base": "b" * 64, "python": "3.11.7", "seed": 3, "model.base": BASE, "model.tokenizer": None}


def config() -> RetrainConfig:
    values = small_values(Path(BASE))
    values["data"]["sources"][0] |= {"uri": "/home/ann/news"}
    values["data"]["sources"][1] |= {"uri": "s3://ann:s3cr3t@bucket/race", "rows": {}}
    return parse_config(values)


@pytest.fixture(scope="module")
def files() -> dict[str, str]:
    return files_of(config())


def files_of(config: RetrainConfig) -> dict[str, str]:
    identity = RunIdentity.of("small", FIELDS)
    dataset = DatasetManifest(
        fingerprint="d" * 64,
        sources=[
            {"task": "summarize", "uri": "/home/ann/news", "revision": None, "sha256": "e" * 64},
            {"task": "mcq", "uri": "s3://ann:s3cr3t@bucket/race", "revision": None, "sha256": "e" * 64},
        ],
        scheme="1",
        tokenizer={"name": "t", "sha256": "f" * 64},
        counts={},
        quarantine={},
        truncated={},
        lengths={},
        files=[],
    )
    trained = TrainedModel(identity.sha256, 2, 2, "a" * 64, None, True, None, 1.0, {})
    versions = {**installed_versions(), "torch": "2.13.0+cpu", "mtl-retrain": "0.1.0", "Weird_Name.x": "1.0"}
    return provenance_files(
        model="m",
        version=1,
        config=config,
        identity=identity,
        trained=trained,
        record=TrainingRecord(identity.sha256, {}, (1.0, 0.5), versions, "x86_64 AVX2"),
        dataset=dataset,
        code_version="abc",
    )


def test_the_sbom_is_valid_by_the_schema_of_cyclonedx(files: dict[str, str]) -> None:
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(files[SBOM]) is None
    bom = json.loads(files[SBOM])
    assert (bom["bomFormat"], bom["specVersion"]) == ("CycloneDX", "1.6")
    model = bom["metadata"]["component"]
    assert (model["name"], model["version"], model["type"]) == ("m", "v1", "machine-learning-model")
    assert model["hashes"] == [{"alg": "SHA-256", "content": "a" * 64}]
    parts = {part["bom-ref"]: part for part in bom["components"]}
    assert parts["dataset"]["version"] == "d" * 64
    assert parts["base"]["properties"] == [{"name": "mtl:sha256", "value": "b" * 64}]
    assert parts["pkg:pypi/torch@2.13.0%2Bcpu"]["version"] == "2.13.0+cpu"
    assert "pkg:pypi/weird-name-x@1.0" in parts
    assert {name for name in installed() if name != "torch"} <= {part["name"] for part in bom["components"]}
    assert parts["pkg:pypi/rich@" + installed()["rich"].version]["licenses"] == [{"license": {"id": "MIT"}}]


def test_the_constraints_are_pins_of_releases_and_nothing_else(files: dict[str, str]) -> None:
    lines = files[CONSTRAINTS].splitlines()
    assert lines[0].startswith("# Installed with Python 3.11.7")
    pins = [Requirement(line) for line in lines[1:]]
    assert all(pin.url is None and str(pin.specifier).startswith("==") for pin in pins)
    assert "torch==2.13.0" in lines
    assert not any(pin.name == "mtl-retrain" for pin in pins)
    assert constraints({"a": "1.0"}, python="3.12").splitlines()[1:] == ["a==1.0"]


def test_no_file_holds_a_password_or_a_path_of_the_machine(files: dict[str, str]) -> None:
    for name, text in files.items():
        assert "s3cr3t" not in text, name
        assert "/home/ann" not in text, name


def test_the_configuration_is_one_that_a_retrain_takes(files: dict[str, str]) -> None:
    values: Any = parse_document(files[CONFIG])
    assert parse_config(values).train == config().train
    assert values == public(config().model_dump(mode="json", by_alias=True))
    assert values["model"]["base"] == "own-base"
    assert [source["uri"] for source in values["data"]["sources"]] == ["news", "s3://***@bucket/race"]


def test_the_configuration_is_that_of_the_record_of_a_training_on_a_cluster() -> None:
    values = config().model_dump(mode="json", by_alias=True)
    values["train"]["threads"], values["run"]["engine"] = None, "ray"
    on_ray = parse_config(values)
    recorded = pinned(on_ray).model_dump(mode="json", by_alias=True)
    assert parse_document(files_of(on_ray)[CONFIG]) == public(recorded)
    assert recorded["train"]["threads"] == 1


def test_the_run_holds_its_identity_its_hashes_and_each_loss(files: dict[str, str]) -> None:
    run = json.loads(files[RUN])
    assert run["fields"] == FIELDS | {"model.base": "own-base"}
    assert run["dataset"]["fingerprint"] == "d" * 64
    assert run["dataset"]["sources"][0]["uri"] == "news"
    assert run["losses"] == [1.0, 0.5]
    assert run["packages"]["torch"] == "2.13.0+cpu"
