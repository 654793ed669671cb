"""Settings: the one place that reads the environment.

Addresses and secrets come from here only, never from a configuration file or a flow parameter.
"""

from __future__ import annotations

import math
import os
import pwd
import re
from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import proxy_bypass

from mtl.errors import InputError
from mtl.sqlite import database_url

DEFAULT_STORE_PATIENCE = 300.0
LOOPBACK = ("localhost", "127.0.0.1", "::1")
EMBEDDED_USER = "embedded-by-mtl"
"""Whom the login of a Prefect server names that lives inside one command."""


_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


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
    """Settings from the environment (or from `environ`).

    Errors: InputError for a state folder that is not UTF-8, or whose path holds a control character.
    """
    env = os.environ if environ is None else environ
    home = local_path(env.get("MTL_HOME") or ".mtl").absolute()
    try:
        str(home).encode()
    except UnicodeEncodeError:  # databases and Arrow files take no such paths
        hint = "set MTL_HOME to a folder whose path is UTF-8"
        raise InputError(f"the state folder {str(home)!a} is not UTF-8", field="MTL_HOME", hint=hint) from None
    if _CONTROL.search(str(home)):  # it would begin a new line in the files and logs that name it
        hint = "set MTL_HOME to a folder whose path has no line break, tabulator or other control character"
        raise InputError(f"the state folder {str(home)!a} has a control character", field="MTL_HOME", hint=hint)
    store = env.get("MTL_STORE") or str(home / "store")
    return Settings(
        home=home,
        store=str(local_path(store)) if store.startswith("~") else store,
        tracking_uri=env.get("MLFLOW_TRACKING_URI") or database_url(home / "mlflow.db"),
        actor=env.get("MTL_ACTOR") or env.get("USER") or env.get("LOGNAME") or account(os.getuid()),
    )


def secrets_folder(environ: Mapping[str, str] | None = None) -> Path:
    """Where secrets are mounted, each as a file with its setting's name (`MTL_SECRETS`, default /run/secrets)."""
    return Path((os.environ if environ is None else environ).get("MTL_SECRETS") or "/run/secrets")


def is_default_store(uri: str, environ: Mapping[str, str] | None = None) -> bool:
    """Whether `uri` is the store that is used because `MTL_STORE` is not set."""
    env = os.environ if environ is None else environ
    return not env.get("MTL_STORE") and uri == load_settings(env).store


def tracking_is_named(environ: Mapping[str, str] | None = None) -> bool:
    """Whether somebody chose the MLflow server or database (`MLFLOW_TRACKING_URI`)."""
    return bool((os.environ if environ is None else environ).get("MLFLOW_TRACKING_URI"))


def bypass_proxy_for_loopback(environ: MutableMapping[str, str] | None = None) -> None:
    """Add the loopback names to `NO_PROXY`, for the HTTP clients of this process and of those that it starts.

    A proxy cannot reach the services of this machine, and must not see their passwords. httpx, requests, urllib3 and
    botocore all read the variable. Both spellings are set, because each library prefers another one.
    """
    env = os.environ if environ is None else environ
    named = [name.strip() for name in (env.get("no_proxy") or env.get("NO_PROXY") or "").split(",") if name.strip()]
    if "*" in named:
        return
    env["no_proxy"] = env["NO_PROXY"] = ",".join([*named, *(name for name in LOOPBACK if name not in named)])


def proxy_variable(url: str) -> str | None:
    """The variable of this process's environment whose proxy requests to `url` go through; None for none."""
    parts = urlsplit(url)
    if proxy_bypass(parts.netloc.rpartition("@")[2]):
        return None
    names = (f"{parts.scheme}_proxy", f"{parts.scheme}_proxy".upper(), "all_proxy", "ALL_PROXY")
    return next((name for name in names if os.environ.get(name)), None)


def local_path(name: str) -> Path:
    """The path that a name means: a leading `~` is the home folder, as in a shell, which env files and YAML are not."""
    try:
        return Path(name).expanduser()
    except RuntimeError:  # no such user: then it is a plain name
        return Path(name)


def give_home(environ: MutableMapping[str, str] | None = None) -> None:
    """Let `HOME` and `USER` be set: libraries fail without them for an account that has no name, as in containers."""
    env = os.environ if environ is None else environ
    try:
        pwd.getpwuid(os.getuid())
    except KeyError:
        env.setdefault("HOME", str(load_settings(env).home))
        env.setdefault("USER", account(os.getuid()))


def account(uid: int) -> str:
    """Name of an account; its number where it has no name, as in some containers."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"uid{uid}"


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

    @property
    def embedded(self) -> bool:
        """Whether the server lives inside this command: it has no limits, no page, and nobody else's runs."""
        return (self.auth or "").startswith(f"{EMBEDDED_USER}:")


def prefect_settings(environ: Mapping[str, str] | None = None) -> PrefectSettings:
    """From `PREFECT_API_URL`, `PREFECT_API_AUTH_STRING`, `PREFECT_API_KEY` and `PREFECT_HOME`."""
    env = os.environ if environ is None else environ
    return PrefectSettings(
        url=(env.get("PREFECT_API_URL") or "").rstrip("/") or None,
        home=Path(env.get("PREFECT_HOME") or load_settings(env).home / "prefect"),
        auth=env.get("PREFECT_API_AUTH_STRING") or None,
        key=env.get("PREFECT_API_KEY") or None,
    )


def mlflow_pages(environ: Mapping[str, str] | None = None) -> str | None:
    """Where people open MLflow (`MTL_MLFLOW_URL`), if not at MLFLOW_TRACKING_URI, which only containers may reach."""
    return (os.environ if environ is None else environ).get("MTL_MLFLOW_URL") or None


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


@dataclass(frozen=True, slots=True)
class TrainerNodes:
    """Machines of one training: how many, which of them this is, and where the first one listens.

    group: what they call their training among others in the same object store.
    """

    count: int
    host: str
    port: int
    index: int
    group: str


def trainer_nodes(environ: Mapping[str, str] | None = None) -> TrainerNodes | None:
    """From `MTL_TRAINER_NODES=COUNT@HOST:PORT`; None for a training on this machine alone.

    The index is `MTL_TRAINER_NODE`, by default that of a Kubernetes indexed job. Errors: InputError.
    """
    env = os.environ if environ is None else environ
    text = env.get("MTL_TRAINER_NODES") or ""
    if not text:
        return None
    found = re.fullmatch(r"([1-9]\d{0,2})@([A-Za-z0-9.-]+):(\d{1,5})", text)
    index = env.get("MTL_TRAINER_NODE") or env.get("JOB_COMPLETION_INDEX") or "0"
    if found is None or not index.isdecimal() or int(index) >= int(found[1]):
        raise InputError(
            f"MTL_TRAINER_NODES is {text!r}, this node is number {index!r}",
            field="MTL_TRAINER_NODES",
            hint="COUNT@HOST:PORT, HOST being node 0; MTL_TRAINER_NODE is below COUNT",
        )
    group = env.get("MTL_TRAINER_GROUP") or "default"
    return TrainerNodes(int(found[1]), found[2], int(found[3]), int(index), group)
