"""Forms: the schemas of deployments' parameters, made so that Prefect's UI draws them well and its server is strict."""

from __future__ import annotations

from importlib import import_module
from typing import Any, get_type_hints

Schema = dict[str, Any]


def tidy(schema: Schema) -> Schema:
    """The schema with plain fields for what may be empty, and without room for parameters that the flow does not have.

    An optional field whose default is null is drawn as `Property is type "None"`, a field without a default as an empty
    one; the server takes null for both.
    """
    made: Schema = _plain(schema)
    return made | {"additionalProperties": False}


def _plain(value: Any) -> Any:
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if not isinstance(value, dict):
        return value
    return _without_null({key: _plain(item) for key, item in value.items()})


def _without_null(schema: Schema) -> Schema:
    options = schema.get("anyOf")
    if not isinstance(options, list) or {"type": "null"} not in options or schema.get("default") is not None:
        return schema
    others = [option for option in options if option != {"type": "null"}]
    if len(others) != 1 or "type" not in others[0] or "enum" in others[0]:
        return schema  # the server would not take null
    kept = {key: value for key, value in schema.items() if key not in ("anyOf", "default")}
    return {**others[0], **kept}


def described(schema: Schema, entrypoint: str) -> Schema:
    """The schema with the descriptions that stand beside the flow's parameters, which Prefect does not take over."""
    module, _, name = entrypoint.rpartition(".")
    if not module.startswith("flows."):  # a deployment of somebody else's, which only has the tag
        return schema
    hints = get_type_hints(getattr(import_module(module), name).fn, include_extras=True)
    properties = dict(schema.get("properties", {}))
    for field in properties.keys() & hints.keys():
        for metadata in getattr(hints[field], "__metadata__", ()):
            if getattr(metadata, "description", None):
                properties[field] = properties[field] | {"description": metadata.description}
    return schema | {"properties": properties}


def offer(schema: Schema, field: str, values: list[str]) -> Schema:
    """The schema with a choice of `values` for a field of text."""
    properties = schema.get("properties", {})
    if field not in properties:
        return schema
    return schema | {"properties": properties | {field: properties[field] | {"enum": values}}}
