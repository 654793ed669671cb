"""What changed in the data since the champion was trained: two manifests in, lines for a table out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

_COUNTS = ("rows", "quarantined", "examples")


@dataclass(frozen=True, slots=True)
class DatasetChange:
    """One fact of the data set, before and now; `unchanged` facts are kept, so that a table is whole."""

    what: str
    before: str
    now: str

    @property
    def changed(self) -> bool:
        return self.before != self.now


def dataset_changes(before: Mapping[str, Any], now: Mapping[str, Any]) -> tuple[DatasetChange, ...]:
    """Fingerprint, sources, scheme, counts and labels of two manifests (the documents of manifest.json)."""
    found = [DatasetChange("fingerprint", before["fingerprint"][:12], now["fingerprint"][:12])]
    found += _paired("source", _sources(before), _sources(now))
    found += _paired("counts", dict(_counts(before)), dict(_counts(now)))
    return tuple(found)


def _paired(what: str, before: Mapping[str, str], now: Mapping[str, str]) -> list[DatasetChange]:
    return [
        DatasetChange(f"{what}: {name}" if what != "counts" else name, before.get(name, "–"), now.get(name, "–"))
        for name in dict.fromkeys((*before, *now))
    ]


def _sources(manifest: Mapping[str, Any]) -> dict[str, str]:
    """task and uri -> what says which bytes they were."""
    return {
        f"{source['task']} {source['uri']}": str(source.get("revision") or str(source.get("sha256") or "–")[:12])
        for source in manifest.get("sources", ())
    }


def _counts(manifest: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for task, splits in manifest.get("counts", {}).items():
        for split, counts in splits.items():
            for name in _COUNTS:
                yield f"{task} {split} {name}", str(counts.get(name, "–"))
            for level, number in counts.get("by_difficulty", {}).items():
                yield f"{task} {split} {level}", str(number)
