"""ensure_webhook: have MLflow's registry post to our receiver when an alias is set or removed.

Over MLflow's HTTP API: the receiver that calls this would be 200 MB larger with MLflow in it.
"""

from __future__ import annotations

from typing import Any

import httpx

from mtl.http import Server, ask
from mtl.redact import clean

_EVENTS = [{"entity": "MODEL_VERSION_ALIAS", "action": action} for action in ("CREATED", "DELETED")]
_TIMEOUT = 10.0


def ensure_webhook(
    tracking_uri: str, *, name: str, url: str, secret: str, credentials: tuple[str, str] | None = None
) -> bool:
    """Register `url` under `name`, or correct what is there; safe to repeat. True if it was not there.

    The server keeps the secret encrypted (MLFLOW_WEBHOOK_SECRET_ENCRYPTION_KEY). To post to a loopback address it needs
    MLFLOW_WEBHOOK_ALLOWED_SCHEMES=http,https and MLFLOW_WEBHOOK_ALLOW_PRIVATE_IPS=true; it hears of a new registration
    after MLFLOW_WEBHOOK_CACHE_TTL, a minute by default. credentials: of an administrator.
    Errors: TransientError if it does not answer, PermanentError if it refuses.
    """
    wanted = {"name": name, "url": url, "events": _EVENTS, "secret": secret, "status": "ACTIVE"}
    base = f"{tracking_uri.rstrip('/')}/api/2.0/mlflow/webhooks"
    with httpx.Client(auth=credentials) as client:
        found = [webhook for webhook in _all(client, base) if webhook["name"] == name]
        for double in found[1:]:
            _ask(client, "DELETE", f"{base}/{double['webhook_id']}")
        if found:
            # Whether the secret is still the same cannot be read, so it is set again.
            _ask(client, "PATCH", f"{base}/{found[0]['webhook_id']}", json=wanted)
        else:
            _ask(client, "POST", base, json=wanted)
        return not found


def _all(client: httpx.Client, base: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    token = ""
    while True:
        page = _ask(client, "GET", base, params={"max_results": 100} | ({"page_token": token} if token else {}))
        found += page.get("webhooks", [])
        token = page.get("next_page_token", "")
        if not token:
            return found


def _ask(client: httpx.Client, method: str, url: str, **arguments: Any) -> Any:
    server = Server("MLflow", clean(url), "MLFLOW_TRACKING_URI")
    answer = ask(server, method, url, timeout=_TIMEOUT, client=client, **arguments)
    if answer.status_code >= 300:
        said = f"MLflow answered {answer.status_code} to {method} {clean(url)}: {clean(answer.text[:300])}"
        hint = "the user must be an administrator of MLflow, and the server must allow the address to post to"
        raise server.refused(answer.status_code, said, hint=hint)
    return answer.json() if answer.content else {}
