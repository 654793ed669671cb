"""RunIdentity: everything the weights of a run depend on, field by field, and its hash.

Two runs with one identity end with equal weights, bit for bit. A resume under another identity is not the same run:
`check_resume` refuses it and names the fields, or lets a few of them differ if the caller asked for `compatible`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

from mtl.errors import DamageError, MismatchError
from mtl.fingerprint import canonical_json, sha256_json

ResumeMode = Literal["exact", "compatible"]

# In `compatible` mode these fields (and those below them) may differ: the sums are rounded in another order, the
# training is the same. All others must be equal in both modes.
MAY_DIFFER_WHEN_COMPATIBLE = ("threads", "device", "world_size")

_SHOWN = 80
IDENTITY_HINT = "run the retrain that made this run once more: it knows its identity, and writes it again"


@dataclass(frozen=True)
class RunIdentity:
    """Named fields of a run, flat and sorted: (dotted name, canonical JSON of the value).

    name: what a person calls the run (its configuration); one of the fields, and the key under which runs that are
    meant to be the same are found. Build it with `RunIdentity.of`.
    """

    name: str
    fields: tuple[tuple[str, str], ...]

    @classmethod
    def of(cls, name: str, fields: Mapping[str, Any]) -> RunIdentity:
        """From plain values; nested mappings become dotted names (`config.train.seed`)."""
        return cls(name, tuple(sorted(_flat(fields))))

    @cached_property
    def sha256(self) -> str:
        """The identity in keys: sha256 of name and fields."""
        return sha256_json({"name": self.name, "fields": dict(self.fields)})

    def values(self) -> dict[str, Any]:
        """Name -> plain value of each field."""
        return {name: json.loads(text) for name, text in self.fields}

    def difference(self, other: RunIdentity) -> list[str]:
        """Names of the fields whose values differ, or that only one of both has; sorted."""
        mine, theirs = dict(self.fields), dict(other.fields)
        names = [] if self.name == other.name else ["name"]
        return names + sorted(name for name in mine.keys() | theirs.keys() if mine.get(name) != theirs.get(name))

    def to_json(self) -> bytes:
        """The document kept as `runs/{identity}/identity.json`."""
        return canonical_json({"identity": self.sha256, "name": self.name, "fields": self.values()})

    @classmethod
    def from_json(cls, data: bytes, *, key: str = "identity.json") -> RunIdentity:
        """Inverse of `to_json`. DamageError if the fields do not give the hash that stands beside them."""
        try:
            document = json.loads(data)
            texts = {name: canonical_json(value).decode() for name, value in document["fields"].items()}
            identity = cls(str(document["name"]), tuple(sorted(texts.items())))
            intact = identity.sha256 == document["identity"]
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            intact = False
        if not intact:
            raise DamageError(f"{key} is damaged: its fields do not give its hash", field=key, hint=IDENTITY_HINT)
        return identity


def refused_fields(fields: Iterable[str], mode: ResumeMode) -> list[str]:
    """Those of the differing `fields` that forbid a resume in this mode."""
    allowed = MAY_DIFFER_WHEN_COMPATIBLE if mode == "compatible" else ()
    return [field for field in fields if not any(field == name or field.startswith(f"{name}.") for name in allowed)]


def check_resume(found: RunIdentity, wanted: RunIdentity, *, mode: ResumeMode) -> list[str]:
    """The fields in which a resume of run `found` under `wanted` would differ, all of them allowed by `mode`.

    Raises MismatchError, naming each refused field with both values.
    """
    differing = wanted.difference(found)
    refused = refused_fields(differing, mode)
    if not refused:
        return differing
    old, new = dict(found.fields) | {"name": found.name}, dict(wanted.fields) | {"name": wanted.name}
    lines = "\n".join(f"  {field}: was {_shown(old.get(field))}, is now {_shown(new.get(field))}" for field in refused)
    raise MismatchError(
        f"run {found.sha256[:12]} of {found.name!r} is not this run ({wanted.sha256[:12]}):\n{lines}",
        field=refused[0],
        hint=_hint(refused),
    )


def _hint(refused: list[str]) -> str:
    remedy = "set these back to go on with it, or leave out --resume: then this is a run of its own"
    if refused_fields(refused, "compatible"):
        return remedy
    return remedy + "; train.resume: compatible goes on from its newest commit, no longer bit-exact"


def _shown(text: str | None) -> str:
    if text is None:
        return "(not there)"
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."


def _flat(fields: Mapping[str, Any], prefix: str = "") -> Iterable[tuple[str, str]]:
    for name, value in fields.items():
        if isinstance(value, Mapping) and value:
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", canonical_json(value).decode()
