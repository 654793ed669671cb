"""The MLflow model, as code: MLflow keeps a copy of this file with the model and runs it to load it.

    model = mlflow.pyfunc.load_model("models:/mtl-flan-t5@champion")
    model.predict(pandas.DataFrame({"text": [passage]}), params={"task": "mcq", "easy": 1, "hard": 1})

A base with a Hub name can be given as a folder: load_model(uri, model_config={"base": "/models/flan-t5-base"}).
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from mlflow.exceptions import MlflowException
from mlflow.models import set_model
from mlflow.protos.databricks_pb2 import REQUEST_LIMIT_EXCEEDED, TEMPORARILY_UNAVAILABLE
from mlflow.pyfunc.model import PythonModel

from mtl.errors import MtlError, NotFoundError, TransientError, did_you_mean


class MultitaskModel(PythonModel):  # type: ignore[misc, unused-ignore]
    """Column `text` in; a list of {output, text, truncated} out, with candidates also missing.

    Parameters: see `package.signature`.
    """

    # Without this MLflow asks at every load for type hints, which would do harm here, see predict.
    _skip_type_hint_validation = True

    def load_context(self, context: Any) -> None:
        from mtl.model.folder import HASHES, check_folder
        from mtl.serving.generate import load_generator

        folder = Path(context.artifacts["model"])
        if (folder / HASHES).is_file():  # versions before this one registered models without
            check_folder(folder)
        base = (context.model_config or {}).get("base") or None
        self._generator = load_generator(folder, base=base, engine="auto")

    # No type hints: MLflow would make a signature of them, and the parameters would be lost.
    def predict(self, context, model_input, params=None):  # type: ignore[no-untyped-def]
        return answers(self._generator.generate, model_input["text"].tolist(), params or {})


def answers(generate: Callable[..., list[Any]], texts: list[Any], given: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What `generate`, which takes what `Generator.generate` takes, answers to MLflow's parameters.

    Errors: MlflowException. The scoring server answers 400 with the reason if the request is wrong, and 429 or 503 if
    it may be sent again.
    """
    try:
        _check_task(given.get("task", "summarize"))
        found = generate(
            texts,
            given.get("task", "summarize"),
            request=_request(given),
            max_new_tokens=int(given["max_new_tokens"]) if given.get("max_new_tokens") else None,
            truncate=bool(given.get("truncate", False)),
            decoding=_decoding(given),
        )
    except MtlError as error:
        refusal = error.to_dict()["error"]
        if error.exit_code == 2:  # the request is wrong
            raise MlflowException.invalid_parameter_value(str(error), refusal=refusal) from error
        if isinstance(error, TransientError):
            code = REQUEST_LIMIT_EXCEEDED if error.kind == "queue_full" else TEMPORARILY_UNAVAILABLE
            raise MlflowException(str(error), error_code=code, refusal=refusal) from error
        raise MlflowException(str(error)) from error
    return [answer.to_dict() for answer in found]


def _request(given: Mapping[str, Any]) -> dict[str, Any]:
    """What is asked of the task: MLflow fills in the defaults of all parameters, and those are left out again."""
    from mtl.tasks.table import request_parameters

    known = {name: parameter for name, (parameter, _) in request_parameters().items()}
    asked = {name: known[name].kind(value) for name, value in given.items() if name in known and value is not None}
    return {name: value for name, value in asked.items() if value != known[name].default}


def _decoding(given: Mapping[str, Any]) -> Any:
    """Errors: InputError for values out of range."""
    from mtl.decoding import Decoding

    kinds = {"candidates": int, "num_beams": int, "length_penalty": float}
    return Decoding(**{name: kind(given[name]) for name, kind in kinds.items() if given.get(name) is not None})


def _check_task(name: Any) -> None:
    """Errors: NotFoundError that does not repeat the name, because an answer over HTTP repeats nothing."""
    from mtl.tasks.table import TASKS

    if isinstance(name, str) and name not in TASKS:
        raise NotFoundError("no such task", field="task", hint=did_you_mean(name, TASKS))


set_model(MultitaskModel())
