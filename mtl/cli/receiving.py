"""What `webhooks` does: serve the receiver, and have MLflow post to it."""

from __future__ import annotations

import threading
import time
from typing import Any

from mtl import layout
from mtl.errors import InputError, MtlError
from mtl.printable import printable
from mtl.settings import WebhookSettings, load_settings, mlflow_credentials, prefect_settings, webhook_settings

Document = dict[str, Any]
_NO_SERVER = 'run eval "$(mtl stack env)", or set PREFECT_API_URL'
_LOOPBACK = ("127.0.0.1", "localhost", "::1")


def serve(host: str, port: int, *, public_url: str | None, register: bool, name: str) -> None:
    """Serve until stopped. Errors: InputError if a setting is missing, or the port is taken."""
    from mtl.connections import serve as answer
    from mtl.ports import hold
    from mtl.service.metrics import metrics_text
    from mtl.service.prefect_api import PrefectApi
    from mtl.service.webhooks import Received, make_app
    from mtl.store.folder import FolderStore

    settings, prefect, trust = load_settings(), prefect_settings(), webhook_settings()
    _check(trust, prefect.url, host, public_url)
    with hold(host, port) as sockets:
        if register:
            _register_soon(trust, public_url or f"http://{host}:{port}")
        api = PrefectApi(prefect)
        received = Received(FolderStore(layout.home_webhooks(settings.home)))
        app = make_app(trust, api.start, received, lambda: metrics_text(settings, prefect, name))
        print(f"receiving on http://{host}:{port}: POST /mlflow, POST /data, GET /health, GET /metrics", flush=True)
        answer(app, sockets, log_level="warning", access_log=False)


def _check(trust: WebhookSettings, prefect: str | None, host: str, public_url: str | None) -> None:
    if prefect is None:
        raise InputError("no Prefect server to start runs on", field="PREFECT_API_URL", hint=_NO_SERVER)
    if trust.mlflow_secret is None and trust.secret is None:
        raise InputError(
            "no key is set, so nothing could be received",
            field="MTL_WEBHOOK_MLFLOW_SECRET",
            hint="set MTL_WEBHOOK_MLFLOW_SECRET (posts of MLflow) or MTL_WEBHOOK_SECRET (posts of new data), or both",
        )
    if host not in _LOOPBACK and public_url is None:
        raise InputError(
            f"{host} can be reached by others",
            field="host",
            hint="put a proxy with TLS in front and set its address with --url, or use --host 127.0.0.1",
        )


def _register_soon(trust: WebhookSettings, url: str) -> None:
    """Register with MLflow, beside serving and again until it works: MLflow may start later than this."""
    if trust.mlflow_secret is None:
        raise InputError(
            "--register needs the key with which MLflow signs its posts",
            field="MTL_WEBHOOK_MLFLOW_SECRET",
            hint="set MTL_WEBHOOK_MLFLOW_SECRET, or omit --register",
        )
    secret = trust.mlflow_secret.get_secret_value()
    address, credentials = load_settings().tracking_uri, mlflow_credentials()

    def work() -> None:
        from mtl.service.registering import ensure_webhook

        while True:
            try:
                new = ensure_webhook(address, name="mtl", url=f"{url}/mlflow", secret=secret, credentials=credentials)
            except MtlError as error:
                print(printable(f"not registered with MLflow yet: {error.message}"), flush=True)
                time.sleep(10)
            else:
                print(f"{'registered' if new else 'was registered'} with MLflow: {url}/mlflow", flush=True)
                return

    threading.Thread(target=work, daemon=True, name="register").start()
