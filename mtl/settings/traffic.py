"""Settings of the request log (how much of it there is, for how long, what is taken out of its texts), and where people
look at it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BeforeValidator, SecretStr

from mtl.settings.variables import Variables, variable


def _patterns(value: Any) -> Any:
    return tuple(value.split()) if isinstance(value, str) else value


class TrafficSettings(Variables):
    """What `mtl serve` logs. Those who prune need the same values: set them in the settings file of MTL_HOME."""

    log: float = variable(
        "MTL_TRAFFIC_LOG",
        meaning="share of the answers of mtl serve that are logged, with the texts that were sent; 0: none",
        expected="no share from 0 to 1",
        hint="e.g. 0.1 logs every tenth answer",
        default=0.0,
        ge=0,
        le=1,
        allow_inf_nan=False,
    )
    days: int = variable(
        "MTL_TRAFFIC_DAYS",
        meaning="days for which logged answers are kept",
        expected="no number of days from 1 on",
        default=30,
        ge=1,
    )
    max_mb: int = variable(
        "MTL_TRAFFIC_MAX_MB",
        meaning="megabytes that the request log of a model may take in the store; beyond it, the oldest parts go",
        expected="no number of megabytes from 1 on",
        default=1024,
        ge=1,
    )
    redact: Annotated[tuple[str, ...], BeforeValidator(_patterns)] = variable(
        "MTL_TRAFFIC_REDACT",
        meaning="regular expressions of RE2, separated by spaces, whose matches are taken out of logged texts and "
        r"feedback too; \s stands for a space",
        default=(),
    )

    @property
    def max_bytes(self) -> int:
        return self.max_mb * 10**6


class LabelStudioSettings(Variables):
    """The Label Studio server of `mtl feedback export` and `import`."""

    url: str | None = variable("LABEL_STUDIO_URL", meaning="address of a Label Studio server", default=None)
    key: SecretStr | None = variable("LABEL_STUDIO_API_KEY", meaning="access token of an account there", default=None)


def traffic_settings(environ: Mapping[str, str] | None = None) -> TrafficSettings:
    """From `MTL_TRAFFIC_*`. Errors: InputError."""
    return TrafficSettings.read(environ)
