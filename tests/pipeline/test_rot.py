"""Whatever file of a finished retrain rots: the same retrain again ends as it did, or says what is damaged.

The files are those that are found, not a list, so that what is added later is covered too.
"""

from __future__ import annotations

import json
import logging
import shutil
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from mtl.cli.main import run as mtl
from mtl.config.retrain import RetrainConfig
from mtl.errors import MtlError
from mtl.pipeline import gate, outcome, promote
from mtl.pipeline.evaluate import evaluate
from mtl.pipeline.models import model_folder
from mtl.pipeline.prepare import prepare as prepare_dataset
from mtl.pipeline.register import register
from mtl.settings import load_settings
from mtl.training.events import EventWriter
from mtl.training.plan import TrainPlan
from mtl.training.recipe import run as train
from mtl.training.result import TrainedModel, read_result
from mtl.workspace import open_workspace
from tests.support.retrains import small_config

RANGES = 8
"""Parts of a document that are damaged one by one."""
_NOT_OURS = ("mlflow.db", "train", "prefect")  # databases, which have checks of their own, and what is at work

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]
Damage = Callable[[bytes], bytes]


def chain(config: RetrainConfig, home: Path) -> dict[str, Any]:
    """The steps of the flow in this process; what the retrain says in the end."""
    workspace = open_workspace()
    dataset = prepare_dataset(workspace, config)
    trained = train_here(config, dataset.fingerprint, home / "train" / "work")
    made = outcome.find_outcome(workspace, config, trained)
    if made is None:
        evaluation = evaluate(workspace, config, dataset.fingerprint, trained)
        registered = register(workspace, config, dataset, trained, evaluation)
        decision = gate.decide(workspace, config, evaluation, registered)
        promotion = promote.promote(workspace, registered, decision)
        made = outcome.keep_outcome(workspace, config, trained, evaluation, registered, decision, promotion)
    said = made.to_json()
    measured = {name: said["evaluate"][name] for name in ("base", "candidate", "comparisons", "champion_version")}
    names = ("identity", "steps", "max_steps", "adapter_sha256", "bit_exact", "loss")
    return {
        "dataset": dataset.to_json(),
        "train": {name: trained.to_json()[name] for name in names},
        "evaluate": measured,
        **{name: said[name] for name in ("decision", "version", "release", "champion")},
    }


def train_here(config: RetrainConfig, dataset: str, work: Path) -> TrainedModel:
    """The trainer without its process, of which there would be hundreds."""
    settings = load_settings()
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    values = config.model_dump(mode="json", by_alias=True)
    plan = TrainPlan(values, dataset, settings.store, cache=str(settings.cache), work=str(work), owner="test")
    before = signal.getsignal(signal.SIGTERM)
    try:
        result = train(plan, EventWriter(quiet=True))
        assert result is not None, "one process leads itself"
        return result
    finally:
        signal.signal(signal.SIGTERM, before)


@dataclass
class Finished:
    """A home with a finished retrain, and what it said; `restore` makes it as it was."""

    home: Path
    pristine: Path
    config: RetrainConfig
    said: dict[str, Any]

    def files(self) -> list[str]:
        paths = (path.relative_to(self.pristine) for path in sorted(self.pristine.rglob("*")) if path.is_file())
        return [path.as_posix() for path in paths]

    def restore(self) -> None:
        for entry in self.pristine.iterdir():
            shutil.rmtree(self.home / entry.name, ignore_errors=True)
            shutil.copytree(entry, self.home / entry.name)

    def rot(self, name: str, damage: Damage) -> bool:
        """Damage a file; whether that changed it."""
        path = self.home / name
        before = path.read_bytes()
        path.write_bytes(damage(before))
        return path.read_bytes() != before

    def again(self) -> str:
        """'' for the same outcome or an error that says what to do; else what is wrong."""
        try:
            said = chain(self.config, self.home)
        except MtlError as error:
            return "" if error.hint else f"an error without a hint: {error}"
        except Exception as error:
            return f"{type(error).__name__}: {error}"
        differing = [name for name in said if said[name] != self.said[name]]
        return f"another outcome: {differing}" if differing else ""


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Finished]:
    folder = tmp_path_factory.mktemp("rot")
    config = small_config(folder)
    home = folder / "home"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MTL_HOME", str(home))
        patch.delenv("MTL_STORE", raising=False)
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        said = chain(config, home)
        shutil.rmtree(home / "train")
        keep = shutil.ignore_patterns(*(f"{name}*" for name in _NOT_OURS))
        shutil.copytree(home, folder / "pristine", ignore=keep)
        yield Finished(home, folder / "pristine", config, said)


@pytest.fixture(autouse=True)
def quiet(finished: Finished, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("MTL_HOME", str(finished.home))
    logger = logging.getLogger("mtl")
    before = logger.level
    logger.setLevel(logging.CRITICAL)
    yield
    logger.setLevel(before)


def flipped(part: int, of: int) -> Damage:
    def flip(data: bytes) -> bytes:
        rotten = bytearray(data)
        if rotten:
            rotten[(2 * part + 1) * len(data) // (2 * of)] ^= 1 << (part % 7)
        return bytes(rotten)

    return flip


ROT: dict[str, Damage] = {"flipped": flipped(0, 1), "cut": lambda data: data[: len(data) // 2]}
REPLACED: dict[str, Damage] = {
    "empty": lambda data: b"",
    "zeroed": lambda data: bytes(len(data)),
    "other JSON": lambda data: b'{"a":1}',
}
EACH: dict[str, Damage] = {f"flipped in part {part}": flipped(part, RANGES) for part in range(RANGES)}


def sweep(finished: Finished, names: list[str], damages: dict[str, Damage], look: Callable[[], str]) -> list[str]:
    """Every damage to every file, each on its own: what went wrong."""
    wrong = []
    for name in names:
        for kind, damage in damages.items():
            finished.restore()
            if finished.rot(name, damage) and (found := look()):
                wrong.append(f"{name} {kind}: {found}")
    finished.restore()
    return wrong


def documents(finished: Finished) -> list[str]:
    """The small documents of the store: those that decide something."""
    return [name for name in finished.files() if name.startswith("store/") and name.endswith(".json")]


def test_nothing_rotted_and_the_outcome_is_the_same(finished: Finished) -> None:
    finished.restore()
    assert finished.again() == ""
    kinds = ("result.json", "identity.json", "manifest.json", "report.json", "mtl_files.json", "mtl_model.json")
    assert all(any(name.endswith(f"/{kind}") for name in finished.files()) for kind in kinds)
    assert any("/judged/" in name for name in finished.files())


@pytest.mark.parametrize(
    "kind", ["/result.json", "/result.copy.json", "/record.json", "/identity.json", "run-names/", "/judged/"]
)
def test_a_document_of_the_run_rots(finished: Finished, kind: str) -> None:
    (name, *_) = [name for name in documents(finished) if kind in name]
    assert sweep(finished, [name], {"a digit": digit, "garbage": lambda data: b"\x00garbage"}, finished.again) == []


def digit(data: bytes) -> bytes:
    """The first digit is another one: JSON that parses as before."""
    place = next(i for i, byte in enumerate(data) if chr(byte).isdigit())
    return data[:place] + (b"1" if data[place] != ord("1") else b"2") + data[place + 1 :]


def test_any_part_of_any_document_rots(finished: Finished) -> None:
    """Notes in the cache too; what every bit does to a sealed document is in tests/test_seal.py."""
    names = [name for name in finished.files() if name.endswith((".json", ".jsonl")) and "artifacts/" not in name]
    assert len(names) > 25
    assert sweep(finished, names, EACH, finished.again) == []


def test_any_document_is_replaced(finished: Finished) -> None:
    assert sweep(finished, documents(finished), REPLACED, finished.again) == []


def test_any_file_rots(finished: Finished) -> None:
    assert sweep(finished, finished.files(), ROT, finished.again) == []


def test_any_file_rots_before_the_model_is_judged(finished: Finished) -> None:
    """Killed before its outcome was kept: evaluation, registration and promotion are gone through once more."""

    def look() -> str:
        for path in finished.home.glob("store/runs/*/judged/*"):
            path.unlink()
        return finished.again()

    names = [name for name in finished.files() if "/judged/" not in name and not name.startswith("mlflow-artifacts/")]
    assert sweep(finished, names, {"flipped": ROT["flipped"]}, look) == []


def test_any_document_rots_and_every_command_ends_in_order(
    finished: Finished, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fingerprint = finished.said["dataset"]["fingerprint"]
    commands = [
        ["models"],
        ["models", "--history"],
        ["checkpoints", "list"],
        ["checkpoints", "verify"],
        ["checkpoints", "prune"],
        ["prepare", "--explain", fingerprint],
        ["pull", "candidate", str(tmp_path / "model")],
    ]

    def look() -> str:
        for command in commands:
            shutil.rmtree(tmp_path / "model", ignore_errors=True)
            try:
                code = mtl([*command, "--json"])
            except Exception as error:
                return f"{command[0]}: {type(error).__name__}: {error}"
            document = json.loads(capsys.readouterr().out.splitlines()[-1])
            if code not in (0, 1, 2) or (code and "error" not in document):
                return f"{command[0]}: exit code {code}, {document}"
        return ""

    assert sweep(finished, documents(finished), ROT | REPLACED, look) == []


@pytest.mark.parametrize(
    "name", ["adapter_config.json", "tokenizer.json", "adapter_model.safetensors", "mtl_model.json"]
)
def test_an_exported_model_that_rotted_is_exported_again(finished: Finished, name: str) -> None:
    finished.restore()
    (path,) = finished.home.glob(f"cache/models/*/{name}")
    whole = path.read_bytes()
    damage = (
        (lambda data: data.replace(b'"lora_alpha": 4', b'"lora_alpha": 5'))
        if name == "adapter_config.json"
        else EACH["flipped in part 3"]
    )
    assert finished.rot(path.relative_to(finished.home).as_posix(), damage)
    workspace = open_workspace()
    assert model_folder(workspace, finished.config, read_result(workspace.store, path.parent.name)) == path.parent
    assert path.read_bytes() == whole
