"""TrainingRecord: what a finished run leaves for whoever trains it again, beside its result and its identity."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from platform import machine
from typing import Any

from pydantic import ConfigDict, with_config

from mtl import layout
from mtl.document import Line, Number, Sha256, check_record
from mtl.errors import DamageError
from mtl.store.base import ObjectStore
from mtl.store.documents import put_document, read_document

_AGAIN = "train again: it is made again from the run's last commit"


@with_config(ConfigDict(extra="ignore"))
@dataclass(frozen=True)
class TrainingRecord:
    """config: of the retrain, as plain values. losses: per target token of each optimizer step, in full precision;
    None for a step that nobody measured. packages: name -> version of all that was installed. hardware: which
    processor did the sums.
    """

    identity: Sha256
    config: dict[str, Any]
    losses: tuple[Number | None, ...]
    packages: dict[Line, Line]
    hardware: Line


def keep_record(store: ObjectStore, record: TrainingRecord) -> None:
    put_document(store, layout.record_key(record.identity), asdict(record) | {"losses": list(record.losses)})


def read_record(store: ObjectStore, identity: str) -> TrainingRecord:
    """The record of a finished run. Errors: NotFoundError; DamageError for what is no record, or another run's."""
    key = layout.record_key(identity)
    record = check_record(TrainingRecord, read_document(store, key, hint=_AGAIN), key, hint=_AGAIN)
    if record.identity != identity:
        raise DamageError(f"{key} is damaged: it is the record of another run", field=key, hint=_AGAIN)
    return record


def hardware(device: str) -> str:
    """The GPU's name, or the instructions that the CPU offers: by these torch chooses how it adds up."""
    import torch  # seconds, which who only reads a record need not wait for

    from mtl.model.precision import use_bf16

    if device == "cuda":
        return str(torch.cuda.get_device_name())
    bf16 = " bf16" if use_bf16("auto", d_model=1 << 10, device=device) else ""
    return f"{machine()} {torch.backends.cpu.get_cpu_capability()}{bf16}"
