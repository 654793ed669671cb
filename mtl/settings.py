"""Settings: the one place that reads the environment.

Addresses and secrets come from here only, never from a configuration file or a flow parameter.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from mtl.errors import InputError, did_you_mean

DEFAULT_STORE_PATIENCE = 300.0


@dataclass(frozen=True, slots=True)
class Settings:
    """Where state, objects and records are kept on this machine.

    home: state folder (`MTL_HOME`, default `.mtl` in the working folder).
    store: object store (`MTL_STORE`), a folder or `s3://bucket/prefix`; default `<home>/store`.
    tracking_uri: `MLFLOW_TRACKING_URI`, default a SQLite file in `home`.
    """

    home: Path
    store: str
    tracking_uri: str
    actor: str

    @property
    def cache(self) -> Path:
        """Local copies of objects; safe to delete."""
        return self.home / "cache"


def load_settings(environ: Mapping[str, str] | None = None) -> Settings:
    """Settings from the environment (or from `environ`)."""
    env = os.environ if environ is None else environ
    home = Path(env.get("MTL_HOME") or ".mtl").absolute()
    store = env.get("MTL_STORE") or str(home / "store")
    return Settings(
        home=home,
        store=store,
        tracking_uri=env.get("MLFLOW_TRACKING_URI") or f"sqlite:///{home / 'mlflow.db'}",
        actor=env.get("MTL_ACTOR") or env.get("USER") or env.get("LOGNAME") or "unknown",
    )


def trainer_processes(environ: Mapping[str, str] | None = None) -> int:
    """Processes of one training on this machine (`MTL_TRAINER_PROCESSES`, default 1; one a GPU).

    Errors: InputError for anything but a positive whole number.
    """
    text = (os.environ if environ is None else environ).get("MTL_TRAINER_PROCESSES") or "1"
    if not text.isdecimal() or int(text) < 1:
        raise InputError(
            f"MTL_TRAINER_PROCESSES is {text!r}, no positive number",
            field="MTL_TRAINER_PROCESSES",
            hint="processes of one training on this machine: the number of its GPUs, or 1",
        )
    return int(text)


def store_patience(environ: Mapping[str, str] | None = None) -> float:
    """Seconds that one call to the object store may spend on retries (`MTL_STORE_PATIENCE`, default 300).

    Errors: InputError for anything but a positive number.
    """
    text = (os.environ if environ is None else environ).get("MTL_STORE_PATIENCE") or str(DEFAULT_STORE_PATIENCE)
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 < seconds < math.inf:
        raise InputError(
            f"MTL_STORE_PATIENCE is {text!r}, no positive number of seconds",
            field="MTL_STORE_PATIENCE",
            hint=f"seconds that one call to the object store may take, e.g. {DEFAULT_STORE_PATIENCE:g}",
        )
    return seconds


def inherited_environment(environ: Mapping[str, str] | None = None, *, own_store: bool) -> dict[str, str]:
    """What services of a stack inherit: all but addresses and logins of the services that it brings itself."""
    ours = ("PREFECT_", "MLFLOW_", "MTL_STORE", *(("AWS_",) if own_store else ()))
    env = os.environ if environ is None else environ
    return {name: value for name, value in env.items() if not name.startswith(ours)}


def device_limit(environ: Mapping[str, str] | None = None) -> str:
    """The concurrency limit of the device that this machine trains on (`MTL_DEVICE`, default `local`)."""
    return f"device-{(os.environ if environ is None else environ).get('MTL_DEVICE') or 'local'}"


@dataclass(frozen=True, slots=True)
class PrefectSettings:
    """Where the Prefect server is; `url` is None where the command runs an embedded one, whose state is in `home`.

    auth: `user:password` of a server with basic authentication. key: a key of Prefect Cloud.
    """

    url: str | None
    home: Path
    auth: str | None = field(default=None, repr=False)
    key: str | None = field(default=None, repr=False)


def prefect_settings(environ: Mapping[str, str] | None = None) -> PrefectSettings:
    """From `PREFECT_API_URL`, `PREFECT_API_AUTH_STRING`, `PREFECT_API_KEY` and `PREFECT_HOME`."""
    env = os.environ if environ is None else environ
    return PrefectSettings(
        url=(env.get("PREFECT_API_URL") or "").rstrip("/") or None,
        home=Path(env.get("PREFECT_HOME") or load_settings(env).home / "prefect"),
        auth=env.get("PREFECT_API_AUTH_STRING") or None,
        key=env.get("PREFECT_API_KEY") or None,
    )


def mlflow_credentials(environ: Mapping[str, str] | None = None) -> tuple[str, str] | None:
    """User and password for the MLflow server (`MLFLOW_TRACKING_USERNAME`, `MLFLOW_TRACKING_PASSWORD`)."""
    env = os.environ if environ is None else environ
    user, password = env.get("MLFLOW_TRACKING_USERNAME"), env.get("MLFLOW_TRACKING_PASSWORD")
    return (user, password) if user and password else None


def s3_endpoint(environ: Mapping[str, str] | None = None) -> str:
    """Address of the S3 server (`AWS_ENDPOINT_URL_S3`, `AWS_ENDPOINT_URL`), AWS itself if none is named."""
    env = os.environ if environ is None else environ
    region = env.get("AWS_REGION") or env.get("AWS_DEFAULT_REGION") or "us-east-1"
    return env.get("AWS_ENDPOINT_URL_S3") or env.get("AWS_ENDPOINT_URL") or f"https://s3.{region}.amazonaws.com"


def secrets(environ: Mapping[str, str] | None = None) -> list[str]:
    """Values of the environment that nobody may see, longest first: what every printed text is cleaned of."""
    env = os.environ if environ is None else environ
    values = {value for name, value in env.items() if _SECRET.search(name) and _worth_hiding(value)}
    auth = env.get("PREFECT_API_AUTH_STRING", "")
    values |= {part for part in auth.split(":", 1)[1:] if _worth_hiding(part)}
    return sorted(values, key=len, reverse=True)


_SECRET = re.compile(r"SECRET|PASSWORD|PASSPHRASE|TOKEN(?!IZER)|_KEY(?:$|_ID$)|AUTH_STRING|SLACK|CREDENTIAL|SMTP", re.I)
_SHORTEST_SECRET = 5


def _worth_hiding(value: str) -> bool:
    return len(value) >= _SHORTEST_SECRET and value.lower() not in ("true", "false")


EVENTS = ("champion.changed", "candidate.refused", "data.alarm", "run.failed")
"""What is told to people and to Prefect's event feed (there with `mtl.` before it)."""


@dataclass(frozen=True, slots=True)
class NotifySettings:
    """Who hears of events. Addresses of Slack and SMTP hold secrets."""

    slack: str | None = field(default=None, repr=False)
    url: str | None = field(default=None, repr=False)
    secret: str | None = field(default=None, repr=False)
    smtp: str | None = field(default=None, repr=False)
    email: tuple[str, ...] = ()
    sender: str = "mtl@localhost"
    events: tuple[str, ...] = EVENTS


def notify_settings(environ: Mapping[str, str] | None = None) -> NotifySettings:
    """From `MTL_NOTIFY_*`. Errors: InputError for half a setting, a wrong address, a wrong name."""
    env = os.environ if environ is None else environ
    found = NotifySettings(
        slack=_address(env, "MTL_NOTIFY_SLACK", ("https", "http")),
        url=_address(env, "MTL_NOTIFY_URL", ("https", "http")),
        secret=env.get("MTL_NOTIFY_SECRET") or None,
        smtp=_address(env, "MTL_NOTIFY_SMTP", ("smtp", "smtps")),
        email=_words(env.get("MTL_NOTIFY_EMAIL", "")),
        sender=env.get("MTL_NOTIFY_FROM") or "mtl@localhost",
        events=_words(env.get("MTL_NOTIFY_EVENTS", "")) or EVENTS,
    )
    if found.url and not found.secret:
        raise InputError(
            "MTL_NOTIFY_URL is set, MTL_NOTIFY_SECRET is not",
            field="MTL_NOTIFY_SECRET",
            hint="set it to a random text that the receiver knows too; posts are signed with it",
        )
    if bool(found.smtp) != bool(found.email):
        raise InputError(
            "MTL_NOTIFY_SMTP and MTL_NOTIFY_EMAIL belong together, one of them is missing",
            field="MTL_NOTIFY_SMTP",
            hint="MTL_NOTIFY_SMTP=smtps://USER:PASSWORD@HOST and MTL_NOTIFY_EMAIL=NAME@HOST,NAME@HOST",
        )
    for name in found.events:
        if name not in EVENTS:
            raise InputError(
                f"MTL_NOTIFY_EVENTS names {name!r}; {did_you_mean(name, EVENTS)}", field="MTL_NOTIFY_EVENTS"
            )
    return found


@dataclass(frozen=True, slots=True)
class WebhookSettings:
    """What the webhook receiver trusts, and which deployments it starts. A source without a secret is refused."""

    mlflow_secret: str | None = field(default=None, repr=False)
    secret: str | None = field(default=None, repr=False)
    metrics_token: str | None = field(default=None, repr=False)
    on_alias: str = "reconcile/poll"
    on_data: str = "check-data/poll"


def webhook_settings(environ: Mapping[str, str] | None = None) -> WebhookSettings:
    """From `MTL_WEBHOOK_*` and `MTL_METRICS_TOKEN`. Errors: InputError for a short secret or no deployment's name."""
    env = os.environ if environ is None else environ
    default = WebhookSettings()
    found = WebhookSettings(
        mlflow_secret=_secret(env, "MTL_WEBHOOK_MLFLOW_SECRET"),
        secret=_secret(env, "MTL_WEBHOOK_SECRET"),
        metrics_token=_secret(env, "MTL_METRICS_TOKEN"),
        on_alias=env.get("MTL_WEBHOOK_ON_ALIAS") or default.on_alias,
        on_data=env.get("MTL_WEBHOOK_ON_DATA") or default.on_data,
    )
    for name, value in (("MTL_WEBHOOK_ON_ALIAS", found.on_alias), ("MTL_WEBHOOK_ON_DATA", found.on_data)):
        if value.count("/") != 1:
            raise InputError(
                f"{name} is {value!r}, no deployment", field=name, hint="FLOW/DEPLOYMENT, as mtl deploy made"
            )
    return found


def cost_per_hour(environ: Mapping[str, str] | None = None) -> float | None:
    """What an hour of the machine costs (`MTL_COST_PER_HOUR`, any currency). Errors: InputError for no such number."""
    text = (os.environ if environ is None else environ).get("MTL_COST_PER_HOUR") or ""
    if not text:
        return None
    try:
        cost = float(text)
    except ValueError:
        cost = math.nan
    if not 0 <= cost < math.inf:
        raise InputError(f"MTL_COST_PER_HOUR is {text!r}, no amount", field="MTL_COST_PER_HOUR", hint="e.g. 2.49")
    return cost


def _secret(env: Mapping[str, str], name: str) -> str | None:
    value = env.get(name) or None
    if value and len(value) < _SHORTEST_KEY:
        raise InputError(
            f"{name} is shorter than {_SHORTEST_KEY} characters",
            field=name,
            hint="python -c 'import secrets; print(secrets.token_urlsafe(32))' makes a good one",
        )
    return value


_SHORTEST_KEY = 16


def _address(env: Mapping[str, str], name: str, schemes: tuple[str, ...]) -> str | None:
    value = env.get(name) or None
    if value and (urlsplit(value).scheme not in schemes or not urlsplit(value).hostname):
        raise InputError(f"{name} is no address", field=name, hint=f"{schemes[0]}://HOST..., kept out of this message")
    return value


def _words(text: str) -> tuple[str, ...]:
    return tuple(word.strip() for word in text.split(",") if word.strip())


KNOWN: Mapping[str, str] = {
    "MTL_HOME": "state of this machine; default: .mtl in the working folder",
    "MTL_STORE": "object store: a folder or s3://bucket/prefix; default: $MTL_HOME/store",
    "MTL_STORE_PATIENCE": "seconds that one call to the object store may take, retries included; default: 300",
    "MTL_ACTOR": "who promotes and rolls back, for the journal; default: the user's name",
    "MTL_TRAINER_PROCESSES": "processes of one training on this machine, one a GPU; default: 1",
    "MTL_COST_PER_HOUR": "what an hour of this machine costs; a retrain then records what each step cost",
    "MTL_NOTIFY_SLACK": "Slack: address of an incoming webhook (secret)",
    "MTL_NOTIFY_EMAIL": "e-mail: who gets it, separated by commas",
    "MTL_NOTIFY_SMTP": "e-mail: smtp://USER:PASSWORD@HOST:PORT (STARTTLS) or smtps://... (secret)",
    "MTL_NOTIFY_FROM": "e-mail: the sender; default: mtl@localhost",
    "MTL_NOTIFY_URL": "any address that takes a signed JSON post",
    "MTL_NOTIFY_SECRET": "key of the posts' signature (secret)",
    "MTL_NOTIFY_EVENTS": f"which events are told, separated by commas; default: {','.join(EVENTS)}",
    "MTL_WEBHOOK_MLFLOW_SECRET": "key with which MLflow signs what it posts to mtl webhooks (secret)",
    "MTL_WEBHOOK_SECRET": "key with which others sign 'new data' posts to mtl webhooks (secret)",
    "MTL_WEBHOOK_ON_ALIAS": "deployment that a moved alias starts; default: reconcile/poll",
    "MTL_WEBHOOK_ON_DATA": "deployment that new data start; default: check-data/poll",
    "MTL_METRICS_TOKEN": "bearer token for GET /metrics of mtl webhooks; without it there are no metrics (secret)",
    "MLFLOW_TRACKING_URI": "MLflow server or database; default: SQLite in $MTL_HOME",
    "MLFLOW_TRACKING_USERNAME": "user of the MLflow server",
    "MLFLOW_TRACKING_PASSWORD": "password of the MLflow server (secret)",
    "PREFECT_API_URL": "Prefect server, with /api at the end; default: one embedded in the command",
    "PREFECT_API_AUTH_STRING": "user:password of the Prefect server (secret)",
    "AWS_ACCESS_KEY_ID": "S3 credentials",
    "AWS_SECRET_ACCESS_KEY": "S3 credentials (secret)",
    "AWS_ENDPOINT_URL_S3": "address of an S3 server that is not AWS",
    "AWS_REGION": "region of the bucket",
}
"""Settings and what they mean; `mtl doctor` suggests from them, and docs/reference.md lists them."""
