"""Section: base of all configuration models: frozen, unknown keys refused, fields kept in order in forms."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema


class Section(BaseModel):
    """A part of the configuration.

    Every property of its JSON schema carries its position: PostgreSQL's jsonb forgets the order of keys, and
    Prefect's form sorts by `position`.
    """

    model_config = ConfigDict(
        extra="forbid", frozen=True, allow_inf_nan=False, validate_default=True, populate_by_name=True
    )

    @classmethod
    def __get_pydantic_json_schema__(cls, core: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        schema = handler.resolve_ref_schema(handler(core))
        properties: dict[str, Any] = schema.get("properties", {})
        for position, prop in enumerate(properties.values()):
            prop["position"] = position
        return schema
