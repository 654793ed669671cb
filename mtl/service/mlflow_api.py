"""What is asked of an MLflow server over HTTP without importing MLflow (2 seconds): does it answer, and to us?"""

from __future__ import annotations

from urllib.parse import urlsplit

import httpx

from mtl.errors import PermanentError, TransientError
from mtl.http import Server, ask, through_proxy
from mtl.redact import clean
from mtl.settings import mlflow_credentials

_CREDENTIALS = (
    "set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD to a user of the server (mtl stack env prints them)"
)


def check_mlflow(uri: str, *, timeout: float) -> None:
    """That the server at `uri` answers, takes the credentials of this environment, and reaches its database.

    timeout: seconds for each of two requests. Errors: TransientError, PermanentError.
    """
    health = mlflow_get(uri, "/health", timeout=timeout)
    if health.status_code != 200:
        raise PermanentError(
            f"{clean(uri)}/health answered {health.status_code}",
            field="MLFLOW_TRACKING_URI",
            hint="is it the address of an MLflow server, and is the server well?",
        )
    listed = mlflow_get(uri, experiments(""), timeout=timeout)
    if listed.status_code in (401, 403):
        given = "no user and password are set" if mlflow_login(uri) is None else "user or password is wrong"
        raise PermanentError(
            f"MLflow refuses the credentials at {clean(uri)} ({listed.status_code}): {given}",
            field="MLFLOW_TRACKING_USERNAME",
            hint=_CREDENTIALS + through_proxy(uri),
        )
    if listed.status_code != 200:
        raise TransientError(
            f"MLflow answered {listed.status_code} when asked for experiments",
            hint="see the server's log; its database may be down or need: mlflow db upgrade URI",
        )


def mlflow_get(uri: str, path: str, *, timeout: float) -> httpx.Response:
    """An answer of the server, with the credentials of this environment. Errors: TransientError, PermanentError."""
    return ask(_server(uri), "GET", f"{uri.rstrip('/')}/{path.lstrip('/')}", timeout=timeout, auth=mlflow_login(uri))


def _server(uri: str) -> Server:
    hint = "is the server up (mtl stack status), and is MLFLOW_TRACKING_URI its address?" + through_proxy(uri)
    return Server("MLflow", clean(uri), "MLFLOW_TRACKING_URI", hint, "SSL_CERT_FILE and REQUESTS_CA_BUNDLE")


def experiments(uri: str) -> str:
    """The cheapest question that needs credentials and the database."""
    return f"{uri}/api/2.0/mlflow/experiments/search?max_results=1"


def mlflow_login(uri: str) -> tuple[str, str] | None:
    """User and password: of the environment, else of the address."""
    parts = urlsplit(uri)
    return mlflow_credentials() or ((parts.username, parts.password) if parts.username and parts.password else None)
