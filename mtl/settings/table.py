"""KNOWN: every setting and what it means, by reflection of the fields."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from pydantic.fields import FieldInfo

from mtl.settings import service, signing, traffic, work
from mtl.settings.variables import Variables, names

GROUPS: tuple[type[Variables], ...] = (
    work.Settings,
    work.StoreSettings,
    signing.SigningSettings,
    work.TrainerSettings,
    work.RaySettings,
    service.CostSettings,
    service.NotifySettings,
    service.LineageSettings,
    service.WebhookSettings,
    service.ServeSettings,
    service.ServerAddress,
    traffic.TrafficSettings,
    traffic.LabelStudioSettings,
    work.MountedSettings,
    work.MlflowSettings,
    work.PrefectSettings,
    work.S3Settings,
)
"""Every group of settings, in the order of the reference."""


def _meaning(field: FieldInfo) -> str:
    secret = " (secret)" if "SecretStr" in str(field.annotation) else ""
    default = ",".join(field.default) if isinstance(field.default, tuple) else field.default
    shown = f"{default:g}" if isinstance(default, float) else str(default).lower() if default is False else default
    simple = isinstance(default, str | int | float) and default != ""
    return f"{field.description}{secret}{f'; default: {shown}' if simple else ''}"


def _table() -> Iterator[tuple[str, str]]:
    seen: set[str] = set()
    for group in GROUPS:
        for field in group.model_fields.values():
            name = names(field)[0]
            if name not in seen:
                seen.add(name)
                yield name, _meaning(field)


KNOWN: Mapping[str, str] = dict(_table())
"""Setting -> what it means. `mtl doctor` suggests from them, and docs/reference-configuration.md lists them."""
