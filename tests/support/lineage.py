"""OpenLineage events in tests: each is checked against the published schema, and so is each of its facets."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator, FormatChecker
from referencing import Registry, Resource

_SCHEMAS = [json.loads(path.read_text()) for path in sorted((Path(__file__).parent / "openlineage").glob("*.json"))]
_REGISTRY: Registry[Any] = Registry().with_resources((its["$id"], Resource.from_contents(its)) for its in _SCHEMAS)
_EVENT = "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunEvent"


def check_event(event: Mapping[str, Any]) -> None:
    """The event is one of a run, and each facet is what its own schema says."""
    _validate(event, _EVENT)
    assert event["schemaURL"] == _EVENT
    facets = list(_facets(event))
    assert facets
    for facet in facets:
        _validate(facet, facet["_schemaURL"])


def read_events(path: Path) -> list[dict[str, Any]]:
    """The events of a file, each checked."""
    events = [json.loads(line) for line in path.read_text().splitlines()]
    for event in events:
        check_event(event)
    return events


def _validate(value: Any, schema: str) -> None:
    Draft202012Validator({"$ref": schema}, registry=_REGISTRY, format_checker=FormatChecker()).validate(value)


def _facets(event: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """All facets of an event: those of the run, the job and the data sets."""
    for owner in (event["run"], event["job"], *event.get("inputs", ()), *event.get("outputs", ())):
        for kind in ("facets", "inputFacets", "outputFacets"):
            yield from owner.get(kind, {}).values()
