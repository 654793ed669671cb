"""Settings of the work itself: state, objects and records, how training is spread, which servers there are."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, SecretStr

from mtl import layout
from mtl.errors import InputError
from mtl.settings.environment import DEFAULT_SECRETS, account, check_folder, local_path
from mtl.settings.variables import Variables, refused, shown, variable
from mtl.sqlite import database_url

EMBEDDED_USER = "embedded-by-mtl"
"""Whom the login of a Prefect server names that lives inside one command."""


def _state_folder(value: Any) -> Path:
    try:
        return check_folder(value)
    except InputError as error:
        raise refused(error) from None


def _store(value: str) -> str:
    return str(local_path(value)) if value.startswith("~") else value


StateFolder = Annotated[Path, BeforeValidator(_state_folder)]
_HOME: dict[str, Any] = {
    "default": Path(".mtl"),
    "meaning": "state of this machine; default: .mtl in the working folder",
}


class Settings(Variables):
    """Where state, objects and records are kept on this machine."""

    home: StateFolder = variable("MTL_HOME", **_HOME)
    store: Annotated[str, AfterValidator(_store)] = variable(
        "MTL_STORE",
        meaning="object store: a folder or s3://bucket/prefix; default: $MTL_HOME/store",
        default_factory=lambda found: str(layout.home_store(found["home"])),
    )
    actor: str = variable(
        *("MTL_ACTOR", "USER", "LOGNAME"),
        meaning="who promotes and rolls back, for the journal; default: the user's name",
        default_factory=lambda: account(os.getuid()),
    )
    tracking_uri: str = variable(
        "MLFLOW_TRACKING_URI",
        meaning="MLflow server or database; default: SQLite in $MTL_HOME",
        default_factory=lambda found: database_url(layout.home_mlflow(found["home"])),
    )

    @property
    def cache(self) -> Path:
        """Local copies of objects; safe to delete."""
        return layout.home_cache(self.home)


def load_settings(environ: Mapping[str, str] | None = None) -> Settings:
    """Settings from the environment (or from `environ`). Errors: InputError for a state folder that cannot be one."""
    return Settings.read(environ)


def is_default_store(uri: str, environ: Mapping[str, str] | None = None) -> bool:
    """Whether `uri` is the store that is used because `MTL_STORE` is not set."""
    settings = load_settings(environ)
    return "store" not in settings.model_fields_set and uri == settings.store


def tracking_is_named(environ: Mapping[str, str] | None = None) -> bool:
    """Whether somebody chose the MLflow server or database (`MLFLOW_TRACKING_URI`)."""
    return "tracking_uri" in load_settings(environ).model_fields_set


class StoreSettings(Variables):
    """How the object store is used."""

    patience: float = variable(
        "MTL_STORE_PATIENCE",
        meaning="seconds that one call to the object store may take, retries included",
        expected="no positive number of seconds",
        hint="seconds that one call to the object store may take, e.g. 300",
        default=300.0,
        gt=0,
        allow_inf_nan=False,
    )
    dataset_cache_mb: int = variable(
        "MTL_DATASET_CACHE_MB",
        meaning="megabytes of prepared data that are kept on this machine: files in $MTL_HOME/cache/datasets, and as "
        "much again of token ids in the memory of each trainer; what is over it is read from the object store as it "
        "is needed",
        expected="no number of megabytes",
        hint="megabytes of prepared data that this machine keeps, e.g. 4096; 0 keeps nothing",
        default=4096,
        ge=0,
    )


def dataset_cache_bytes(environ: Mapping[str, str] | None = None) -> int:
    """Bytes of prepared data that are kept on this machine's disk, and in the memory of each trainer. Errors:
    InputError."""
    return StoreSettings.read(environ).dataset_cache_mb * 1_000_000


def store_patience(environ: Mapping[str, str] | None = None) -> float:
    """Seconds that one call to the object store may spend on retries. Errors: InputError."""
    return StoreSettings.read(environ).patience


class TrainerSettings(Variables):
    """How one training is spread over the processes of this machine."""

    processes: int = variable(
        "MTL_TRAINER_PROCESSES",
        meaning="processes of one training on this machine, one a GPU",
        expected="no positive number",
        hint="processes of one training on this machine: the number of its GPUs, or 1",
        default=1,
        ge=1,
    )
    device: str = variable(
        "MTL_DEVICE",
        meaning="name of the device that this machine trains on: one training at a time for a name",
        default="local",
    )


def trainer_processes(environ: Mapping[str, str] | None = None) -> int:
    """Processes of one training on this machine. Errors: InputError."""
    return TrainerSettings.read(environ).processes


def device_limit(environ: Mapping[str, str] | None = None) -> str:
    """The concurrency limit of the device that this machine trains on."""
    return f"device-{TrainerSettings.read(environ).device}"


class RaySettings(Variables):
    """The Ray cluster that does the work where `run.engine` is `ray`."""

    address: str = variable(
        "RAY_ADDRESS",
        meaning="HOST:PORT of the Ray cluster's head, for run.engine: ray; auto: the cluster of this machine",
        default="auto",
    )


def ray_address(environ: Mapping[str, str] | None = None) -> str:
    """Where the Ray cluster is; `auto` for the one that this machine belongs to."""
    return RaySettings.read(environ).address


class MountedSettings(Variables):
    """What containers are given."""

    secrets: Path = variable(
        "MTL_SECRETS",
        meaning=f"folder of mounted secrets, each a file named as its setting; default: {DEFAULT_SECRETS}",
        default=Path(DEFAULT_SECRETS),
    )
    worker_name: str | None = variable(
        "MTL_WORKER_NAME", meaning="docker/worker.sh: name of the worker; default: the host's name", default=None
    )


class MlflowSettings(Variables):
    """Who we are to the MLflow server, and where people open it."""

    pages: str | None = variable(
        "MTL_MLFLOW_URL",
        meaning="address at which people open MLflow, for links; default: MLFLOW_TRACKING_URI",
        default=None,
    )
    user: str | None = variable("MLFLOW_TRACKING_USERNAME", meaning="user of the MLflow server", default=None)
    password: SecretStr | None = variable(
        "MLFLOW_TRACKING_PASSWORD", meaning="password of the MLflow server", default=None
    )


def mlflow_pages(environ: Mapping[str, str] | None = None) -> str | None:
    """Where people open MLflow, if not at MLFLOW_TRACKING_URI, which only containers may reach."""
    return MlflowSettings.read(environ).pages


def mlflow_credentials(environ: Mapping[str, str] | None = None) -> tuple[str, str] | None:
    """User and password for the MLflow server."""
    found = MlflowSettings.read(environ)
    return (found.user, found.password.get_secret_value()) if found.user and found.password else None


class PrefectSettings(Variables):
    """Where the Prefect server is; `url` is None where the command runs an embedded one, whose state is in `home`.

    auth: `user:password` of a server with basic authentication. key: a key of Prefect Cloud.
    """

    url: Annotated[str, AfterValidator(lambda value: value.rstrip("/"))] | None = variable(
        "PREFECT_API_URL",
        meaning="Prefect server, with /api at the end; default: one embedded in the command",
        default=None,
    )
    auth: SecretStr | None = variable(
        "PREFECT_API_AUTH_STRING", meaning="user:password of the Prefect server", default=None
    )
    key: SecretStr | None = variable("PREFECT_API_KEY", meaning="key of Prefect Cloud", default=None)
    state: StateFolder = variable("MTL_HOME", **_HOME)
    home: Path = variable(
        "PREFECT_HOME",
        meaning="state of an embedded Prefect; default: $MTL_HOME/prefect",
        default_factory=lambda found: layout.home_prefect(found["state"]),
    )

    @property
    def embedded(self) -> bool:
        """Whether the server lives inside this command: it has no limits, no page, and nobody else's runs."""
        return (shown(self.auth) or "").startswith(f"{EMBEDDED_USER}:")


def prefect_settings(environ: Mapping[str, str] | None = None) -> PrefectSettings:
    """Where the Prefect server is."""
    return PrefectSettings.read(environ)


class S3Settings(Variables):
    """What boto3 reads by itself; the address is also asked for its clock."""

    access_key: str | None = variable("AWS_ACCESS_KEY_ID", meaning="S3 credentials", default=None)
    secret_key: SecretStr | None = variable("AWS_SECRET_ACCESS_KEY", meaning="S3 credentials", default=None)
    endpoint: str | None = variable(
        *("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"), meaning="address of an S3 server that is not AWS", default=None
    )
    region: str = variable(
        *("AWS_REGION", "AWS_DEFAULT_REGION"), meaning="region of the bucket", default_factory=lambda: "us-east-1"
    )


def s3_endpoint(environ: Mapping[str, str] | None = None) -> str:
    """Address of the S3 server, AWS itself if none is named."""
    found = S3Settings.read(environ)
    return found.endpoint or f"https://s3.{found.region}.amazonaws.com"
