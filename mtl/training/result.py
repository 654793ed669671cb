"""TrainedModel: the result of a finished training run, as its process tells it and the store keeps it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from pydantic import ConfigDict, with_config

from mtl import layout
from mtl.checkpoints.related import Lineage
from mtl.document import Flag, Line, Number, Sha256, Size, check_record
from mtl.errors import DamageError
from mtl.store.base import ObjectStore
from mtl.store.documents import put_document, read_document
from mtl.training.parent import Parent

_AGAIN = "train again: it is made again from the run's last commit"


@dataclass(frozen=True)
class BestStep:
    """The step with the best validation metric, whose adapter is the result."""

    step: Size
    metric: Line
    value: Number


@with_config(ConfigDict(extra="ignore"))
@dataclass(frozen=True)
class TrainedModel:
    """A finished run. identity: the run's hash. adapter_sha256: of the adapter of its last (or best) commit.

    resumed_from: the step that the last process went on from. bit_exact: False if it went on from a run that differs
    (`continued_from`). loss, validation: task -> loss, at the end. best, stopped_early: where validation was on.
    parent: the version whose adapter it started from, if any.
    """

    identity: Sha256
    steps: Size
    max_steps: Size
    adapter_sha256: Sha256 | None
    resumed_from: Size | None
    bit_exact: Flag
    continued_from: Lineage | None
    tokens_per_second: Number | None
    loss: dict[Line, Number]
    validation: dict[Line, Number] | None = None
    best: BestStep | None = None
    stopped_early: Flag | None = None
    parent: Parent | None = None

    def to_json(self) -> dict[str, Any]:
        """The document of `mtl train --json`; without what the run has nothing of."""
        document = asdict(self) | {"continued_from": self.continued_from.to_dict() if self.continued_from else None}
        for name in ("validation", "best", "stopped_early", "parent"):
            if document[name] is None:
                del document[name]
        return document

    @classmethod
    def from_json(cls, document: object, name: str) -> TrainedModel:
        """Errors: DamageError, naming `name`, for what is no result."""
        return check_record(cls, document, name, hint=_AGAIN)


def keep_result(store: ObjectStore, result: TrainedModel) -> None:
    put_document(store, layout.result_key(result.identity), result.to_json())


def read_result(store: ObjectStore, identity: str) -> TrainedModel:
    """The result of a finished run. Errors: NotFoundError; DamageError for what is no result, or another run's."""
    key = layout.result_key(identity)
    result = TrainedModel.from_json(read_document(store, key, hint=_AGAIN), key)
    if result.identity != identity:
        raise DamageError(f"{key} is damaged: it is the result of another run", field=key, hint=_AGAIN)
    return result
