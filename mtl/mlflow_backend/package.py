"""The registered model as a folder: MLflow pyfunc from code, adapter-sized, loadable without network."""

from __future__ import annotations

import json
import shutil
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path

import mlflow.pyfunc
from mlflow.models import ModelSignature
from mlflow.types.schema import AnyType, ColSpec, DataType, ParamSchema, ParamSpec, Schema

from mtl.decoding import GREEDY
from mtl.model.base import DEMO
from mtl.model.folder import seal_folder
from mtl.model.load import load_spec
from mtl.registry.code_version import package_version
from mtl.serving.folder import bundled_base, model_files
from mtl.tasks.table import request_parameters

_CODE = Path(__file__).parent / "pyfunc.py"
_ANY = AnyType()  # type: ignore[no-untyped-call]
_TYPES = {bool: DataType.boolean, int: DataType.long, float: DataType.double, str: DataType.string}
_REQUIREMENTS = ("mlflow", "torch", "transformers", "peft", "safetensors", "tokenizers")


def signature() -> ModelSignature:
    """Column `text` in, {output, text, truncated} out, and with candidates also {missing}.

    Parameters: task; those of the tasks' requests (all at their defaults: the task's default request); max_new_tokens
    (0: the model's limit for the task); truncate (cut an over-long text instead of refusing it); candidates,
    num_beams and length_penalty (see `Decoding`; greedy by default).
    """
    return ModelSignature(
        inputs=Schema([ColSpec(DataType.string, "text")]),
        outputs=Schema(
            [
                ColSpec(_ANY, "output"),
                ColSpec(DataType.string, "text"),
                ColSpec(DataType.boolean, "truncated"),
                ColSpec(_ANY, "missing", required=False),
            ]
        ),
        params=ParamSchema(
            [
                ParamSpec("task", DataType.string, "summarize"),
                *(
                    ParamSpec(name, _TYPES[parameter.kind], parameter.default)
                    for name, (parameter, _) in request_parameters().items()
                ),
                ParamSpec("max_new_tokens", DataType.long, 0),
                ParamSpec("truncate", DataType.boolean, False),
                ParamSpec("candidates", DataType.long, GREEDY.candidates),
                ParamSpec("num_beams", DataType.long, GREEDY.num_beams),
                ParamSpec("length_penalty", DataType.double, GREEDY.length_penalty),
            ]
        ),
    )


def requirements() -> list[str]:
    """What the model was made with. Said, not inferred: inference loads the model and asks the network."""
    return [f"mtl-retrain=={package_version()}", *(f"{name}=={version(name)}" for name in _REQUIREMENTS)]


@contextmanager
def packaged(folder: Path) -> Iterator[Path]:
    """A temporary folder with the MLflow model of an adapter folder.

    Adapter-sized: a base that every consumer can resolve by its name (Hub, demo) is not copied in, a folder is.
    Its files are sealed by their hashes, which `pyfunc` compares when it loads them.
    Errors: InputError or DamageError if `folder` is no trained adapter.
    """
    spec = load_spec(folder)
    files = model_files(folder, None if spec.base == DEMO else bundled_base(folder))
    with tempfile.TemporaryDirectory(prefix="mtl-model-") as temporary:
        staged = Path(temporary) / "model"
        for name, path in files.items():
            (staged / name).parent.mkdir(parents=True, exist_ok=True)
            _copy(path, staged / name)
        seal_folder(staged, {})
        packed = Path(temporary) / "packed"
        _save(staged, packed)
        yield packed


def _copy(source: Path, target: Path) -> None:
    """JSON without its indentation, which is two fifths of T5's tokenizer; anything else as it is."""
    if source.suffix == ".json":
        value = json.loads(source.read_text(encoding="utf-8"))
        target.write_text(json.dumps(value, ensure_ascii=False, separators=(",", ":")), encoding="utf-8")
    else:
        shutil.copyfile(source, target)


def _save(staged: Path, packed: Path) -> None:
    with warnings.catch_warnings():
        # MLflow asks for type hints and an example, to infer what `signature` says already
        warnings.simplefilter("ignore", UserWarning)
        mlflow.pyfunc.save_model(
            path=str(packed),
            python_model=str(_CODE),
            artifacts={"model": str(staged)},
            signature=signature(),
            pip_requirements=requirements(),
            model_config={"base": ""},
        )
