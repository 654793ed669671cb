"""Settings of the running service: notifications, lineage, the webhook receiver, costs, and serving."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, SecretStr

from mtl.errors import InputError, did_you_mean
from mtl.settings.variables import Variables, refused, variable

FLOW_EVENTS = ("champion.changed", "candidate.waiting", "candidate.refused", "data.alarm", "run.failed")
"""What is told to people and to Prefect's event feed (there with `mtl.` before it)."""
SERVER_EVENTS = ("server.switched", "server.failed")
"""What `mtl serve` tells people."""
EVENTS = (*FLOW_EVENTS, *SERVER_EVENTS)
TOLD = (*FLOW_EVENTS, "server.failed")
"""By default: `champion.changed` already says what `server.switched` confirms for each server."""
_SHORTEST_KEY = 16


def _words(value: Any) -> Any:
    return tuple(word.strip() for word in value.split(",") if word.strip()) if isinstance(value, str) else value


Words = Annotated[tuple[str, ...], BeforeValidator(_words)]


def _address(name: str, *schemes: str) -> AfterValidator:
    """For an address with one of the schemes, which may hold a secret."""

    def check(value: SecretStr) -> SecretStr:
        parts = urlsplit(value.get_secret_value())
        if parts.scheme not in schemes or not parts.hostname:
            hint = f"{schemes[0]}://HOST..., kept out of this message"
            raise refused(InputError(f"{name} is no address", field=name, hint=hint))
        return value

    return AfterValidator(check)


def _long(name: str) -> AfterValidator:
    """For a key that nobody guesses."""

    def check(value: SecretStr) -> SecretStr:
        if len(value.get_secret_value()) < _SHORTEST_KEY:
            hint = "python -c 'import secrets; print(secrets.token_urlsafe(32))' makes a good one"
            raise refused(InputError(f"{name} is shorter than {_SHORTEST_KEY} characters", field=name, hint=hint))
        return value

    return AfterValidator(check)


def _deployment(name: str) -> AfterValidator:
    """For the name of a deployment."""

    def check(value: str) -> str:
        if value.count("/") != 1:
            hint = "FLOW/DEPLOYMENT, as mtl deploy made"
            raise refused(InputError(f"{name} is {value!r}, no deployment", field=name, hint=hint))
        return value

    return AfterValidator(check)


def _events(value: tuple[str, ...]) -> tuple[str, ...]:
    for name in value:
        if name not in EVENTS:
            said = f"MTL_NOTIFY_EVENTS names {name!r}; {did_you_mean(name, EVENTS)}"
            raise refused(InputError(said, field="MTL_NOTIFY_EVENTS"))
    return value or TOLD


class NotifySettings(Variables):
    """Who hears of events. Addresses of Slack and SMTP hold secrets."""

    slack: Annotated[SecretStr, _address("MTL_NOTIFY_SLACK", "https", "http")] | None = variable(
        "MTL_NOTIFY_SLACK", meaning="Slack: address of an incoming webhook", default=None
    )
    email: Words = variable("MTL_NOTIFY_EMAIL", meaning="e-mail: who gets it, separated by commas", default=())
    smtp: Annotated[SecretStr, _address("MTL_NOTIFY_SMTP", "smtp", "smtps")] | None = variable(
        "MTL_NOTIFY_SMTP",
        meaning="e-mail: smtp://USER:PASSWORD@HOST:PORT (STARTTLS) or smtps://...",
        default=None,
    )
    sender: str = variable("MTL_NOTIFY_FROM", meaning="e-mail: the sender", default="mtl@localhost")
    url: Annotated[SecretStr, _address("MTL_NOTIFY_URL", "https", "http")] | None = variable(
        "MTL_NOTIFY_URL", meaning="any address that takes a signed JSON post", default=None
    )
    secret: SecretStr | None = variable("MTL_NOTIFY_SECRET", meaning="key of the posts' signature", default=None)
    events: Annotated[Words, AfterValidator(_events)] = variable(
        "MTL_NOTIFY_EVENTS", meaning="which events are told, separated by commas", default=TOLD
    )

    def faults(self) -> Iterator[InputError]:
        if self.url and not self.secret:
            yield InputError(
                "MTL_NOTIFY_URL is set, MTL_NOTIFY_SECRET is not",
                field="MTL_NOTIFY_SECRET",
                hint="set it to a random text that the receiver knows too; posts are signed with it",
            )
        if bool(self.smtp) != bool(self.email):
            yield InputError(
                "MTL_NOTIFY_SMTP and MTL_NOTIFY_EMAIL belong together, one of them is missing",
                field="MTL_NOTIFY_SMTP",
                hint="MTL_NOTIFY_SMTP=smtps://USER:PASSWORD@HOST and MTL_NOTIFY_EMAIL=NAME@HOST,NAME@HOST",
            )


def notify_settings(environ: Mapping[str, str] | None = None) -> NotifySettings:
    """From `MTL_NOTIFY_*`. Errors: InputError for half a setting, a wrong address, a wrong name."""
    return NotifySettings.read(environ)


class WebhookSettings(Variables):
    """What the webhook receiver trusts, and which deployments it starts. A source without a secret is refused."""

    mlflow_secret: Annotated[SecretStr, _long("MTL_WEBHOOK_MLFLOW_SECRET")] | None = variable(
        "MTL_WEBHOOK_MLFLOW_SECRET", meaning="key with which MLflow signs what it posts to mtl webhooks", default=None
    )
    secret: Annotated[SecretStr, _long("MTL_WEBHOOK_SECRET")] | None = variable(
        "MTL_WEBHOOK_SECRET", meaning="key with which others sign 'new data' posts to mtl webhooks", default=None
    )
    on_alias: Annotated[str, _deployment("MTL_WEBHOOK_ON_ALIAS")] = variable(
        "MTL_WEBHOOK_ON_ALIAS", meaning="deployment that a moved alias starts", default="reconcile/follow-aliases"
    )
    on_data: Annotated[str, _deployment("MTL_WEBHOOK_ON_DATA")] = variable(
        "MTL_WEBHOOK_ON_DATA", meaning="deployment that new data start", default="check-data/look-for-new-data"
    )
    metrics_token: Annotated[SecretStr, _long("MTL_METRICS_TOKEN")] | None = variable(
        "MTL_METRICS_TOKEN",
        meaning="bearer token for GET /metrics of mtl webhooks; without it there are no metrics",
        default=None,
    )


def webhook_settings(environ: Mapping[str, str] | None = None) -> WebhookSettings:
    """From `MTL_WEBHOOK_*` and `MTL_METRICS_TOKEN`. Errors: InputError for a short secret or no deployment's name."""
    return WebhookSettings.read(environ)


class CostSettings(Variables):
    """What the machine costs."""

    per_hour: float | None = variable(
        "MTL_COST_PER_HOUR",
        meaning="what an hour of this machine costs; a retrain then records what each step cost",
        expected="no amount",
        hint="e.g. 2.49",
        default=None,
        ge=0,
        allow_inf_nan=False,
    )


def cost_per_hour(environ: Mapping[str, str] | None = None) -> float | None:
    """What an hour of the machine costs, in any currency. Errors: InputError for no such number."""
    return CostSettings.read(environ).per_hour


class LineageSettings(Variables):
    """Where OpenLineage events go; openlineage-python reads its variables itself, these and the more special ones."""

    url: str | None = variable(
        "OPENLINEAGE_URL",
        meaning="server that gets an OpenLineage event of each retrain; default: none is sent",
        default=None,
    )
    key: SecretStr | None = variable("OPENLINEAGE_API_KEY", meaning="key of that server", default=None)
    config: str | None = variable(
        "OPENLINEAGE_CONFIG",
        meaning="file that says where the events go instead; default: an openlineage.yml in the working folder or in "
        "~/.openlineage",
        default=None,
    )
    namespace: str = variable(
        "OPENLINEAGE_NAMESPACE", meaning="namespace of the retrains in the events", default="mtl-retrain"
    )
    disabled: str | None = variable("OPENLINEAGE_DISABLED", meaning="true: no event is sent", default=None)


class ServeSettings(Variables):
    """How `mtl serve` answers."""

    max_body: int = variable(
        "MTL_SERVE_MAX_BODY",
        meaning="bytes of a body that mtl serve takes; a larger one is answered 413",
        expected="no number of bytes from 1,024 on",
        hint="bytes of one request's body, e.g. 8388608 (8 MiB)",
        default=8 * 2**20,
        ge=1024,
    )
    key: Annotated[SecretStr, _long("MTL_SERVE_KEY")] | None = variable(
        "MTL_SERVE_KEY",
        meaning="key that callers of mtl serve send as Authorization: Bearer KEY; without it mtl serve listens on "
        "loopback only",
        default=None,
    )
    queue: int = variable(
        "MTL_SERVE_QUEUE",
        meaning="texts that may wait to be answered by mtl serve; further requests are answered 429",
        expected="no number of texts from 1 on",
        hint="e.g. 256",
        default=256,
        ge=1,
    )
    texts: int = variable(
        "MTL_SERVE_TEXTS",
        meaning="texts that one request to POST /v1/generate of mtl serve may hold",
        expected="no number of texts from 1 to 10,000",
        hint="e.g. 64",
        default=64,
        ge=1,
        le=10_000,
    )
    seconds: float = variable(
        "MTL_SERVE_SECONDS",
        meaning="seconds within which mtl serve answers a request; one that takes longer is answered 503",
        expected="no number of seconds above 0 and up to 3600",
        hint="e.g. 60",
        default=60.0,
        gt=0,
        le=3600,
        allow_inf_nan=False,
    )


def _serve_address(value: str) -> str:
    parts = urlsplit(value)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        hint = "http://HOST:PORT, without a path"
        raise refused(InputError("MTL_SERVE_URL is no address", field="MTL_SERVE_URL", hint=hint))
    return value.rstrip("/")


class ServerAddress(Variables):
    """Where `mtl serve` answers."""

    url: Annotated[str, AfterValidator(_serve_address)] | None = variable(
        "MTL_SERVE_URL", meaning="address of the mtl serve that mtl status and mtl doctor ask", default=None
    )


def serve_url(environ: Mapping[str, str] | None = None) -> str | None:
    """Address of the running server, None where none is named. Errors: InputError for no address."""
    return ServerAddress.read(environ).url


def serve_settings(environ: Mapping[str, str] | None = None) -> ServeSettings:
    """From `MTL_SERVE_*`. Errors: InputError for a short key or a number out of range."""
    return ServeSettings.read(environ)
