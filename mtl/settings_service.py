"""Settings of the running service: notifications, the webhook receiver, costs; and the table of all settings.

Like `mtl.settings`, which has those that the work itself needs, it reads the environment and nothing else does.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from mtl.errors import InputError, did_you_mean

EVENTS = ("champion.changed", "candidate.waiting", "candidate.refused", "data.alarm", "run.failed")
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
    on_alias: str = "reconcile/follow-aliases"
    on_data: str = "check-data/look-for-new-data"


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


def serve_max_body(environ: Mapping[str, str] | None = None) -> int:
    """Bytes of a request's body that `mtl serve` takes (`MTL_SERVE_MAX_BODY`, default 8 MiB).

    Errors: InputError for anything but a whole number of bytes from 1,024 on.
    """
    text = (os.environ if environ is None else environ).get("MTL_SERVE_MAX_BODY") or str(DEFAULT_MAX_BODY)
    if not text.isdecimal() or int(text) < _SMALLEST_BODY:
        raise InputError(
            f"MTL_SERVE_MAX_BODY is {text!r}, no number of bytes from {_SMALLEST_BODY:,} on",
            field="MTL_SERVE_MAX_BODY",
            hint=f"bytes of one request's body, e.g. {DEFAULT_MAX_BODY} (8 MiB)",
        )
    return int(text)


DEFAULT_MAX_BODY = 8 * 2**20
_SMALLEST_BODY = 1024


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
    "MTL_TRAINER_NODES": "machines of one training: COUNT@HOST:PORT of node 0; default: this machine alone",
    "MTL_TRAINER_NODE": "which of them this is, from 0; default: the index of the Kubernetes job",
    "MTL_TRAINER_GROUP": "what the machines call their training, where several go on at once; default: default",
    "MTL_DEVICE": "name of the device that this machine trains on: one training at a time for a name; default: local",
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
    "MTL_WEBHOOK_ON_ALIAS": "deployment that a moved alias starts; default: reconcile/follow-aliases",
    "MTL_WEBHOOK_ON_DATA": "deployment that new data start; default: check-data/look-for-new-data",
    "MTL_METRICS_TOKEN": "bearer token for GET /metrics of mtl webhooks; without it there are no metrics (secret)",
    "MTL_SERVE_MAX_BODY": "bytes of a body that mtl serve takes; a larger one is answered 413; default: 8388608",
    "MTL_SECRETS": "folder of mounted secrets, each a file named as its setting; default: /run/secrets",
    "MTL_WORKER_NAME": "docker/worker.sh: name of the worker; default: the host's name",
    "MLFLOW_TRACKING_URI": "MLflow server or database; default: SQLite in $MTL_HOME",
    "MTL_MLFLOW_URL": "address at which people open MLflow, for links; default: MLFLOW_TRACKING_URI",
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
